/**
 * Two runs with opposite aims, each on a computer of its own, so that nothing in a site folder keeps them apart: whatever
 * one of them looked at may have changed when it acts on it. Neither may cost the data.
 */
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { connect as tcp, createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { dataLabel } from '../../images/guest/places.ts'
import { loadContent, saveContent } from '../../lab/compute/fake/volumes.ts'
import { connect, type Proxmox } from '../../proxmox/client.ts'
import { activate } from '../../rollout/activate.ts'
import { deleteData } from '../../rollout/delete-data.ts'
import { diskPlace, observeGroup, placesOf, type GroupPlaces } from '../../rollout/observe.ts'
import { release } from '../../rollout/release.ts'
import { readSeedSecrets, uploadSeed } from '../../releases/seed.ts'
import { removeLeftover } from '../../rollout/slots.ts'
import { newRelease, type Release } from '../../releases/deployment.ts'
import type { Site } from '../../settings/site.ts'
import { startRolloutLab, type RolloutLab } from './lab.ts'

let t: RolloutLab
beforeAll(async () => {
  t = await startRolloutLab({}, 'one-vm')
  await t.addImage(9001)
})
afterAll(() => t?.close())

const { signal } = new AbortController()
const configOf = (vmid: number): Promise<Record<string, unknown>> => t.root.get(`/nodes/pve/qemu/${vmid}/config`)
const releaseOf = (site: Site, group: string): Release =>
  newRelease(site, group, 'blue', {
    id: 'abcabcabcabc',
    created: new Date(),
    image: { vmid: 9001, name: 'x', fingerprint: 'f'.repeat(64) },
  })

async function makeSlot(proxmox: Proxmox, rel: Release): Promise<void> {
  await proxmox.task(await proxmox.post<string>('/nodes/pve/qemu/9001/clone', { newid: rel.vm.vmid, name: rel.vm.name, pool: rel.vm.pool }))
  await proxmox.put(`/nodes/pve/qemu/${rel.vm.vmid}/config`, {
    scsi13: `${rel.vm.seed},media=cdrom`,
    net0: `virtio=${rel.vm.mac},bridge=${t.site.proxmox.bridge}`,
  })
}

/** A line on which everything arrives `ms` later. */
async function slowLine(port: number, ms: number): Promise<{ port: number; close(): void }> {
  const server = createServer((near) => {
    const far = tcp(port, '127.0.0.1')
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from
        .on('data', (data) => setTimeout(() => to.write(data), ms))
        .on('end', () => setTimeout(() => to.end(), ms))
        .on('error', () => {})
    }
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return { port: (server.address() as AddressInfo).port, close: () => server.close() }
}

it('a slot that was protected when a slow run looked, and is deleted meanwhile, does not take the data along', async () => {
  const { site, proxmox } = t
  const rel = releaseOf(site, 'all')
  await uploadSeed(proxmox, rel, await readSeedSecrets(site, t.folder, rel))
  await makeSlot(proxmox, rel)
  const places = placesOf(site, 'all', undefined)
  await proxmox.task(
    await proxmox.post<string>('/nodes/pve/qemu/9010/config', { scsi1: `${site.proxmox.storage.disks}:1,serial=golden-data` }),
  )
  const line = await slowLine(Number(new URL(proxmox.url).port), 200)
  const far = connect({
    url: `https://127.0.0.1:${line.port}`,
    caPem: await readFile(t.options().caFile!, 'utf8'),
    auth: t.options().token,
  })
  const fault = t.lab.faults.order({ task: { type: 'qmstop' }, delayMs: 1500 })
  let dataDisk: 'new' | 'made' | undefined = 'new'
  const { progress } = t.options()
  const activating = activate(
    {
      proxmox: far,
      places,
      progress,
      pauseMs: 50,
      readDataDisk: async () => dataDisk,
      writeDataDisk: async (state) => {
        dataDisk = state
      },
    },
    'blue',
    rel.id,
    5000,
  )
  const ended = activating.then(
    () => 'activated',
    (error: Error & { code: string }) => error.code,
  )
  await vi.waitUntil(async () => Number((await configOf(9011)).protection ?? 0) === 1, { timeout: 30_000, interval: 5 })
  // While the next look of the slow run is on its way back to it.
  await delay(1000)
  await release({ proxmox, places, progress, signal }, 'blue')
  await removeLeftover(proxmox, places, 'blue', signal).catch(() => {})
  await ended
  t.lab.faults.clear(fault)
  line.close()
  far.close()
  expect(diskPlace(await observeGroup(proxmox, places)).at, 'the data disk is gone').not.toBe('nowhere')
})

type Verb = 'deploy' | 'destroy' | 'destroy by the engine' | 'delete-data'
interface Scenario {
  /** Where the data is, and whether the slot's VM is there, when both begin. */
  readonly start: 'no VM' | 'a VM without it' | 'owned'
  readonly verbs: readonly [Verb, Verb]
  /** How many turns the first run has, then the second one, and so on, over and over. */
  readonly turns: readonly number[]
}

const verb = fc.oneof(
  { weight: 3, arbitrary: fc.constant<Verb>('deploy') },
  { weight: 4, arbitrary: fc.constantFrom<Verb>('destroy', 'destroy by the engine') },
  { weight: 1, arbitrary: fc.constant<Verb>('delete-data') },
)
const scenario: fc.Arbitrary<Scenario> = fc.record({
  start: fc.constantFrom('no VM', 'a VM without it', 'owned'),
  verbs: fc.tuple(verb, verb),
  turns: fc.array(fc.integer({ min: 1, max: 24 }), { minLength: 4, maxLength: 12 }),
})

/** Lets two runs take turns: to send what a run has to ask by then is one turn, and to get the answers is another. */
class Turns {
  readonly #turns: readonly number[]
  readonly #waiting: [(() => void)[], (() => void)[]] = [[], []]
  readonly #ended: [boolean, boolean] = [false, false]

  constructor(turns: readonly number[]) {
    this.#turns = turns
    void this.#go()
  }

  turn(run: 0 | 1): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting[run].push(resolve)
    })
  }

  end(run: 0 | 1): void {
    this.#ended[run] = true
  }

  async #go(): Promise<void> {
    for (let burst = 0; !(this.#ended[0] && this.#ended[1]); burst++) {
      const run = (burst % 2) as 0 | 1
      for (let left = this.#turns[burst % this.#turns.length] as number; left > 0 && !this.#ended[run]; left--) {
        for (let waited = 0; this.#waiting[run].length === 0 && waited < 20 && !this.#ended[run]; waited++) await delay(2)
        // A run that is busy with something else, such as a pause of its own, does not hold up the other one.
        if (this.#waiting[run].length === 0 && this.#waiting[1 - run]!.length > 0) break
        // What it asks at the same time has come by then.
        await delay(1)
        for (const go of this.#waiting[run].splice(0)) go()
      }
    }
    for (const go of this.#waiting.flat()) go()
  }
}

/** The same API for one of these runs. */
function inTurn(proxmox: Proxmox, turns: Turns, run: 0 | 1): Proxmox {
  const call = async <T>(work: () => Promise<T>): Promise<T> => {
    await turns.turn(run)
    try {
      return await work()
    } finally {
      await turns.turn(run)
    }
  }
  return {
    url: proxmox.url,
    close: () => {},
    now: () => proxmox.now(),
    waitForAgent: (...args) => proxmox.waitForAgent(...args),
    upload: (...args) => proxmox.upload(...args),
    get: (...args) => call(() => proxmox.get(...args)),
    post: (...args) => call(() => proxmox.post(...args)),
    put: (...args) => call(() => proxmox.put(...args)),
    del: (...args) => call(() => proxmox.del(...args)),
    task: (...args) => call(() => proxmox.task(...args)),
    agentExec: (...args) => call(() => proxmox.agentExec(...args)),
  }
}

interface Lane {
  readonly site: Site
  readonly group: string
  readonly places: GroupPlaces
  readonly rel: Release
}

/** A group of its own, so that many of these can go on in one lab. */
async function makeLane(number: number): Promise<Lane> {
  const own = t.site.groups.all!
  const first = 20_000 + number * 10
  const group = `lane${number}`
  const address = (offset: number): string => `10.77.0.${100 + number * 3 + offset}`
  const site: Site = {
    ...t.site,
    groups: {
      [group]: {
        ...own,
        // Guests of several lanes run at the same time.
        roles: ['serena'],
        service: address(0),
        depot: first,
        slots: {
          blue: { ...own.slots.blue, vmid: first + 1, address: address(1) },
          green: { ...own.slots.green, vmid: first + 2, address: address(2) },
        },
      },
    },
  }
  const places = placesOf(site, group, undefined)
  await t.root.task(
    await t.root.post<string>('/nodes/pve/qemu', {
      vmid: first,
      name: places.depot.name,
      pool: site.proxmox.depotPool,
      memory: 64,
      protection: 1,
      scsi1: `${site.proxmox.storage.disks}:1,serial=golden-data`,
    }),
  )
  const rel = releaseOf(site, group)
  await uploadSeed(t.root, rel, await readSeedSecrets(t.site, t.folder, { ...rel, seed: { ...rel.seed, group: 'all' } }))
  return { site, group, places, rel }
}

async function run(what: Verb, { site, group, places, rel }: Lane, proxmox: Proxmox, folder: string): Promise<unknown> {
  const { vmid } = places.slots.blue
  const vm = `/nodes/pve/qemu/${vmid}`
  const { progress } = t.options()
  switch (what) {
    case 'deploy': {
      const there = await proxmox.get(`${vm}/config`).then(
        () => true,
        () => false,
      )
      if (!there) await makeSlot(proxmox, rel)
      let dataDisk: 'new' | 'made' | undefined = 'made'
      return activate(
        {
          proxmox,
          places,
          progress,
          signal,
          pauseMs: 20,
          readDataDisk: async () => dataDisk,
          writeDataDisk: async (state) => {
            dataDisk = state
          },
        },
        'blue',
        rel.id,
        3000,
      )
    }
    case 'destroy':
      await release({ proxmox, places, progress, signal, pauseMs: 20 }, 'blue')
      return removeLeftover(proxmox, places, 'blue', signal)
    case 'destroy by the engine':
      await release({ proxmox, places, progress, signal, pauseMs: 20 }, 'blue')
      // As the provider does it: it looks at nothing but whether the VM runs.
      if ((await proxmox.get<{ status: string }>(`${vm}/status/current`)).status === 'running')
        await proxmox.task(await proxmox.post<string>(`${vm}/status/stop`))
      return proxmox.task(await proxmox.del<string>(vm, { purge: 1, 'destroy-unreferenced-disks': 0 }))
    case 'delete-data':
      return deleteData({ site, folder, proxmox, progress, signal }, group)
  }
}

/** Plays one scenario. @returns what is wrong after it, or nothing */
async function play(number: number, { start, verbs, turns: order }: Scenario): Promise<string | undefined> {
  const lane = await makeLane(number)
  const { places } = lane
  const vmids = [places.depot.vmid, places.slots.blue.vmid]
  const data = t.fileOf(String((await configOf(places.depot.vmid)).scsi1).split(',')[0] as string)
  const uuid = randomUUID()
  saveContent(data, { kind: 'filesystem', type: 'ext4', uuid, label: dataLabel, tree: { d: {}, m: 0o755, t: 0 } })
  if (start !== 'no VM') await makeSlot(t.proxmox, lane.rel)
  if (start === 'owned') await run('deploy', lane, t.proxmox, '')
  const folders = await Promise.all([0, 1].map(() => mkdtemp(join(tmpdir(), 'golden-race-'))))
  const turns = new Turns(order)
  const outcomes = await Promise.allSettled(
    ([0, 1] as const).map((index) =>
      run(verbs[index], lane, inTurn(t.proxmox, turns, index), folders[index]!).finally(() => turns.end(index)),
    ),
  )
  await Promise.all(folders.map((folder) => rm(folder, { recursive: true })))
  const bugs = outcomes.flatMap((one) =>
    one.status === 'rejected' && typeof (one.reason as { code?: unknown }).code !== 'string' ? [String(one.reason)] : [],
  )
  const configs = await Promise.all(vmids.map((vmid) => configOf(vmid).catch((): Record<string, unknown> => ({}))))
  const owners = configs.flatMap((config, index) =>
    Object.entries(config).flatMap(([key, value]) => {
      if (!/^(scsi|unused)\d+$/.test(key) || key === 'scsi0' || /media=cdrom/.test(String(value))) return []
      const file = t.fileOf(String(value).split(',')[0] as string)
      const content = existsSync(file) ? loadContent(file) : undefined
      return [
        {
          vmid: vmids[index],
          key,
          isData: content?.kind === 'filesystem' && content.uuid === uuid,
          guarded: Number(config.protection ?? 0) === 1 || config.name === places.throwAway,
        },
      ]
    }),
  )
  const deleted = outcomes.some((one, index) => verbs[index] === 'delete-data' && one.status === 'fulfilled' && one.value !== undefined)
  const wanted = deleted ? 0 : 1
  const wrong = owners.length !== wanted || owners.some(({ isData, guarded }) => !isData || !guarded) || bugs.length > 0
  return wrong
    ? JSON.stringify({
        start,
        verbs,
        order,
        owners,
        deleted,
        bugs,
        outcomes: outcomes.map((one) => (one.status === 'rejected' ? String(one.reason) : 'done')),
      })
    : undefined
}

/** The same API, on which the VM is deleted and another one made in its place right before it is first changed or deleted. */
function replaced(vmid: number): Proxmox {
  const vm = `/nodes/pve/qemu/${vmid}`
  let done = false
  return new Proxy(t.proxmox, {
    get: (target, key) => {
      const value = Reflect.get(target, key) as unknown
      if (key !== 'put' && key !== 'del') return typeof value === 'function' ? (value.bind(target) as unknown) : value
      return async (path: string, ...more: unknown[]) => {
        if (!done && (path === vm || path === `${vm}/config`)) {
          done = true
          await t.root.task(await t.root.del<string>(vm))
          await t.root.task(await t.root.post<string>('/nodes/pve/qemu', { vmid, name: 'mail', pool: t.site.proxmox.pool, memory: 64 }))
        }
        return (value as (...all: unknown[]) => unknown).call(target, path, ...more)
      }
    },
  })
}

it('a leftover that was deleted, and its VMID given to another VM, since it was looked at costs that VM nothing', async () => {
  const { places, rel } = await makeLane(900)
  await makeSlot(t.proxmox, rel)
  const { vmid } = places.slots.blue
  await expect(removeLeftover(replaced(vmid), places, 'blue', signal)).rejects.toMatchObject({
    code: 'vmid-taken',
    message: expect.stringContaining('mail'),
  })
  expect(await configOf(vmid)).toMatchObject({ name: 'mail' })
  expect(await configOf(vmid)).not.toHaveProperty('tags')
})

it('a throw-away VM that was replaced in the same way costs the other VM nothing either', async () => {
  const { site, group, places } = await makeLane(901)
  const { vmid } = places.slots.blue
  const folder = await mkdtemp(join(tmpdir(), 'golden-race-'))
  await expect(deleteData({ ...t.options(), site, folder, proxmox: replaced(vmid) }, group)).rejects.toMatchObject({ code: 'vmid-taken' })
  expect(await configOf(vmid)).toMatchObject({ name: 'mail' })
  await rm(folder, { recursive: true })
})

it('whatever two runs are at, and however slow their lines are, the data survives them, in one place and protected there', async () => {
  const seed = Number(process.env.RACE_SEED ?? 20261128)
  const scenarios = fc.sample(scenario, { numRuns: Number(process.env.RACE_RUNS ?? 16), seed })
  const wrong: string[] = []
  const lanes = Array.from({ length: 8 }, async (_, lane) => {
    for (let number = lane; number < scenarios.length; number += 8) {
      const problem = await play(number, scenarios[number]!)
      if (problem !== undefined) wrong.push(problem)
    }
  })
  await Promise.all(lanes)
  expect(wrong).toEqual([])
}, 240_000)
