/**
 * Decides who is let in. A password is as dear to check as it has to be to guess, so it is checked once: whoever was
 * let in is known again by a keyed digest. Wrong ones are checked a few at a time, in turns between the addresses they
 * come from, and an address that goes on sending them has to wait, so that neither nginx nor anybody else does.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { nobody, type PasswordHash } from './password.ts'

export type Verdict =
  | { readonly is: 'known'; readonly user: string }
  | { readonly is: 'unknown' }
  /** Not looked at: ask again after so many seconds. */
  | { readonly is: 'busy'; readonly seconds: number }

export interface AuthenticatorOptions {
  /** By realm: who may come in there. */
  readonly realms: ReadonlyMap<string, ReadonlyMap<string, PasswordHash>>
  /** Password of this host's own health check, for all realms, from the host itself only. */
  readonly probe?: string
  readonly verify: (password: Buffer, known: PasswordHash) => Promise<boolean>
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number
  /** How many passwords are checked at the same time. */
  readonly lanes: number
}

export interface Authenticator {
  check(realm: string, address: string, authorization: string | undefined): Promise<Verdict>
}

export const probeUser = 'golden-probe'
const host = '127.0.0.1'

/** So many wrong passwords from one address at once, then one in so many seconds. */
export const tries = { burst: 10, seconds: 5 } as const
/** Of all addresses together. */
const longestQueue = 64
const mostAddresses = 10_000
const mostKnown = 1000
/** Longer than any that `golden init` makes or a person types. */
const longestPassword = 1024

export function makeAuthenticator(options: AuthenticatorOptions): Authenticator {
  const key = randomBytes(32)
  const digest = (...parts: string[]): Buffer => createHmac('sha256', key).update(parts.join('\n')).digest()
  const known = new Map<string, string>()
  const underWay = new Map<string, Promise<Verdict>>()
  const decoy = nobody()
  const budget = new Budget(options.now)
  const turns = new Turns(options.lanes)

  async function compare(realm: string, mark: string, address: string, user: string, password: Buffer): Promise<Verdict> {
    const users = options.realms.get(realm)
    const found = users?.get(user)
    // The same work for a user that does not exist: how long an answer takes tells nothing.
    const right = await turns.take(address, () => options.verify(password, found ?? decoy))
    if (!right || found === undefined) return { is: 'unknown' }
    budget.giveBack(address)
    remember(known, mark, user, mostKnown)
    return { is: 'known', user }
  }

  return {
    async check(realm, address, authorization) {
      const credentials = parseBasic(authorization)
      if (credentials === undefined) return { is: 'unknown' }
      const { user, password } = credentials
      if (user === probeUser && address === host && options.probe !== undefined) {
        return timingSafeEqual(digest(password.toString()), digest(options.probe)) ? { is: 'known', user } : { is: 'unknown' }
      }
      const mark = digest(realm, user, password.toString('base64')).toString('base64')
      const again = known.get(mark)
      if (again !== undefined) return { is: 'known', user: again }
      if (password.length > longestPassword) return { is: 'unknown' }
      // A client opens several connections at once: one check serves them all.
      const same = underWay.get(mark)
      if (same !== undefined) return same
      if (turns.waiting >= longestQueue) return { is: 'busy', seconds: tries.seconds }
      const seconds = budget.spend(address)
      if (seconds > 0) return { is: 'busy', seconds }
      const verdict = compare(realm, mark, address, user, password).finally(() => underWay.delete(mark))
      underWay.set(mark, verdict)
      return verdict
    },
  }
}

/** `Basic` credentials (RFC 7617): the name ends with the first colon. */
function parseBasic(header: string | undefined): { user: string; password: Buffer } | undefined {
  const [, text] = /^Basic +([A-Za-z0-9+/]+=*) *$/i.exec(header ?? '') ?? []
  if (text === undefined) return undefined
  const pair = Buffer.from(text, 'base64')
  const colon = pair.indexOf(':')
  return colon < 0 ? undefined : { user: pair.subarray(0, colon).toString(), password: pair.subarray(colon + 1) }
}

/** The oldest goes when there are too many. */
function remember<V>(map: Map<string, V>, name: string, value: V, most: number): void {
  map.delete(name)
  map.set(name, value)
  for (const oldest of map.keys()) {
    if (map.size <= most) return
    map.delete(oldest)
  }
}

/** How many passwords an address may still have checked. */
class Budget {
  readonly #left = new Map<string, { tries: number; at: number }>()
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  /** Takes one try; returns the seconds to wait when there is none. */
  spend(address: string): number {
    const left = this.#refilled(address)
    if (left < 1) return Math.max(1, Math.ceil((1 - left) * tries.seconds))
    this.#set(address, left - 1)
    return 0
  }

  giveBack(address: string): void {
    this.#set(address, Math.min(tries.burst, this.#refilled(address) + 1))
  }

  #refilled(address: string): number {
    const entry = this.#left.get(address)
    return entry === undefined ? tries.burst : Math.min(tries.burst, entry.tries + (this.#now() - entry.at) / (tries.seconds * 1000))
  }

  #set(address: string, amount: number): void {
    remember(this.#left, address, { tries: amount, at: this.#now() }, mostAddresses)
  }
}

/** So many at once in all, one at once for each address, and the addresses take turns. */
class Turns {
  readonly #lanes: number
  readonly #queues = new Map<string, (() => Promise<void>)[]>()
  readonly #running = new Set<string>()
  waiting = 0

  constructor(lanes: number) {
    this.#lanes = lanes
  }

  take<T>(address: string, work: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const queue = this.#queues.get(address) ?? []
      queue.push(() => work().then(resolve, reject))
      this.#queues.set(address, queue)
      this.waiting++
      this.#next()
    })
  }

  #next(): void {
    for (const [address, queue] of this.#queues) {
      if (this.#running.size >= this.#lanes) return
      if (this.#running.has(address)) continue
      const work = queue.shift()
      if (queue.length === 0) this.#queues.delete(address)
      if (work === undefined) continue
      this.waiting--
      this.#running.add(address)
      void work().finally(() => {
        this.#running.delete(address)
        this.#toTheEnd(address)
        this.#next()
      })
    }
  }

  /** Behind all others that wait. */
  #toTheEnd(address: string): void {
    const queue = this.#queues.get(address)
    if (queue === undefined) return
    this.#queues.delete(address)
    this.#queues.set(address, queue)
  }
}
