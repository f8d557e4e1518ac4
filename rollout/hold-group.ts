/**
 * Takes the claim on one group, renews it while its holder works, and gives it back. Of two that want it at once Proxmox
 * refuses one: each writes with the digest that it has seen.
 *
 * Whether a claim is stale is told by Proxmox's clock alone: its holder writes `until` by it, and whoever comes later
 * compares by it, so that computers whose clocks differ agree. (To watch it for as long as it lives, by one's own clock,
 * would make everybody wait who finds one.) Its holder does not trust that it still has it: before it changes anything by
 * a claim that it has not renewed for long, because it was suspended or the API was away, it looks.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { identityOf, isRunning, type ProcessIdentity } from '../core/process-identity.ts'
import { Failure, isLost } from '../core/failure.ts'
import type { Progress } from '../core/progress.ts'
import { who } from '../core/who.ts'
import { descriptionLimit } from '../images/record.ts'
import type { Proxmox } from '../proxmox/client.ts'
import { isDenied, isOutdated, isVmMissing } from '../proxmox/conditions.ts'
import { vmAt } from '../proxmox/vm.ts'
import { settleGroup } from './depot.ts'
import { claimIn, claimMark, holderText, isStale, timeText, withClaim, withoutClaim, type GroupClaim } from './group-claim.ts'
import type { GroupPlaces } from './observe.ts'

export interface ClaimPace {
  /** How long a claim lives after its last renewal, in milliseconds. */
  readonly ttlMs: number
  /** Between two renewals, in milliseconds. */
  readonly renewMs: number
}

/** Four renewals may fail, for instance while the API is away for as long as it is waited for, before anybody takes over. */
export const usualPace: ClaimPace = { ttlMs: 300_000, renewMs: 60_000 }

export interface Hold {
  /** Before a change. @throws Failure `claim-lost`, or why nobody can tell whether the claim is still ours */
  confirm(): Promise<void>
  /** Never throws: what the work came to counts. */
  release(): Promise<void>
}

export interface HoldOptions {
  readonly proxmox: Proxmox
  readonly places: GroupPlaces
  readonly progress: Progress
  readonly signal: AbortSignal
  /** What for, such as `deploy`. */
  readonly verb: string
  /** @default usualPace */
  readonly pace?: ClaimPace | undefined
  /** The claim is somebody else's by now. Called once. */
  readonly lost: (failure: Failure) => void
}

/** `not-there`: there is no such depot, which whoever looks for it says better. */
export type NoHold = 'not-there' | 'not-allowed' | 'no-room'

/** So often in a row somebody else may change the depot between a look and a write. */
const tries = 20
const pauseMs = 100
/** While the depot is locked, by a backup mostly; and after Proxmox was busy with it, for its holder to renew what it could not. */
const lockedPauseMs = 1000
const lockedMs = 3_600_000
/** Nobody waits longer than this for a claim to be given back: it ends by itself. */
const releaseMs = 10_000

interface Depot {
  readonly description: string
  readonly digest: string
  readonly lock?: string
}

/** @throws Failure `group-claimed` while somebody else has it, `vm-locked` when the depot stays locked */
export async function holdGroup(options: HoldOptions): Promise<Hold | NoHold> {
  const { proxmox, places, progress, pace = usualPace } = options
  const vm = vmAt(proxmox, places.node, places.depot.vmid)
  const id = randomBytes(8).toString('hex')
  const self = await identityOf(process.pid)
  let since: string | undefined
  /** Both clocks: the steady one may stand still while a computer sleeps, the other one may be set. */
  let confirmed = { steady: 0, wall: 0 }
  let failure: Failure | undefined

  const look = async (): Promise<Depot | undefined> => {
    try {
      const { name, description, digest, lock } = await vm.currentConfig()
      if (name !== places.depot.name) return undefined
      return { description: description ?? '', digest: String(digest ?? ''), ...(lock === undefined ? {} : { lock }) }
    } catch (error) {
      if (isVmMissing(error) || isDenied(error)) return undefined
      throw error
    }
  }

  /** @param depot has just been looked at, which has brought Proxmox's time. @returns false: its description is full */
  const write = async ({ description, digest }: Depot): Promise<boolean> => {
    const now = proxmox.now()
    since ??= now.toISOString()
    const until = new Date(now.getTime() + pace.ttlMs).toISOString()
    const claim: GroupClaim = { id, by: who(), verb: options.verb, since, until, process: self }
    const changed = withClaim(description, claim)
    if (changed.length > descriptionLimit) return false
    const begun = { steady: performance.now(), wall: Date.now() }
    await vm.change({ description: changed, digest })
    confirmed = begun
    return true
  }

  const taken = await take(options, id, self, look, write)
  if (taken !== 'taken') return taken

  const lose = (claim: GroupClaim | undefined): Failure => {
    if (failure === undefined) {
      failure = new Failure(
        'claim-lost',
        `this run does not have the claim on group ${places.group} any more: ${claim === undefined ? 'somebody has taken it away' : `${holderText(claim)} has it`}`,
        'See who is at it ("npx golden status"), then run the same command again: it looks first, and goes on from what it finds.',
      )
      options.lost(failure)
    }
    return failure
  }

  async function renewNow(): Promise<void> {
    for (let left = tries; left > 0; left--) {
      const depot = await look()
      // Whoever works with the depot finds that it has gone.
      if (depot === undefined) return
      const claim = claimIn(depot.description)
      if (claim?.id !== id) throw lose(claim)
      // While the depot is locked, or its description is closed to us, nobody else can take it either.
      if (depot.lock !== undefined) return
      try {
        await write(depot)
        return
      } catch (error) {
        if (isDenied(error)) return
        if (!isOutdated(error) && !isLost(error)) throw error
        await delay(pauseMs)
      }
    }
  }
  let renewing: Promise<void> | undefined
  const renew = (): Promise<void> => {
    renewing ??= renewNow().finally(() => {
      renewing = undefined
    })
    return renewing
  }

  const ended = new AbortController()
  const beat = async (): Promise<void> => {
    while (failure === undefined) {
      await delay(pace.renewMs, undefined, { signal: ended.signal, ref: false })
      // An API that is away has not given the claim to anybody else.
      await renew().catch(() => {})
    }
  }
  const beating = beat().catch(() => {})

  async function giveBack(): Promise<void> {
    await beating
    for (let left = tries; left > 0 && failure === undefined; left--) {
      const depot = await look()
      if (depot === undefined || claimIn(depot.description)?.id !== id) return
      try {
        return await vm.change({ description: withoutClaim(depot.description), digest: depot.digest })
      } catch (error) {
        if (depot.lock !== undefined || left === 1 || !(isOutdated(error) || isLost(error))) throw error
        await delay(pauseMs)
      }
    }
  }

  return {
    async confirm() {
      if (failure !== undefined) throw failure
      const age = Math.max(performance.now() - confirmed.steady, Date.now() - confirmed.wall)
      if (age > pace.ttlMs / 2) await renew()
    },
    async release() {
      ended.abort()
      const late = delay(releaseMs, undefined, { ref: false }).then(() => {
        throw new Error(`Proxmox did not do it within ${releaseMs / 1000} s`)
      })
      await Promise.race([giveBack(), late]).catch((error: unknown) => {
        progress.warn(
          `the claim on group ${places.group} could not be given back (${error instanceof Error ? error.message : String(error)}): it ends by itself ${Math.ceil(pace.ttlMs / 60_000)} min after it was renewed last; this computer may take it at once`,
        )
      })
    },
  }
}

async function take(
  { proxmox, places, progress, signal, verb }: HoldOptions,
  id: string,
  self: ProcessIdentity,
  look: () => Promise<Depot | undefined>,
  write: (depot: Depot) => Promise<boolean>,
): Promise<'taken' | NoHold> {
  const { group, depot } = places
  let lockedSince: number | undefined
  for (let left = tries; ; ) {
    signal.throwIfAborted()
    const seen = await look()
    if (seen === undefined) return 'not-there'
    const claim = claimIn(seen.description)
    // It was written, and only the answer was lost.
    if (claim?.id === id) return 'taken'
    const dead = claim !== undefined && (await isOwnAndDead(claim, self))
    if (claim !== undefined && !dead && !isStale(claim, proxmox.now())) throw claimed(verb, places, claim)
    if (seen.lock !== undefined) {
      if (lockedSince === undefined)
        progress.info(`the depot of group ${group}, VM ${depot.vmid}, is locked (${seen.lock}): waiting for it`)
      lockedSince ??= performance.now()
      if (performance.now() - lockedSince > lockedMs)
        throw new Failure(
          'vm-locked',
          `the depot of group ${group}, VM ${depot.vmid}, is locked: ${seen.lock}`,
          `See the VM's tasks in Proxmox, then run the same command again. "qm unlock ${depot.vmid}" on the node ends a lock that nobody holds.`,
        )
      await delay(lockedPauseMs, undefined, { signal })
      continue
    }
    try {
      if (!(await write(seen))) return 'no-room'
    } catch (error) {
      if (isDenied(error)) return 'not-allowed'
      if (!(isOutdated(error) || isLost(error)) || --left === 0) throw error
      const isBusy = error instanceof Failure && error.code === 'vm-locked'
      // A task that a killed run has left, such as a large disk in the making, may keep others out for minutes.
      if (isBusy) await settleGroup(proxmox, places, signal)
      await delay(isBusy ? lockedPauseMs : pauseMs, undefined, { signal })
      continue
    }
    if (claim !== undefined)
      progress.info(
        dead
          ? `group ${group}: took over from ${holderText(claim)}, an earlier run on this computer that was killed`
          : `group ${group}: took over from ${holderText(claim)}, which has not renewed its claim in time: it was good until ${timeText(claim.until)}`,
      )
    return 'taken'
  }
}

/**
 * A run of this user on this computer that is gone. That it is this computer shows by its boot, where there is one to be
 * known: computers may share a name, and to wait a few minutes after a restart is better than to take from one that works.
 */
async function isOwnAndDead({ by, process: other }: GroupClaim, self: ProcessIdentity): Promise<boolean> {
  const bootOf = ({ started }: ProcessIdentity): string => started.split(' ')[0] ?? ''
  return by === who() && other.host === self.host && bootOf(other) === bootOf(self) && !(await isRunning(other))
}

function claimed(verb: string, { group, depot }: GroupPlaces, claim: GroupClaim): Failure {
  return new Failure(
    'group-claimed',
    `"golden ${verb}" has to wait: group ${group} is held by ${holderText(claim)}`,
    `Wait for that run to end. If it is dead, run this again after ${timeText(claim.until)} (Proxmox's clock): unless the claim has been renewed by then, it is taken over. If it certainly is, and you can't wait, remove the line "${claimMark} …" from the notes of VM ${depot.vmid} in Proxmox: a run that is not dead stops by that.`,
  )
}
