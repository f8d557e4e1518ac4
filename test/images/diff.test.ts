import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { sha256 } from '../../core/canonical.ts'
import { diffImages, diffLines, type DiffSide } from '../../images/diff.ts'
import { manifestFile, readManifest, renderManifest, writeManifest, type Manifest } from '../../images/manifest.ts'
import { anImage } from './any-image.ts'
import { hash } from './example.ts'

const serena = (letter: string): string => `ghcr.io/oraios/serena@sha256:${hash(letter)}`
const manifest = (change: Partial<Manifest> = {}): Manifest => ({
  schema: 1,
  fingerprint: hash('f'),
  built: '2026-11-23T12:00:00.000Z',
  base: { os: 'debian-13', sha256: hash('a') },
  packages: { git: '1:2.47.3', libc6: '2.41-12' },
  packagesBytes: 2 << 20,
  containers: { serena: { reference: serena('1'), bytes: 5 << 20 } },
  files: { 'etc/nftables.conf': `644 ${hash('1')}` },
  languageServers: hash('2'),
  ...change,
})
const side = (vmid: number, one: Manifest, diskBytes = 8 * 2 ** 30): DiffSide => ({
  image: anImage(vmid, { name: `i${vmid}`, record: { services: { serena: one.containers.serena?.reference ?? '' }, base: one.base } }),
  manifest: { ok: true, manifest: one, digest: '' },
  diskBytes,
})

it('nothing is different between an image and itself', () => {
  const diff = diffImages(side(9001, manifest()), side(9002, manifest()))
  expect(diff).toMatchObject({ base: [], packages: [], containers: [], files: [], sizes: [], unknown: [] })
  expect(diffLines(diff)).toEqual(['i9001 (9001) → i9002 (9002)', 'no difference'])
})

it('each thing that came, went or changed is named, with both values', () => {
  const newer = manifest({
    packages: { git: '1:2.47.4', jq: '1.7.1' },
    packagesBytes: 5 << 20,
    containers: { serena: { reference: serena('3'), bytes: 9 << 20 } },
    files: { 'etc/nftables.conf': `644 ${hash('4')}` },
    languageServers: hash('5'),
  })
  const diff = diffImages(side(9001, manifest()), side(9002, newer, 16 * 2 ** 30))
  expect(diff.packages).toEqual([
    { name: 'git', from: '1:2.47.3', to: '1:2.47.4' },
    { name: 'jq', from: null, to: '1.7.1' },
    { name: 'libc6', from: '2.41-12', to: null },
  ])
  expect(diffLines(diff)).toEqual([
    'i9001 (9001) → i9002 (9002)',
    'packages:',
    '  ~ git 1:2.47.3 → 1:2.47.4',
    '  + jq 1.7.1',
    '  - libc6 2.41-12',
    'containers:',
    '  ~ serena ghcr.io/oraios/serena@sha256:111111111111… → ghcr.io/oraios/serena@sha256:333333333333…',
    'files:',
    '  ~ etc/nftables.conf 111111111111 → 444444444444',
    '  ~ opt/golden/language-servers 222222222222 → 555555555555',
    'sizes:',
    '  packages 2 MiB → 5 MiB (+3 MiB)',
    '  container serena 5 MiB → 9 MiB (+4 MiB)',
    '  disk 8.0 GiB → 16.0 GiB (+8.0 GiB)',
  ])
})

it('without a manifest base and containers are compared, and it is said what is not', () => {
  const old: DiffSide = { ...side(9001, manifest()), manifest: { ok: false, problem: 'was never made' } }
  const diff = diffImages(old, side(9002, manifest({ containers: { serena: { reference: serena('3'), bytes: 1 } } })))
  expect(diff).toMatchObject({
    packages: null,
    files: null,
    containers: [{ name: 'serena' }],
    unknown: ['i9001: its manifest was never made'],
  })
  expect(diffLines(diff).at(-1)).toBe('unknown: packages and files, because i9001: its manifest was never made')
})

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'golden-records-'))
})
afterEach(() => rm(folder, { recursive: true }))

it('a manifest is read back, and known by its digest', async () => {
  const digest = await writeManifest(folder, 'golden-home-f', manifest())
  expect(await readManifest(folder, 'golden-home-f', digest)).toEqual({ ok: true, manifest: manifest(), digest })
  expect(await readManifest(folder, 'golden-home-f', hash('0'))).toMatchObject({
    ok: false,
    problem: expect.stringContaining('another one'),
  })
  expect(await readManifest(folder, 'golden-home-e', digest)).toMatchObject({ ok: false, problem: expect.stringContaining('git') })
  await writeFile(join(folder, manifestFile('golden-home-f')), '{}\n')
  expect(await readManifest(folder, 'golden-home-f')).toMatchObject({
    ok: false,
    problem: expect.stringContaining('not as golden writes it'),
  })
})

it('the same contents in another order are the same text, an item a line; checked out by git on Windows it is still known', async () => {
  const text = renderManifest(manifest())
  expect(renderManifest(manifest({ packages: { libc6: '2.41-12', git: '1:2.47.3' } }))).toBe(text)
  expect(text).toMatch(/\n {2}"git": "1:2\.47\.3",\n {2}"libc6"/)
  const digest = await writeManifest(folder, 'golden-home-f', manifest())
  expect(digest).toBe(sha256(text))
  const file = join(folder, manifestFile('golden-home-f'))
  await writeFile(file, (await readFile(file, 'utf8')).replaceAll('\n', '\r\n'))
  expect(await readManifest(folder, 'golden-home-f', digest)).toMatchObject({ ok: true })
})
