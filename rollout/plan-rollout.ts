/** What `rollout` is going to do with a group, from what there is: pure, printable, and what it then goes by. */
import { Failure } from '../core/failure.ts'
import type { Image } from '../images/catalog.ts'
import { isMoving, isTakenBack, type GroupPins, type Release, type RolloutNote } from '../releases/deployment.ts'
import { otherSlot, type Site, type SlotName } from '../settings/site.ts'
import { changeText, settingChanges } from './changes.ts'
import type { GuestStatus } from './guest.ts'
import { checkIdentity, diskPlace, isAstray, type GroupPlaces, type GroupSeen } from './observe.ts'
import { refusalOf } from './obstacles.ts'
import { checkPins } from './outdated.ts'
import type { Refusal } from './reconcile.ts'
import { fullDataDisk } from './room.ts'
import { sseLine } from './sse-clients.ts'

export interface RolloutSeen {
  readonly places: GroupPlaces
  readonly pins: GroupPins | undefined
  readonly seen: GroupSeen
  /** The one that is to run. */
  readonly image: Pick<Image, 'vmid' | 'name'> & { readonly record: Pick<Image['record'], 'fingerprint' | 'built'> }
  /** What of the site folder's secrets is not what a slot's release was given, by name; undefined: nobody can tell. */
  readonly secrets: Readonly<Partial<Record<SlotName, readonly string[] | undefined>>>
  /** What the slot that serves says; undefined: nothing. */
  readonly guest?: GuestStatus | undefined
  /** What is in the way of handing the data over. */
  readonly obstacles: readonly Refusal[]
  /** What to do about data that is in no place (missing.ts). */
  readonly missing: string
}

export interface GroupRollout {
  readonly group: string
  /** `nothing`: what site.ts says is what runs. `watch`: only the last part of an earlier one is left. */
  readonly do: 'nothing' | 'watch' | 'roll'
  readonly from: SlotName
  readonly to: SlotName
  /** Where the data goes first, because an earlier run has not come to its end. */
  readonly finishes?: SlotName
  /** `pinned`: made by an earlier run, and what site.ts still says. */
  readonly release: 'new' | 'pinned'
  /** The slot's former VM, which is removed for it. */
  readonly removes?: { readonly vmid: number; readonly name: string; readonly release: string }
  readonly image: { readonly from: string; readonly to: string }
  /** Settings and secrets that will be others, as sentences. */
  readonly changes: readonly string[]
  /** Whether clients notice nothing: the old slot waits for the new one, and passes on what still comes to it. */
  readonly keeps: boolean
  /** Clients over SSE, who are cut off in any case; absent: there can be none, or nobody can tell. */
  readonly sseClients?: number
}

const isSame = (image: RolloutSeen['image'], pinned: Release): boolean =>
  image.vmid === pinned.image.vmid && image.record.fingerprint === pinned.image.fingerprint

/** @throws Failure for whatever is in the way; nothing has been changed by then */
export function planRollout(site: Site, { places, pins, seen, image, secrets, guest, obstacles, missing }: RolloutSeen): GroupRollout {
  const { group } = places
  const from = pins?.active
  const active = from === undefined ? undefined : pins?.slots[from]
  if (pins === undefined || from === undefined || active === undefined)
    throw new Failure('not-deployed', `group ${group} is not deployed: there is nothing to take over from`, 'Run "npx golden deploy".')
  checkIdentity(places, seen)
  checkPins(places, pins, seen)
  if (site.proxmox.node !== active.vm.node)
    throw new Failure(
      'rollout-elsewhere',
      `proxmox.node in site.ts is ${site.proxmox.node}, and group ${group} runs on ${active.vm.node}: a disk is handed over within one node`,
      `Put proxmox.node back; or "npx golden destroy ${group}", migrate its depot ("qm migrate ${places.depot.vmid} ${site.proxmox.node}" on ${active.vm.node}), and deploy. The data is kept.`,
    )
  const place = diskPlace(seen)
  if (isAstray(pins.dataDisk, place) || place.at === 'nowhere')
    throw new Failure('data-disk-missing', `the data disk of group ${group} is in no place that is known`, missing)
  const refusal = refusalOf(obstacles, 'Nothing was changed.')
  if (refusal !== undefined) throw new Failure(refusal.code, refusal.message, refusal.hint)
  const to = otherSlot(from)
  const idle = pins.slots[to]
  const changes = [
    ...settingChanges(site, group, from, active).map(changeText),
    ...(isSame(image, active) ? [] : [`image: ${active.image.name} → ${image.name}`]),
    ...(secrets[from] ?? []).map((name) => `${name}: as the site folder has it now`),
  ]
  const note = pins.rollout
  const isFinished = place.at === from && !isMoving(note) && seen.slots[from].there === true && seen.slots[from].running
  const common = {
    group,
    from,
    to,
    changes,
    image: { from: active.image.name, to: image.name },
    ...(isFinished ? {} : { finishes: from }),
    ...(guest?.sseClients === undefined ? {} : { sseClients: guest.sseClients }),
  }
  const keeps = idle === undefined ? keepsClients(site, group, active) : keepsBetween(active, idle)
  if (changes.length === 0) return { ...common, do: !isFinished || note?.phase === 'watch' ? 'watch' : 'nothing', release: 'pinned', keeps }
  const full = refusalOf(fullDataDisk(group, guest), 'Nothing was changed.')
  if (full !== undefined) throw new Failure(full.code, full.message, full.hint)
  const isPinned = idle !== undefined && isOfToday(site, group, to, idle, image, secrets[to]) && !hasFailed(note, to)
  if (isPinned) return { ...common, do: 'roll', release: 'pinned', keeps: keepsBetween(active, idle) }
  const old = seen.slots[to]
  return {
    ...common,
    do: 'roll',
    release: 'new',
    keeps: keepsClients(site, group, active),
    ...(idle === undefined && old.there !== true
      ? {}
      : { removes: { vmid: places.slots[to].vmid, name: places.slots[to].name, release: idle?.id ?? 'unknown' } }),
  }
}

/** Whether a release that waits is what a new one would be. */
const isOfToday = (
  site: Site,
  group: string,
  slot: SlotName,
  idle: Release,
  image: RolloutSeen['image'],
  secrets: readonly string[] | undefined,
): boolean => isSame(image, idle) && settingChanges(site, group, slot, idle).length === 0 && secrets?.length === 0

const hasFailed = (note: RolloutNote | undefined, slot: SlotName): boolean => isTakenBack(note) && note.to === slot

/** The old slot knows the new one by its address, and both are found at the same one. */
const keepsBetween = ({ seed: old }: Release, { seed }: Release): boolean => old.peer === seed.address && old.service === seed.service

function keepsClients(site: Site, group: string, { seed }: Release): boolean {
  const wanted = site.groups[group]
  return wanted !== undefined && seed.service === wanted.service && seed.peer === wanted.slots[otherSlot(seed.slot)].address
}

/** For people: a line each. */
export function rolloutLines(
  { group, do: what, from, to, finishes, release, removes, image, changes, keeps, sseClients }: GroupRollout,
  soakMinutes: number,
): string[] {
  if (what === 'nothing') return [`${group}: nothing to do, slot ${from} runs what site.ts says, on image ${image.from}`]
  const finish = finishes === undefined ? [] : [`finish what an earlier run has begun: the data goes to slot ${finishes}`]
  const watch = soakMinutes === 0 ? [] : [`watch it for ${soakMinutes} min; should it get ill, everything goes back`]
  if (what === 'watch') return [`${group}:`, ...[...finish, ...watch].map((line) => `  ${line}`)]
  const cutOff = sseLine(sseClients)
  const steps = [
    ...finish,
    ...(removes === undefined ? [] : [`remove VM ${removes.vmid} (${removes.name}) with release ${removes.release}, which has no data`]),
    ...(release === 'new'
      ? [`pin a release of image ${image.to} for slot ${to}, upload its seed, make its VM`]
      : [`take the release that slot ${to} has already`]),
    `wait until slot ${to} stands by`,
    keeps
      ? `hand over the data: slot ${from} lets calls end and keeps new ones waiting, until slot ${to} serves; then the service address moves`
      : `hand over the data and the service address; clients of slot ${from} are cut off and connect again`,
    ...(cutOff === undefined ? [] : [cutOff]),
    ...watch,
    `keep slot ${from} for "npx golden rollback ${group}"`,
  ]
  return [`${group}:`, ...steps.map((line) => `  ${line}`), ...changes.map((change) => `  changes ${change}`)]
}
