/** Nights with the real steps, real Packer and fake guests: something new, nothing new, one thing new. Only the lock is said, not looked up. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { cacheFolder } from '../../core/folders.ts'
import { readLock, writeLock, type Lock } from '../../images/lock.ts'
import type { NightRules } from '../../nightly/decide-night.ts'
import { holdNight, type HeldNight } from '../../nightly/hold-night.ts'
import { nightSteps } from '../../scripts/night-steps.ts'
import { openPackages, startTestLab, type TestLab } from '../packer/lab.ts'
import { testLock } from '../set-up.ts'

let t: TestLab
/** As `golden lock` makes it where there is none: it does not know yet what apt brings along. */
let open: Lock
beforeAll(async () => {
  t = await startTestLab()
  open = { ...testLock, packages: await openPackages(t) }
}, 300_000)
afterAll(() => t?.close())

const rules: NightRules = { promote: 'at-once', rollout: 'at-once', prune: true, channel: 'candidate' }
const minute = 60_000

async function night(lock: Lock): Promise<HeldNight> {
  const { site, folder, proxmox, token, caFile, progress, signal } = t.bakeOptions()
  // All of an image: what runs in a clone is tried.
  const place = {
    site,
    folder,
    env: process.env,
    cacheDir: cacheFolder(process.env),
    progress,
    signal,
    open: async () => ({ site, folder, proxmox, token, caFile }),
  }
  const steps = {
    ...nightSteps(place),
    lock: async () => {
      await writeLock(folder, lock)
      return []
    },
  }
  const clock = { now: () => new Date(), elapsed: () => performance.now(), until: () => Promise.reject(new Error('nothing to wait for')) }
  return holdNight(steps, { folder, site: site.name, by: 'ann@desk', rules, clock, progress, signal, report: async () => {} })
}

const vms = async (): Promise<readonly unknown[]> => t.root.get('/cluster/resources', { type: 'vm' })
const volumes = async (): Promise<readonly unknown[]> => t.root.get('/nodes/pve/storage/local-lvm/content')

it(
  'a first night makes an image, verifies it and promotes it',
  async () => {
    const { record } = await night(open)
    expect(record.failure).toBe(null)
    expect(record).toMatchObject({
      outcome: 'new',
      verified: { passed: true },
      promoted: [{ name: record.baked?.name }],
      rolledOut: [],
      complaints: [],
      survey: { images: [{ name: record.baked?.name, channel: 'stable', verification: 'passed', revoked: false }] },
    })
    expect(record.steps.map(({ step, ok }) => [step, ok])).toEqual(['lock', 'bake', 'verify', 'promote'].map((step) => [step, true]))
  },
  10 * minute,
)

it('a night with nothing new makes no VM, and takes seconds of a processor', async () => {
  const before = [await vms(), await volumes()]
  const began = process.cpuUsage()
  const { record } = await night(open)
  // How long that is by the clock hangs on what else this computer does: npm run bench -- nightly.
  const { user, system } = process.cpuUsage(began)
  expect((user + system) / 1000).toBeLessThan(5000)
  expect(record).toMatchObject({ outcome: 'nothing', steps: [{ step: 'lock' }], failure: null, complaints: [] })
  expect([await vms(), await volumes()]).toEqual(before)
  // Its lock was made anew: without a bake, too, it gets the versions that it did not know, or nothing newer would be found.
  expect((await readLock(t.folder)).packages).toMatchObject({ complete: true, versions: { apt: expect.any(String) } })
})

it(
  'the report of a night with one new container names exactly that',
  async () => {
    const { serena } = open.services
    const digest = `sha256:${'9'.repeat(64)}`
    const { record } = await night({ ...open, services: { ...open.services, serena: { ...serena, digest } } })
    expect(record.failure).toBe(null)
    expect(record.outcome).toBe('new')
    expect(record.survey?.differences?.news).toEqual([
      { what: 'container', name: 'serena', from: `${serena.image}@${serena.digest}`, to: `${serena.image}@${digest}` },
    ])
  },
  10 * minute,
)
