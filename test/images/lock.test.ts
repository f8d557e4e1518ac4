import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { canonical, sha256 } from '../../core/canonical.ts'
import { fingerprint, type ImageInputs } from '../../images/fingerprint.ts'
import { defaultImages, lockDigest, lockFile, readLock, references, writeLock, type Lock } from '../../images/lock.ts'
import { updateLock } from '../../images/resolve.ts'
import { silent } from '../../core/progress.ts'
import { exampleSite, hash } from './example.ts'

const one = (letter: string, tag?: string) => ({
  image: 'ghcr.io/oraios/serena',
  digest: `sha256:${hash(letter)}`,
  ...(tag ? { tag } : {}),
})
const lock: Lock = {
  schema: 1,
  services: { serena: one('1', '2.1.0'), nginx: { image: 'docker.io/library/nginx', digest: `sha256:${hash('2')}` } },
}

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'golden-lock-'))
})
afterEach(() => rm(folder, { recursive: true }))

describe('images.lock.json', () => {
  it('is read as it was written', async () => {
    await writeLock(folder, lock)
    expect(await readLock(folder)).toEqual(lock)
  })

  it('is missed with the command that makes it', async () => {
    await expect(readLock(folder)).rejects.toMatchObject({ code: 'lock-missing', hint: expect.stringContaining('golden lock') })
  })

  it.each([
    ['{', /not JSON/],
    [
      JSON.stringify({ schema: 1, services: { serena: { image: 'serena', digest: 'sha256:1' } } }),
      /services\.serena\.image[\s\S]*services\.serena\.digest[\s\S]*services\.nginx/,
    ],
    [
      JSON.stringify({ ...lock, services: { ...lock.services, loki: { image: 'grafana/loki', digest: `sha256:${hash('3')}` } } }),
      /services\.loki\.image: must begin with the registry's host; Docker Hub's is docker\.io/,
    ],
    [JSON.stringify({ ...lock, packages: 'today' }), /packages/],
    [JSON.stringify({ ...lock, services: { ...lock.services, extra: one('3') } }), /services/],
  ])('names every problem of %j', async (text, message) => {
    await writeFile(lockFile(folder), text)
    await expect(readLock(folder)).rejects.toMatchObject({ code: 'lock-invalid', message: expect.stringMatching(message) })
  })

  it('has a digest that only what is pulled changes', () => {
    const { tag: _tag, ...untagged } = one('1', '2.1.0')
    expect(lockDigest({ schema: 1, services: { nginx: lock.services.nginx, serena: untagged } })).toBe(lockDigest(lock))
    expect(lockDigest({ schema: 1, services: { ...lock.services, serena: one('3') } })).not.toBe(lockDigest(lock))
  })

  it('has another digest on another day, and the one it had when it names none', () => {
    const dated = (packages: string): Lock => ({ ...lock, packages })
    expect(lockDigest(dated('2026-11-24'))).not.toBe(lockDigest(dated('2026-11-25')))
    expect(lockDigest(lock)).toBe(sha256(canonical({ schema: 1, services: references(lock) })))
  })

  it('names a service without an image nowhere', () => {
    expect(references(lock)).toEqual({
      serena: `ghcr.io/oraios/serena@sha256:${hash('1')}`,
      nginx: `docker.io/library/nginx@sha256:${hash('2')}`,
    })
  })
})

describe('golden lock', () => {
  const site = exampleSite()
  it("starts with the project's own images", async () => {
    const { changes } = await updateLock({
      site,
      folder,
      progress: silent,
      resolve: async (_image, tag) => `sha256:${hash(String(tag.length % 10))}`,
    })
    expect(changes.map(({ service, image }) => [service, image])).toEqual(
      Object.entries(defaultImages)
        .filter(([service]) => service !== 'promtail')
        .map(([service, { image }]) => [service, image]),
    )
    expect(Object.keys((await readLock(folder)).services)).toEqual(['serena', 'nginx', 'otelcol', 'loki', 'grafana'])
  })

  it('has the log agent that the site asks for, and not the other one', async () => {
    const resolve = async () => `sha256:${hash('1')}`
    const agents = async (agent: 'otelcol' | 'promtail'): Promise<string[]> => {
      await updateLock({ site: { ...site, logging: { ...site.logging, agent } }, folder, progress: silent, resolve })
      return Object.keys((await readLock(folder)).services).filter((name) => name === 'otelcol' || name === 'promtail')
    }
    expect([await agents('promtail'), await agents('otelcol'), await agents('otelcol')]).toEqual([['promtail'], ['otelcol'], ['otelcol']])
  })

  const now = new Date('2026-11-24T23:00:00Z')

  it('takes the packages of its day', async () => {
    await writeLock(folder, lock)
    const resolve = async () => `sha256:${hash('1')}`
    expect((await updateLock({ site, folder, progress: silent, resolve, now })).packages).toEqual({ to: '2026-11-24' })
    expect((await updateLock({ site, folder, progress: silent, resolve, now })).packages).toBeUndefined()
    const later = await updateLock({ site, folder, progress: silent, resolve, now: new Date('2026-11-25T01:00:00Z') })
    expect(later).toMatchObject({ changes: [], packages: { from: '2026-11-24', to: '2026-11-25' } })
    expect(await readLock(folder)).toEqual({ ...lock, packages: '2026-11-25' })
  })

  it('looks up tags again, leaves entries without a tag alone, and writes nothing when nothing changed', async () => {
    await writeLock(folder, { ...lock, packages: '2026-11-24' })
    const before = await readFile(lockFile(folder), 'utf8')
    const asked: string[] = []
    const same = await updateLock({
      site,
      folder,
      progress: silent,
      now,
      resolve: async (image) => {
        asked.push(image)
        return `sha256:${hash('1')}`
      },
    })
    expect(asked).toEqual(['ghcr.io/oraios/serena'])
    expect(same.changes).toEqual([])
    expect(await readFile(lockFile(folder), 'utf8')).toBe(before)
    const other = await updateLock({ site, folder, progress: silent, now, resolve: async () => `sha256:${hash('9')}` })
    expect(other.changes).toEqual([
      { service: 'serena', image: 'ghcr.io/oraios/serena', tag: '2.1.0', from: `sha256:${hash('1')}`, to: `sha256:${hash('9')}` },
    ])
    expect((await readLock(folder)).services.serena.digest).toBe(`sha256:${hash('9')}`)
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
