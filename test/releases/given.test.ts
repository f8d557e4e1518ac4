/** What a release was given, told by keyed digests: a change is named, a seed that is made again is the same or refused. */
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { differs } from '../../rollout/edits.ts'
import {
  certificatesOf,
  certificateWarnings,
  changedSince,
  givenKey,
  givenOf,
  readGivenKey,
  refuseOtherSeed,
  seedTag,
} from '../../releases/given.ts'
import { updatePins } from '../../releases/pins.ts'
import { readSeedSecrets, removeStraySeeds, secretDifferences } from '../../releases/seed.ts'
import { readStatus } from '../../rollout/status.ts'
import { verb as client } from '../../scripts/client.ts'
import { newRelease, parseDeployment, renderDeployment, type Release } from '../../releases/deployment.ts'
import { startRolloutLab, type RolloutLab } from '../rollout/lab.ts'

const id = '0123456789ab'
const day = 86_400_000
let t: RolloutLab
let key: Buffer
let old: Release
let release: Release

beforeAll(async () => {
  t = await startRolloutLab({}, 'one-vm')
  key = await givenKey(t.folder)
  old = newRelease(t.site, 'all', 'blue', { id, created: new Date(), image: { vmid: 9001, name: 'x', fingerprint: 'f'.repeat(64) } })
  release = { ...old, given: givenOf(key, id, await readSeedSecrets(t.site, t.folder, old)) }
})
afterAll(() => t?.close())

const passwordFile = (): string => {
  const { password } = t.site.serena.users[0]!
  if (password.kind !== 'file') throw new Error('not in a file')
  return join(t.folder, password.path)
}

/** As long as it takes another password is in the site folder. */
async function withOtherPassword<T>(work: () => Promise<T>): Promise<T> {
  const before = await readFile(passwordFile(), 'utf8')
  await writeFile(passwordFile(), 'another-password\n')
  try {
    return await work()
  } finally {
    await writeFile(passwordFile(), before)
  }
}

it("the key is its owner's alone, made once, and what is in the pin tells nothing without it", async () => {
  expect((await stat(join(t.folder, 'secrets', 'release-key'))).mode & 0o777).toBe(0o600)
  expect(await givenKey(t.folder)).toEqual(key)
  const secrets = await readSeedSecrets(t.site, t.folder, old)
  const digests = Object.values(release.given!.digests)
  // Not even that two releases, or two users, have the same secret.
  expect(Object.values(givenOf(key, 'ba9876543210', secrets).digests).filter((one) => digests.includes(one))).toEqual([])
  expect(new Set(digests).size).toBe(digests.length)
  expect(renderDeployment({ schema: 1, groups: { all: { slots: { blue: release }, active: 'blue' } } })).not.toContain(key.toString('hex'))
})

it('a pin of before there was a key of the slots is no other for it; one with another key is', async () => {
  const secrets = await readSeedSecrets(t.site, t.folder, old)
  const { "the slots' own key": own, ...before } = release.given!.digests
  expect(own).toMatch(/^[0-9a-f]{64}$/)
  expect(changedSince({ ...release, given: { ...release.given!, digests: before } }, key, secrets)).toEqual([])
  expect(changedSince(release, key, { ...secrets, peer: { certificate: 'x', key: 'x' } })).toEqual(["the slots' own key"])
})

it('a pin with digests reads back, and is no difference by itself', () => {
  expect(parseDeployment(renderDeployment({ schema: 1, groups: { all: { slots: { blue: release }, active: 'blue' } } }))).toMatchObject({
    ok: true,
    deployment: { groups: { all: { slots: { blue: { given: release.given } } } } },
  })
  expect(differs(t.site, 'all', 'blue', release)).toBe(false)
})

it('a changed password is a difference that status names, and client says that the VM has another one', async () => {
  const user = t.site.serena.users[0]!.name
  await updatePins(t.folder, 'all', () => ({ dataDisk: 'made', depot: 9010, active: 'blue', slots: { blue: release } }))
  const show = async (): Promise<string> => {
    let shown = ''
    await client.run({
      flags: { 'show-password': true },
      arguments: ['cursor'],
      env: { GOLDEN_SITE: t.folder },
      progress: { ...t.options().progress, warn: (text) => (shown += text) },
      json: false,
      signal: new AbortController().signal,
      result: (text) => JSON.parse(text),
    })
    return shown
  }
  expect(await secretDifferences(t.site, t.folder, 'all', release)).toEqual([])
  expect(await show()).not.toContain('is not the one')
  await withOtherPassword(async () => {
    expect((await readStatus(t.options())).groups.all).toMatchObject({
      siteDiffers: true,
      differences: [expect.stringMatching(new RegExp(`the password of ${user} .*golden rollout all`))],
    })
    expect(await show()).toMatch(/is not the one that the VM has.*golden rollout all/)
  })
  await updatePins(t.folder, 'all', () => undefined)
})

it('a lost seed is made again only if it is the same, and not where nobody can tell: without the key, or of an earlier version', async () => {
  await expect(refuseOtherSeed(t.folder, 'all', release, await readSeedSecrets(t.site, t.folder, release))).resolves.toBeUndefined()
  await withOtherPassword(async () => {
    const secrets = await readSeedSecrets(t.site, t.folder, release)
    await expect(refuseOtherSeed(t.folder, 'all', release, secrets)).rejects.toMatchObject({
      code: 'seed-differs',
      message: expect.stringContaining('the password of'),
    })
    await expect(refuseOtherSeed(t.folder, 'all', old, secrets)).rejects.toMatchObject({
      code: 'seed-differs',
      message: expect.stringContaining('of an earlier version'),
    })
    expect(changedSince(release, Buffer.alloc(32), secrets)).toBeUndefined()
  })
  const other = { ...release, given: { ...release.given!, key: '0'.repeat(16) } }
  await expect(refuseOtherSeed(t.folder, 'all', other, await readSeedSecrets(t.site, t.folder, release))).rejects.toMatchObject({
    code: 'seed-differs',
    message: expect.stringContaining('release-key'),
  })
})

it('certificates have their days, and a warning with what mends it from 30 days on', () => {
  const certificates = certificatesOf(release.given, new Date())
  expect(certificates.map(({ name }) => name)).toEqual(["the site's CA", 'the public certificate', 'the logging certificate'])
  expect(certificateWarnings('all', undefined, certificates)).toEqual([])
  const ends = Date.parse(release.given!.ends['the public certificate']!)
  const at = (days: number): string[] => certificateWarnings('all', undefined, certificatesOf(release.given, new Date(ends - days * day)))
  expect(at(31)).toEqual([])
  expect(at(30)).toEqual([
    expect.stringMatching(/^the public certificate that the VM has ends in 30 days .*golden init.*golden rollout all/),
    expect.stringContaining('logging'),
  ])
  expect(at(-2)[0]).toContain('has ended')
  expect(certificateWarnings('all', 'own.pem', certificatesOf(release.given, new Date(ends)))[0]).toContain('put a new one at own.pem')
})

it('of two sites of one name on one storage each removes its own stray seeds only', async () => {
  const { node, storage } = t.site.proxmox
  const own = `seed-9011-${id}${seedTag(key, 'home', 9011, id)}.iso`
  const others = [
    `seed-9011-${id}${seedTag(Buffer.alloc(32), 'home', 9011, id)}.iso`,
    `seed-9011-${id}.iso`,
    `seed-9012-${id}${seedTag(key, 'home', 9011, id)}.iso`,
  ]
  for (const name of [own, ...others])
    await t.proxmox.upload({ node, storage: storage.iso, content: 'iso', filename: name, data: Buffer.from('x') })
  const left = async (): Promise<string[]> =>
    (await t.proxmox.get<{ volid: string }[]>(`/nodes/${node}/storage/${storage.iso}/content`, { content: 'iso' }))
      .map(({ volid }) => volid.split('/')[1]!)
      .sort()
  await removeStraySeeds(t.proxmox, t.site, node, [9011, 9012], undefined)
  expect(await left()).toEqual([own, ...others].sort())
  await removeStraySeeds(t.proxmox, t.site, node, [9011, 9012], await readGivenKey(t.folder))
  expect(await left()).toEqual([...others].sort())
  await removeStraySeeds(t.proxmox, t.site, node, [9011, 9012], key, [`${storage.iso}:iso/seed-9011-${id}.iso`])
  expect(await left()).toHaveLength(2)
})
