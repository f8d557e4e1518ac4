/** An image's life on a Proxmox with fake guests: promoted by two at once, deployed, revoked, removed. */
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { listImages } from '../../images/catalog.ts'
import { splitTags } from '../../images/channels.ts'
import { promote } from '../../images/promote.ts'
import { renderRecord } from '../../images/record.ts'
import { planRevocation, revoke } from '../../images/revoke.ts'
import { unsigned } from '../../images/signature.ts'
import { vouch } from '../../images/vouch.ts'
import { connect, ProxmoxError, type Proxmox } from '../../proxmox/client.ts'
import { doomedTag } from '../../proxmox/doomed.ts'
import { readPins } from '../../releases/pins.ts'
import { uploadSeed, readSeedSecrets } from '../../releases/seed.ts'
import { seedTag, givenKey } from '../../releases/given.ts'
import { newRelease } from '../../releases/deployment.ts'
import { deploy } from '../../rollout/deploy.ts'
import { readImages } from '../../rollout/list-images.ts'
import type { PruneOptions } from '../../rollout/plan-prune.ts'
import { planPruning, prune } from '../../rollout/prune.ts'
import { renderStatus } from '../../rollout/render-status.ts'
import { rollback } from '../../rollout/rollback.ts'
import { rollout } from '../../rollout/rollout.ts'
import { readStatus } from '../../rollout/status.ts'
import type { Site } from '../../settings/site.ts'
import { startOneVm, type OneVm } from './one-vm.ts'

let t: OneVm
let site: Site
let far: Proxmox
const how: PruneOptions = { wantedBase: 'f'.repeat(64), mayBeBaking: () => false, oldSlots: false }
const catalogue = async () => (await listImages(t.proxmox, site)).images
const image = async (vmid: number) => (await catalogue()).find((one) => one.vmid === vmid) ?? expect.fail(`there is no image ${vmid}`)
const configOf = (vmid: number): Promise<Record<string, string>> => t.root.get(`/nodes/pve/qemu/${vmid}/config`)
const seeds = (): Promise<{ volid: string }[]> => t.root.get(`/nodes/pve/storage/${site.proxmox.storage.iso}/content`, { content: 'iso' })
const built = (hour: number): string => `2026-11-24T0${hour}:00:00.000Z`

beforeAll(async () => {
  t = await startOneVm()
  site = { ...t.site, image: { ...t.site.image, keep: 1 }, rollout: { ...t.site.rollout, soakMinutes: 0 } }
  far = connect({ url: t.proxmox.url, caPem: await readFile(t.options().caFile!, 'utf8'), auth: t.options().token })
})
afterAll(async () => {
  far?.close()
  await t?.close()
})

it('what several computers promote and revoke at once all comes about, and twice is once', async () => {
  const one = await image(9001)
  const by = (who: string, proxmox: Proxmox) => ({ proxmox, site, folder: t.folder, by: who, pauseMs: 1 })
  const [first, second] = await Promise.all([
    promote(by('ann@desk', t.proxmox), one, 'stable'),
    promote(by('bob@laptop', far), one, 'stable'),
  ])
  expect([first, second]).toContain(true)
  expect(await promote(by('ann@desk', t.proxmox), await image(9001), 'stable')).toBe(false)
  await t.addImage(9002, built(1))
  const two = await image(9002)
  const [promotion, revocation] = await Promise.allSettled([
    promote(by('ann@desk', t.proxmox), two, 'stable'),
    revoke({ proxmox: far, by: 'bob@laptop', pauseMs: 1 }, { templates: [two] }, 'CVE-2026-1'),
  ])
  expect(promotion.status === 'fulfilled' || (promotion.reason as { code: string }).code).toSatisfy(
    (is) => is === true || is === 'image-revoked',
  )
  expect(revocation).toMatchObject({ status: 'fulfilled' })
  expect(await image(9002)).toMatchObject({ revoked: true, revokedFor: expect.stringContaining('CVE-2026-1 (bob@laptop') })
  expect(splitTags((await configOf(9002)).tags)).toContain('golden-revoked')
})

it('a site of channel stable deploys what is stable, not what is newer', async () => {
  await t.addImage(9003, built(3))
  const wanting: Site = { ...site, image: { ...site.image, channel: 'stable' } }
  const signed = await image(9001)
  await t.root.put('/nodes/pve/qemu/9001/config', { description: renderRecord({ ...signed.record, built: built(2) }) })
  await expect(deploy(t.options({ site: wanting }))).rejects.toMatchObject({ code: 'image-altered' })
  await t.root.put('/nodes/pve/qemu/9001/config', { description: renderRecord(unsigned(signed.record)) })
  await expect(deploy(t.options({ site: wanting }))).rejects.toMatchObject({ code: 'image-unsigned' })
  expect(await t.made()).toMatchObject({ releases: {}, seeds: [] })
  expect(await vouch({ ...t.options(), site }, await image(9001))).toBe(true)
  expect(await deploy(t.options({ site: wanting }))).toMatchObject([{ outcome: 'deployed', image: { vmid: 9001 } }])
  const { images } = await readImages({ site: wanting, folder: t.folder, proxmox: t.proxmox })
  expect(images.map(({ vmid, channel, revoked, next }) => ({ vmid, channel, revoked, next }))).toMatchObject(
    [
      { vmid: 9003, channel: 'candidate', next: false },
      { vmid: 9001, channel: 'stable', next: true },
      { vmid: 9002, revoked: true, next: false },
    ].sort((a, b) => order(images, a.vmid) - order(images, b.vmid)),
  )
  expect(images.find(({ vmid }) => vmid === 9001)?.uses).toEqual([
    { kind: 'slot', group: 'all', slot: 'blue', serves: true },
    { kind: 'vm', vmid: 9011, name: 'home-all-blue', linked: expect.any(Boolean) },
  ])
  expect(images.find(({ vmid }) => vmid === 9001)?.bytes).toBeGreaterThan(0)
}, 240_000)

const order = (images: readonly { readonly vmid: number }[], vmid: number): number => images.findIndex((one) => one.vmid === vmid)

it('status shouts while a revoked image runs; nothing is deployed of it, and another one takes over', async () => {
  await revoke({ proxmox: t.proxmox, by: 'ann@desk' }, planRevocation(await image(9001), await catalogue(), []), 'leaks keys')
  const status = await readStatus({ site, folder: t.folder, proxmox: t.proxmox })
  expect(status).toMatchObject({ healthy: false, groups: { all: { revoked: expect.stringContaining('leaks keys'), health: 'unhealthy' } } })
  expect(renderStatus(status)).toMatch(/^REVOKED {3}all runs it: image golden-home-\S+ is revoked, because: leaks keys \(ann@desk/)
  await expect(deploy(t.options({ site }))).rejects.toMatchObject({ code: 'image-revoked', message: expect.stringContaining('leaks keys') })
  await expect(rollout({ ...t.options({ site }), image: '9001' })).rejects.toMatchObject({ code: 'image-revoked' })
  expect(await rollout(t.options({ site }))).toMatchObject([{ outcome: 'rolled-out', slot: 'green' }])
  expect((await readPins(t.folder)).groups.all?.slots.green?.image.vmid).toBe(9003)
  expect(await deploy(t.options({ site }))).toMatchObject([{ outcome: 'unchanged' }])
  const after = await readStatus({ site, folder: t.folder, proxmox: t.proxmox })
  expect(after.groups.all).toMatchObject({ revoked: null, warnings: expect.arrayContaining([expect.stringContaining('leaks keys')]) })
  await expect(rollback(t.options({ site }), ['all'])).rejects.toMatchObject({ code: 'image-revoked' })
}, 240_000)

it('prune keeps what runs and what is kept for the way back, and takes a stray seed and what is of no use', async () => {
  const { id } = newRelease(site, 'all', 'blue', {
    id: '0'.repeat(12),
    created: new Date(),
    image: { vmid: 1, name: 'x', fingerprint: 'x' },
  })
  const stray = newRelease(site, 'all', 'blue', {
    id,
    created: new Date(),
    image: { vmid: 9001, name: 'x', fingerprint: 'x' },
    seedTag: seedTag(await givenKey(t.folder), site.name, 9011, id),
  })
  await uploadSeed(t.proxmox, stray, await readSeedSecrets(site, t.folder, stray))
  const before = await seeds()
  const plan = await planPruning({ site, folder: t.folder, proxmox: t.proxmox }, how)
  expect(plan).toMatchObject({ remove: [{ vmid: 9002 }], seeds: [stray.vm.seed], oldSlots: [] })
  expect(await seeds()).toEqual(before)
  expect(await prune(t.options({ site }), how, plan)).toMatchObject({ left: [], plan: { remove: [{ vmid: 9002 }] } })
  expect((await catalogue()).map(({ vmid }) => vmid).sort()).toEqual([9001, 9003])
  expect((await seeds()).length).toBe(before.length - 1)
  expect(await planPruning({ site, folder: t.folder, proxmox: t.proxmox }, how)).toMatchObject({ remove: [], seeds: [] })
})

/** The same API, on which something happens right before that kind of change of that VM, once. */
function before(method: 'put' | 'del', vmid: number, happens: () => Promise<unknown>): Proxmox {
  let done = false
  return new Proxy(t.proxmox, {
    get: (target, key) => {
      const value = Reflect.get(target, key) as unknown
      if (key !== method) return typeof value === 'function' ? (value.bind(target) as unknown) : value
      return async (path: string, ...more: unknown[]) => {
        if (!done && path.startsWith(`/nodes/pve/qemu/${vmid}`)) {
          done = true
          await happens()
        }
        return (value as (...all: unknown[]) => unknown).call(target, path, ...more)
      }
    },
  })
}

it('what somebody promotes after it was agreed to, or in the very moment of its removal, stays', async () => {
  await t.addImage(9004, built(0))
  const plan = await planPruning({ site, folder: t.folder, proxmox: t.proxmox }, how)
  expect(plan.remove).toMatchObject([{ vmid: 9004 }])
  const proxmox = before('put', 9004, async () =>
    promote({ proxmox: far, site, folder: t.folder, by: 'bob@laptop' }, await image(9004), 'stable'),
  )
  expect(await prune(t.options({ site, proxmox }), how, plan)).toMatchObject({ plan: { remove: [] }, left: [{ vmid: 9004 }] })
  expect(await image(9004)).toMatchObject({ channel: 'stable' })
  expect(await prune(t.options({ site }), how, plan)).toMatchObject({ plan: { remove: [] }, left: [] })
})

it('what Proxmox does not remove, for a linked clone that this token can not see, is an image as before', async () => {
  await t.addImage(9006, built(0))
  const { tags } = await configOf(9006)
  const plan = await planPruning({ site, folder: t.folder, proxmox: t.proxmox }, how)
  expect(plan.remove).toMatchObject([{ vmid: 9006 }])
  const refuses = before('del', 9006, () => {
    throw new ProxmoxError('task-failed', "base volume 'x:base-9006-disk-0' is still in use by linked cloned", '', {
      status: 500,
      method: 'DELETE',
      path: '',
    })
  })
  expect(await prune(t.options({ site, proxmox: refuses }), how, plan)).toMatchObject({ left: [{ vmid: 9006 }] })
  expect((await configOf(9006)).tags).toBe(tags)
  expect(await prune(t.options({ site }), how, plan)).toMatchObject({ left: [], plan: { remove: [{ vmid: 9006 }] } })
})

it('a removal that was killed after it had begun is ended by the next one', async () => {
  await t.addImage(9005, built(0))
  await t.root.put('/nodes/pve/qemu/9005/config', { tags: doomedTag })
  const plan = await planPruning({ site, folder: t.folder, proxmox: t.proxmox }, how)
  expect(plan.remove).toMatchObject([{ vmid: 9005 }])
  await prune(t.options({ site }), how, plan)
  await expect(configOf(9005)).rejects.toThrow()
})

it('slots that rest go if that is asked, and their image, for good; the one that serves is as before', async () => {
  const old = { ...how, oldSlots: true }
  const plan = await planPruning({ site, folder: t.folder, proxmox: t.proxmox }, old)
  expect(plan).toMatchObject({ oldSlots: [{ group: 'all', slot: 'blue', vmid: 9011 }], remove: [{ vmid: 9001 }] })
  expect(await prune(t.options({ site }), old, plan)).toMatchObject({ left: [] })
  expect((await readPins(t.folder)).groups.all).toMatchObject({ active: 'green', slots: { green: { image: { vmid: 9003 } } } })
  expect((await readPins(t.folder)).groups.all?.slots.blue).toBeUndefined()
  await expect(configOf(9011)).rejects.toThrow()
  await expect(configOf(9001)).rejects.toThrow()
  expect(await t.place()).toMatchObject({ at: 'green' })
  expect(await deploy(t.options({ site }))).toMatchObject([{ outcome: 'unchanged' }])
  await expect(rollback(t.options({ site }), ['all'])).rejects.toMatchObject({ code: 'nothing-to-go-back-to' })
}, 240_000)
