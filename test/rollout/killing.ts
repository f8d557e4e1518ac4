/**
 * Kills handovers between two running slots at a request of chance, in both directions, with faults of chance besides, and
 * sees that one of the verbs ends each of them well. Without the engine: it has no part in a handover.
 */
import { dirname } from 'node:path'
import type { FaultOrder } from '../../lab/api/faults.ts'
import { readPins } from '../../releases/pins.ts'
import type { GroupWork } from '../../rollout/context.ts'
import { deploy } from '../../rollout/deploy.ts'
import { diskPlace, observeGroup, placesOf } from '../../rollout/observe.ts'
import { rollout } from '../../rollout/rollout.ts'
import { readStatus } from '../../rollout/status.ts'
import { converge, switchTo } from '../../rollout/switch-slot.ts'
import { otherSlot, slotNames, type Site, type SlotName } from '../../settings/site.ts'
import { toolEnvironment } from '../../tools/index.ts'
import { watchInvariants, type Watcher } from './invariants.ts'
import { startRolloutLab, type RolloutLab } from './lab.ts'
import { fuse, PowerCut, type Accident } from './power-cut.ts'

const group = 'all'

/** Numbers of chance that come again with the same seed (mulberry32). */
export function chance(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/** Some of what the services keep as their own. */
const statePlaces = ['serena/note', 'grafana/grafana.db', 'loki/chunks/index/one'].map((path) => `/srv/golden/${path}`)

export interface Killing {
  readonly t: RolloutLab
  /** What has to be so at every moment. */
  readonly seen: Watcher
  /** @returns what was done in it; throws with the same when it did not end well */
  round(random: () => number): Promise<string>
  close(): Promise<void>
}

export async function startKilling(): Promise<Killing> {
  const t = await startRolloutLab(await toolEnvironment(), 'one-vm')
  const site: Site = { ...t.site, rollout: { ...t.site.rollout, soakMinutes: 0, old: 'running' } }
  await t.addImage(9001)
  await deploy(t.options({ site }))
  await t.addImage(9002, '2026-11-24T12:00:00.000Z')
  await rollout(t.options({ site }))
  const pins = (await readPins(t.folder)).groups[group]
  if (pins?.active === undefined) throw new Error('nothing was deployed')
  const places = placesOf(site, group, pins)
  const service = pins.slots.blue?.seed.service ?? ''
  const seen = watchInvariants(t.root, places, (vmid) => t.world.guest(vmid), ['serena_mcp', 'loki', 'grafana'], service)

  let left = 0

  async function round(random: () => number): Promise<string> {
    const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T
    const active = (await readPins(t.folder)).groups[group]?.active as SlotName
    const to = otherSlot(active)
    const story: string[] = [`${active} → ${to}`]
    const order = pick(faultsOf(places.slots[pick([active, to])].vmid, random))
    if (order !== undefined) {
      story.push(JSON.stringify(order))
      t.lab.faults.order(order)
    }
    // Once a round at the most: a VM that is lost, a guest that hangs for a while or until somebody sees to it, a host without power.
    let unlucky = random() < 0.35 ? { slot: pick([active, to]), what: pick(['gone', 'gone', 'stall', 'hang', 'host'] as const) } : undefined
    let host: Promise<void> | undefined
    const accidentOf = ({ slot, what }: NonNullable<typeof unlucky>, forced: boolean): Accident => ({
      at: 1 + Math.floor(random() * 50),
      async happen() {
        unlucky = undefined
        const { vmid, name } = places.slots[slot]
        if (what === 'host') {
          story.push('the host has no power')
          for (const one of slotNames) seen.excused.add(places.slots[one].vmid)
          host = t.restart()
          // What goes on meanwhile meets it as it is.
          host.catch(() => {})
        } else if (what === 'gone') {
          story.push(`the VM of slot ${slot} is gone`)
          seen.excused.add(vmid)
          await t.root.task(await t.root.post<string>(`/nodes/${places.node}/qemu/${vmid}/status/stop`)).catch(() => {})
        } else {
          // A slot that nobody may shut down is waited for, for minutes.
          const forever = what === 'hang' && forced
          story.push(`the guest of slot ${slot} hangs${forever ? '' : ' for a while'}`)
          t.world.mute.add(name)
          if (!forever) setTimeout(() => t.world.mute.delete(name), 100 + random() * 900)
        }
      },
    })
    const run = async (
      what: string,
      work: (options: GroupWork) => Promise<unknown>,
      cuttable: boolean,
      forced = false,
    ): Promise<'done' | 'cut' | 'failed'> => {
      const accident = unlucky === undefined ? undefined : accidentOf(unlucky, forced)
      const cut = fuse(t.proxmox, cuttable ? 1 + Math.floor(random() * 70) : Infinity, pick(['before', 'after'] as const), accident)
      try {
        await work({
          ...t.options({ site }),
          proxmox: cut.proxmox,
          silence: { resetAfterMs: 400, shutdownAfterMs: 400, giveUpAfterMs: 4000 },
        })
        story.push(`${what}: done`)
        return 'done'
      } catch (error) {
        story.push(`${what}: ${error instanceof PowerCut ? `cut at request ${cut.count()}` : `failed: ${(error as Error).message}`}`)
        return error instanceof PowerCut ? 'cut' : 'failed'
      }
    }
    const state = pick(['now', 'now', 'before'] as const)
    if (state === 'before') story.push('with the state of before')
    left += 1
    const guest = t.world.guest(places.slots[active].vmid)
    for (const path of statePlaces) {
      guest?.vfs.mkdir(dirname(path), { uid: 0, gid: 0, groups: [0] }, { parents: true })
      guest?.vfs.write(path, String(left))
    }
    // Or a power cut takes it.
    await guest?.devices.flush()
    const options = { mayKeep: true, force: false, state }
    await run(`to ${to}`, (work) => switchTo(work, group, to, options), true)
    await host
    // It may be killed again while it mends what the first one left.
    for (let attempt = 0; attempt < 8; attempt++) {
      const back = random() < 0.4
      const pinned = (await readPins(t.folder)).groups[group]
      const wanted = back ? otherSlot(pinned?.active as SlotName) : (pinned?.active as SlotName)
      const how = { mayKeep: true, force: true, ...(pinned?.rollout?.state === undefined ? {} : { state: pinned.rollout.state }) }
      const outcome = await run(
        back ? `back to ${wanted}` : `on to ${wanted}`,
        (work) => (back ? switchTo(work, group, wanted, how) : converge(work, group, how)),
        attempt < 2,
        true,
      )
      // Whoever sees that the host was away runs it once more.
      const wasAway = host !== undefined
      await host
      host = undefined
      if (outcome === 'done' && !wasAway && t.world.mute.size === 0) break
      if (attempt > 0) t.world.mute.clear()
      if (attempt > 3) t.lab.faults.clear()
    }
    t.lab.faults.clear()
    t.world.mute.clear()
    await check(story, state)
    seen.excused.clear()
    return story.join('; ')
  }

  async function check(story: readonly string[], state: 'now' | 'before'): Promise<void> {
    const wrong = [...seen.broken]
    const pinned = (await readPins(t.folder)).groups[group]
    const found = await observeGroup(t.root, places)
    const place = diskPlace(found)
    const active = pinned?.active
    if (active === undefined || place.at !== active) wrong.push(`deployment.json says ${active}, the data is at ${place.at}`)
    else {
      const [owner, old] = [found.slots[active], found.slots[otherSlot(active)]]
      if (owner.there !== true || !owner.protected) wrong.push('the owner is not protected')
      if (old.there === true && old.protected) wrong.push('the old slot is still protected')
    }
    const disk = active === undefined ? undefined : t.world.guest(places.slots[active].vmid)?.vfs
    const marks = new Set(statePlaces.map((path) => (disk?.exists(path) === true ? disk.readText(path) : 'nothing')))
    // Which one is put back is asserted by state-before.test.ts.
    if (marks.size !== 1 || (state === 'now' && !marks.has(String(left))))
      wrong.push(`of the state ${left} there is ${[...marks].join()}, ${state}`)
    const status = await readStatus({ ...t.options({ site }), proxmox: t.root })
    if (!status.healthy) wrong.push(`not healthy: ${JSON.stringify(status.groups[group]?.problems)}`)
    if (wrong.length > 0) throw new Error(`${wrong.join('; ')}\n  ${story.join('\n  ')}\n${t.world.calls.slice(-20).join('\n')}`)
  }

  return {
    t,
    seen,
    round,
    async close() {
      await seen.stop()
      await t.close()
    },
  }
}

/** What else may go wrong: mostly nothing. */
function faultsOf(vmid: number, random: () => number): (FaultOrder | undefined)[] {
  const skip = Math.floor(random() * 6)
  const anything = { path: '^/nodes/pve/qemu' }
  return [
    undefined,
    undefined,
    undefined,
    { request: { method: 'POST', ...anything }, drop: 'after', skip },
    { request: { method: 'PUT', ...anything }, drop: 'after', skip: skip % 3 },
    { request: { method: 'POST', path: 'move_disk$' }, status: 596, reason: 'Connection timed out', skip: skip % 2 },
    { request: { method: 'GET', ...anything }, status: 502, reason: 'Bad Gateway', skip: skip * 5 },
    { task: { type: 'qmmove' }, reason: 'storage is busy', skip: skip % 2 },
    { task: { type: 'qmmove' }, delayMs: 400 },
    {
      request: { method: 'POST', path: `/qemu/${vmid}/agent/exec$` },
      status: 500,
      reason: 'QEMU guest agent is not running',
      skip: skip % 3,
    },
  ]
}
