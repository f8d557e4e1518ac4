import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { completeFromManifest, completeLock } from '../../images/complete-lock.ts'
import { fingerprint, type ImageInputs } from '../../images/fingerprint.ts'
import { changeLines, lockChanges } from '../../images/lock-changes.ts'
import { outdated, requireCurrent, type LockGround } from '../../images/lock-outdated.ts'
import { lockDigest, lockFile, parseLock, readLock, references, renderLock, writeLock, type Lock } from '../../images/lock.ts'
import { writeManifest } from '../../images/manifest.ts'
import { hash } from './example.ts'

const one = (letter: string, tag?: string) => ({
  image: 'ghcr.io/oraios/serena',
  digest: `sha256:${hash(letter)}`,
  ...(tag ? { tag } : {}),
})
const lock: Lock = {
  schema: 2,
  services: { serena: one('1', '2.1.0'), nginx: { image: 'docker.io/library/nginx', digest: `sha256:${hash('2')}` } },
}
const whole: Lock = {
  ...lock,
  base: { os: 'debian-13', serial: '20261120-2300', url: 'https://images.example.org/debian.qcow2', sha256: hash('a'), vouched: 'tls' },
  packages: {
    archives: [
      {
        url: 'http://deb.example.org/debian',
        components: ['main'],
        suites: { trixie: '2026-11-21T09:15:44Z' },
        snapshot: { service: 'https://snapshot.example.org/debian', at: '20261129T120000Z' },
      },
    ],
    asked: ['git', 'docker.io'],
    complete: true,
    versions: { git: '1:2.47.3-0+deb13u1', 'docker.io': '26.1.5+dfsg1-9', adduser: '3.152' },
  },
  languageServers: { pyright: '1.1.403' },
  tools: { packer: '1.16.0' },
}

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'golden-lock-'))
})
afterEach(() => rm(folder, { recursive: true }))

describe('images.lock.json', () => {
  it('is read as it was written', async () => {
    for (const each of [lock, whole]) {
      await writeLock(folder, each)
      expect(await readLock(folder)).toEqual({
        ...each,
        ...(each.packages ? { packages: { ...each.packages, asked: ['docker.io', 'git'] } } : {}),
      })
    }
  })

  it('is the same to the byte whatever the order in which things were found', () => {
    const shuffled = <T>(record: Readonly<Record<string, T>>) =>
      fc.shuffledSubarray(Object.entries(record), { minLength: Object.keys(record).length })
    const { packages } = whole
    fc.assert(
      fc.property(
        shuffled(packages?.versions ?? {}),
        shuffled(whole.services),
        shuffled(whole),
        shuffled(packages ?? {}),
        (versions, services, all, of) => {
          const other = {
            ...Object.fromEntries(all),
            services: Object.fromEntries(services),
            packages: { ...Object.fromEntries(of), versions: Object.fromEntries(versions) },
          }
          expect(renderLock(other as unknown as Lock)).toBe(renderLock(whole))
        },
      ),
    )
    expect(renderLock(parseLock(renderLock(whole), 'it'))).toBe(renderLock(whole))
  })

  it('of the first version is read, and its day is of no account', async () => {
    await writeFile(lockFile(folder), JSON.stringify({ schema: 1, packages: '2026-11-24', services: lock.services }))
    expect(await readLock(folder)).toEqual(lock)
    expect(renderLock(lock)).not.toMatch(/20\d\d-/)
  })

  it('is missed with the command that makes it', async () => {
    await expect(readLock(folder)).rejects.toMatchObject({ code: 'lock-missing', hint: expect.stringContaining('golden lock') })
  })

  it.each([
    ['{', /not JSON/],
    ['null', /lock: /],
    [
      JSON.stringify({ schema: 2, services: { serena: { image: 'serena', digest: 'sha256:1' } } }),
      /services\.serena\.image[\s\S]*services\.serena\.digest[\s\S]*services\.nginx/,
    ],
    [
      JSON.stringify({ ...lock, services: { ...lock.services, loki: { image: 'grafana/loki', digest: `sha256:${hash('3')}` } } }),
      /services\.loki\.image: must begin with the registry's host; Docker Hub's is docker\.io/,
    ],
    [JSON.stringify({ ...lock, packages: '2026-11-24' }), /packages/],
    [JSON.stringify({ ...whole, packages: { ...whole.packages, versions: { 'a b': '1 2' } } }), /packages\.versions/],
    [JSON.stringify({ ...lock, services: { ...lock.services, extra: one('3') } }), /services/],
    [JSON.stringify({ ...lock, schema: 3 }), /schema/],
  ])('names every problem of %j', async (text, message) => {
    await writeFile(lockFile(folder), text)
    await expect(readLock(folder)).rejects.toMatchObject({ code: 'lock-invalid', message: expect.stringMatching(message) })
  })

  it('names a service without an image nowhere', () => {
    expect(references(lock)).toEqual({
      serena: `ghcr.io/oraios/serena@sha256:${hash('1')}`,
      nginx: `docker.io/library/nginx@sha256:${hash('2')}`,
    })
  })
})

describe('the digest of a lock', () => {
  const changed = (change: (draft: any) => void, from: Lock = whole): Lock => {
    const draft = structuredClone(from)
    change(draft)
    return draft
  }

  it.each<[string, (draft: any) => void]>([
    ['a container', (draft) => (draft.services.serena.digest = `sha256:${hash('3')}`)],
    ['the state of an archive', (draft) => (draft.packages.archives[0].suites.trixie = '2026-11-22T09:15:44Z')],
    ['its snapshot', (draft) => (draft.packages.archives[0].snapshot.at = '20261130T120000Z')],
    [
      'an archive',
      (draft) => draft.packages.archives.push({ url: 'http://x.example.org', components: ['main'], suites: { x: '2026-11-22T09:15:44Z' } }),
    ],
  ])('changes with %s', (_what, change) => expect(lockDigest(changed(change))).not.toBe(lockDigest(whole)))

  it.each<[string, (draft: any) => void]>([
    ['a tag', (draft) => delete draft.services.serena.tag],
    ['the manifest of a platform, which follows from its index', (draft) => (draft.services.serena.platform = `sha256:${hash('4')}`)],
    [
      'what a bake tells of the packages, which follows from the archives',
      (draft) => (draft.packages = { ...draft.packages, complete: false, versions: {} }),
    ],
    ['who vouches for the base, and its serial', (draft) => (draft.base = { ...draft.base, vouched: 'site', serial: undefined })],
    ['tools, which leave no trace', (draft) => (draft.tools.packer = '1.17.0')],
  ])('does not change with %s', (_what, change) => expect(lockDigest(changed(change))).toBe(lockDigest(whole)))
})

it('what is new in a lock is told piece by piece, with what it was', () => {
  const after = structuredClone(whole) as any
  after.services.serena.digest = `sha256:${hash('9')}`
  after.packages.versions = { git: '1:2.47.3-0+deb13u2', 'docker.io': '26.1.5+dfsg1-9', jq: '1.7' }
  after.base.sha256 = hash('b')
  after.base.serial = '20261201-1'
  after.tools = {}
  expect(changeLines(lockChanges(whole, after))).toEqual([
    'base debian-13: 20261120-2300 sha256:aaaaaaaaaaaa… → 20261201-1 sha256:bbbbbbbbbbbb…',
    'container serena: ghcr.io/oraios/serena:2.1.0@sha256:111111111111… → ghcr.io/oraios/serena:2.1.0@sha256:999999999999…',
    'package git: 1:2.47.3-0+deb13u1 → 1:2.47.3-0+deb13u2',
    'package jq: 1.7',
    'package adduser: 3.152 is gone',
    'tool packer: 1.16.0 is gone',
  ])
  expect(lockChanges(whole, whole)).toEqual([])
  expect(lockChanges(undefined, lock)).toHaveLength(2)
})

describe('a lock of another site or project', () => {
  const ground: LockGround = {
    base: { os: 'debian-13', sha256: hash('a') },
    archives: [
      {
        url: 'http://deb.example.org/debian',
        suites: ['trixie'],
        components: ['main'],
        snapshots: 'https://snapshot.example.org/debian',
        keys: '',
      },
    ],
    asked: ['docker.io', 'git'],
    languageServers: { pyright: '1.1.403' },
  }
  it('is as it was made, in any order of names', () => expect(outdated(whole, ground)).toEqual([]))

  it.each<[string, Partial<LockGround>, RegExp]>([
    [
      'base',
      { base: { os: 'debian-13', sha256: hash('b') } },
      /another base image \(debian-13 bbbbbbbbbbbb…, not debian-13 aaaaaaaaaaaa…\)/,
    ],
    ['archives', { archives: [] }, /other image\.archives/],
    ['packages', { asked: ['git', 'jq'] }, /other packages \(\+jq -docker\.io\)/],
    ['language servers', { languageServers: { pyright: '1.2' } }, /pyright 1\.2, not 1\.1\.403/],
    ['certificates', { acme: true }, /no image of lego/],
  ])('is refused for other %s, which are named', (_what, change, message) => {
    expect(() => requireCurrent(whole, { ...ground, ...change })).toThrow(
      expect.objectContaining({ code: 'lock-outdated', message: expect.stringMatching(message) }),
    )
  })

  it('is not, where it says nothing of them', () =>
    expect(outdated(lock, { ...ground, base: { os: 'ubuntu-24.04', sha256: hash('c') }, asked: [] })).toEqual([]))
})

describe('what a bake gives back', () => {
  const open: Lock = {
    ...whole,
    packages: { ...(whole.packages as NonNullable<Lock['packages']>), complete: false, versions: { git: '1' } },
  }
  const versions = { git: '1', perl: '5' }
  const warned: string[] = []
  const complete = (baked: Lock): Promise<boolean> => completeLock(folder, baked, versions, (text) => void warned.push(text))
  beforeEach(() => void warned.splice(0))

  it('completes the lock that was baked', async () => {
    await writeLock(folder, open)
    expect(await complete(await readLock(folder))).toBe(true)
    expect((await readLock(folder)).packages).toMatchObject({ complete: true, versions })
    expect([await complete(await readLock(folder)), warned]).toEqual([false, []])
  })

  it('leaves one alone that has no packages, or was changed meanwhile', async () => {
    await writeLock(folder, lock)
    expect([await complete(lock), warned]).toEqual([false, []])
    expect(await complete(open)).toBe(false)
    expect(warned).toEqual([expect.stringContaining('changed while it was baked')])
    expect(await readFile(lockFile(folder), 'utf8')).toBe(renderLock(lock))
  })

  describe('of an image that is there already', () => {
    const built = '2026-11-24T01:00:00Z'
    const name = 'golden-home-f00'
    const keep = (at = built): Promise<string> =>
      writeManifest(folder, name, {
        schema: 1,
        fingerprint: hash('f'),
        built: at,
        base: { os: 'debian-13', sha256: hash('a') },
        packages: versions,
        packagesBytes: 0,
        containers: {},
        files: {},
      })
    const from = async (record: { manifest?: string }): Promise<boolean> =>
      completeFromManifest(folder, await readLock(folder), { name, built, ...record }, (text) => void warned.push(text))
    beforeEach(() => writeLock(folder, open))

    it('is what its manifest has', async () => {
      const manifest = await keep()
      expect([await from({ manifest }), warned]).toEqual([true, []])
      expect((await readLock(folder)).packages).toMatchObject({ complete: true, versions })
      // Without a word of the manifest, once there is nothing to complete.
      expect([await from({ manifest: hash('0') }), warned]).toEqual([false, []])
    })

    it('is nothing without that manifest, which is told with what mends it', async () => {
      expect(await from({ manifest: hash('0') })).toBe(false)
      await keep('2026-11-25T01:00:00Z')
      expect([await from({ manifest: hash('0') }), await from({})]).toEqual([false, false])
      expect(warned).toEqual([
        expect.stringMatching(/its manifest is not in the site folder \(records\/golden-home-f00\.manifest\.json\)/),
        expect.stringContaining('another one than its record names'),
        expect.stringMatching(/another bake of the same inputs\. .*"npx golden bake" completes the lock; .*"npx golden lock --packages"/),
      ])
      expect(await readFile(lockFile(folder), 'utf8')).toBe(renderLock(open))
    })
  })
})

describe('fingerprint', () => {
  const inputs: ImageInputs = {
    base: { os: 'debian-13', sha256: hash('a') },
    diskGiB: 16,
    staged: { rootfs: hash('b') },
    lock: hash('c'),
    packages: ['docker.io', 'git'],
    masked: ['snapd.service'],
    enabled: ['docker.service'],
    sources: { 'a.sh': 'true', 'b.sh': 'false' },
  }

  it('does not depend on order', () => {
    expect(fingerprint({ ...inputs, packages: ['git', 'docker.io'], sources: { 'b.sh': 'false', 'a.sh': 'true' } })).toBe(
      fingerprint(inputs),
    )
  })

  it.each<[string, Partial<ImageInputs>]>([
    ['base', { base: { os: 'debian-13', sha256: hash('b') } }],
    ['disk size', { diskGiB: 17 }],
    ['staged files', { staged: { rootfs: hash('c') } }],
    ['lock', { lock: hash('d') }],
    ['packages', { packages: ['docker.io'] }],
    ['masked units', { masked: [] }],
    ['enabled units', { enabled: [] }],
    ['scripts', { sources: { 'a.sh': 'true', 'b.sh': 'true' } }],
    ['names of scripts', { sources: { 'b.sh': 'true', 'a.sh': 'false' } }],
  ])('changes with the %s', (_what, change) => {
    expect(fingerprint({ ...inputs, ...change })).not.toBe(fingerprint(inputs))
  })
})
