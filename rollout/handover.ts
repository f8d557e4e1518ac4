/** Hands a group's data, its clients and its address from one slot to the other. Killed anywhere and run again it goes on. */
import { z } from 'zod'
import { type Failure, isLost } from '../core/failure.ts'
import { isOutdated } from '../proxmox/conditions.ts'
import { otherSlot, type SlotName } from '../settings/site.ts'
import { activationOf, type ActivationContext, type ActivationSeen, type ActivationStep } from './activate.ts'
import { decideHandover, standsBy, type HandoverSeen, type HandoverStep, type HandoverWanted, type OldSlotSeen } from './decide-handover.ts'
import { askToReassign, dataKey, detach, loosen, protect, reassign, seenVm, settleGroup, shutdown, unprotect } from './depot.ts'
import { guestOf, isOfGuest, type GuestStatus } from './guest.ts'
import { diskPlace } from './observe.ts'
import { findObstacles } from './obstacles.ts'
import type { Refusal } from './reconcile.ts'
import { reconcileGroup } from './reconcile-group.ts'
import { fullDataDisk } from './room.ts'

export interface HandoverOptions {
  readonly release: string
  /** How long the new slot may take until it serves. */
  readonly healthTimeoutMs: number
  /** How long calls wait at the old slot: it has the data back before that is over. @default as long as it takes */
  readonly callsWaitMs?: number
  /** How long running calls may take before they are cut off. */
  readonly drainSeconds: number
  /** The old slot may keep the address and its clients until the new one serves; else it drops both when it lets go. */
  readonly mayKeep: boolean
  readonly force: boolean
  /** What the new slot takes the services' state as: as the old slot leaves it, or as its own image had left it. @default now */
  readonly state?: 'now' | 'before'
}

/** What `slotctl let-go` answers, as far as it is told. */
const endedSchema = z.object({ drained: z.boolean(), requests: z.number(), transfers: z.number().default(0) })

const countText = (count: number, what: string): string[] => (count === 0 ? [] : [`${count} ${what}${count === 1 ? '' : 's'}`])

/** Pure. */
export function cutOffText(slot: SlotName, { requests, transfers }: z.infer<typeof endedSchema>, drainSeconds: number): string {
  const what = [...countText(requests, 'call'), ...countText(transfers, 'SSH transfer')].join(' and ') || 'something'
  return `${what} on slot ${slot} took longer than rollout.drainSeconds (${drainSeconds}), and had to be cut off`
}

/** What a step took, in milliseconds, in order. */
export interface HandoverPart {
  readonly step: HandoverStep['do']
  readonly ms: number
}

/** A call of a guest's agent takes ten minutes at most; after that it is looked at from here. */
const serveSeconds = 540
/** What it takes to give the data back, at the most half of what there is. */
const wayBackMs = 60_000
/** For a last look, or two. */
const leastWaitMs = 5000

/** How long a slot that has the data may take until it serves. Pure. */
export const serveLimit = ({ healthTimeoutMs, callsWaitMs }: Pick<HandoverOptions, 'healthTimeoutMs' | 'callsWaitMs'>): number =>
  Math.min(healthTimeoutMs, callsWaitMs === undefined ? Infinity : Math.max(callsWaitMs / 2, callsWaitMs - wayBackMs))

/** An agent may be busy for a moment; a guest that hangs stays silent. */
const silenceMs = 60_000
/** Time for a guest to shut down before its power is cut, in seconds. */
const shutdownSeconds = 180

/**
 * @param to the slot that is to own the data
 * @returns what was done, and how long each step took
 * @throws Failure with the reason; where the data is then, the next look tells
 */
export async function handOver(context: ActivationContext, to: SlotName, options: HandoverOptions): Promise<readonly HandoverPart[]> {
  const { proxmox, places, progress, signal } = context
  const from = otherSlot(to)
  const [vmid, oldVmid] = [places.slots[to].vmid, places.slots[from].vmid]
  const limitMs = serveLimit(options)
  const activation = activationOf(context, to, { untilWell: true, serveSeconds: Math.min(serveSeconds, Math.round(limitMs / 1000)) })
  const [guest, oldGuest] = [guestOf(proxmox, places.node, vmid, signal), guestOf(proxmox, places.node, oldVmid, signal)]
  let wanted: HandoverWanted = { group: places.group, slot: to, ...options }
  let parkedAt = performance.now()
  const parts: HandoverPart[] = []
  let known: GuestStatus | undefined
  let silentSince: number | undefined
  let asked = false
  let letGo: OldSlotSeen['letGo'] = 'unasked'
  let forwards: OldSlotSeen['forwards'] = 'unasked'
  let keeps: boolean | undefined

  /** A slot that does not serve is left in any case. */
  async function inTheWay(group: HandoverSeen['group']): Promise<readonly Refusal[]> {
    const found = await findObstacles(proxmox, places, group, to)
    return options.force ? found : [...found, ...fullDataDisk(places.group, known)]
  }

  async function see(group: HandoverSeen['group']): Promise<HandoverSeen> {
    const place = diskPlace(group)
    const old = group.slots[from]
    const isRunning = old.there === true && old.running && old.lock === undefined
    if (isRunning && ((place.at === from && letGo === 'unasked') || (place.at === to && keeps === undefined))) {
      known ??= await oldGuest.status()
      silentSince = known === undefined ? (silentSince ?? performance.now()) : undefined
      // What a run that is gone has left.
      if (place.at === to) {
        keeps = known !== undefined && known.handover !== undefined && known.handover !== 'none'
        if (known?.handover === 'left') forwards = 'done'
      }
    }
    const seen = await activation.see(group)
    return {
      ...seen,
      ...(place.at === from ? { obstacles: await inTheWay(group) } : {}),
      old: {
        guest: known,
        silent: silentSince !== undefined && performance.now() - silentSince > (context.shutdownAfterMs ?? silenceMs),
        vmid: oldVmid,
        asked,
        letGo,
        keeps: keeps === true,
        forwards,
      },
    }
  }

  /** What the old slot is asked; where it refuses, whoever may shut it down does. */
  async function ask(verb: 'let-go' | 'forward'): Promise<'done' | 'refused'> {
    try {
      const canKeep = options.mayKeep && known?.handover !== undefined
      if (verb === 'forward') await oldGuest.call('forward')
      else if (canKeep) {
        keeps = true
        const ended = endedSchema.safeParse(await oldGuest.call('let-go', String(options.drainSeconds))).data
        if (ended?.drained === false) progress.warn(cutOffText(from, ended, options.drainSeconds))
      } else {
        keeps = false
        await oldGuest.call('drain', String(options.drainSeconds))
        await oldGuest.call('yield')
      }
      return 'done'
    } catch (error) {
      // Whether it heard of it has to be known: the next look tells.
      if (isLost(error) || !isOfGuest(error) || (verb === 'let-go' && !options.force)) throw error
      progress.warn((error as Failure).message)
      return 'refused'
    }
  }

  async function take(next: HandoverStep, seen: HandoverSeen, note: (text: string) => void): Promise<void> {
    const { group } = seen
    const depot = (): ReturnType<typeof seenVm> => seenVm(places.depot.vmid, group.depot)
    const old = (): ReturnType<typeof seenVm> => seenVm(oldVmid, group.slots[from])
    switch (next.do) {
      case 'ask':
        // Once is enough: where the answer is lost it goes on without.
        asked = true
        return askToReassign(proxmox, places, next.disk, old(), depot(), dataKey, signal).catch((error: unknown) => {
          asked = !isOutdated(error)
          throw error
        })
      case 'let-go':
        letGo = await ask('let-go')
        parkedAt = performance.now()
        return
      case 'loosen':
        return loosen(proxmox, places, old())
      case 'detach':
        return detach(proxmox, places, old())
      case 'fasten':
        return protect(proxmox, places, old())
      case 'give-back':
        return reassign(proxmox, places, next.disk, old(), depot(), next.key, signal)
      case 'shutdown':
        return shutdown(proxmox, places, oldVmid, shutdownSeconds, signal)
      case 'forward':
        forwards = await ask('forward')
        return
      case 'take-over':
        await guest.call('take-over')
        return
      case 'unprotect':
        return unprotect(proxmox, places, old())
      default:
        return activation.take(next, group, note)
    }
  }

  await settleGroup(proxmox, places, signal)
  await reconcileGroup<HandoverSeen, HandoverStep>(context, `hand group ${places.group} over to slot ${to}`, {
    see,
    decide: (seen) => decideHandover(wanted, seen),
    async take(next, seen, note) {
      const began = performance.now()
      await take(next, seen, note)
      // From here on it is waited for this slot alone.
      if (next.do === 'activate' && limitMs < options.healthTimeoutMs)
        wanted = { ...wanted, clientsWait: true, healthTimeoutMs: Math.max(leastWaitMs, limitMs - (performance.now() - parkedAt)) }
      parts.push({ step: next.do, ms: Math.round(performance.now() - began) })
    },
  })
  return parts
}

/**
 * Waits until a slot could take over: it runs, its guest is of that release, and all that needs no data is well.
 * @param manner `needsRoom`: what is full is no good, however it looks
 * @throws Failure as `handOver` before it touches the other slot
 */
export async function standBy(
  context: ActivationContext,
  slot: SlotName,
  release: string,
  healthTimeoutMs: number,
  manner: Pick<HandoverWanted, 'needsRoom'> = {},
): Promise<void> {
  const { places } = context
  const activation = activationOf(context, slot, { untilWell: true })
  const wanted: HandoverWanted = { group: places.group, slot, release, healthTimeoutMs, force: false, ...manner }
  await reconcileGroup<ActivationSeen, HandoverStep>(context, `wait until slot ${slot} of group ${places.group} stands by`, {
    see: (group) => activation.see(group),
    decide: (seen) => standsBy(wanted, seen) ?? { kind: 'done' },
    take: (next, { group }, note) => activation.take(next as ActivationStep, group, note),
  })
}
