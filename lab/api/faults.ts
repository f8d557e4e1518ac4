/** Faults to order, so that tests of reliability need no luck. */
import { setTimeout as sleep } from 'node:timers/promises'

export interface FaultOrder {
  /** Which requests: a method and a part of the path (a regular expression), e.g. `^/nodes/pve/qemu/\d+/clone$`. */
  readonly request?: { readonly method?: string; readonly path: string }
  /** Which tasks: type (`qmclone`, …) and perhaps id. */
  readonly task?: { readonly type: string; readonly id?: string }
  /** Wait so long first, in ms, or until the order is taken back. */
  readonly delayMs?: number
  /** Requests: answer with this status and reason; tasks: fail with this text. */
  readonly status?: number
  readonly reason?: string
  /** Requests: close the connection before (`before`) or after (`after`) the work is done, or once it is answered (`idle`), when the client keeps it for the next one. */
  readonly drop?: 'before' | 'after' | 'idle'
  /** Requests: with the connection the whole API goes for so long, in ms: nobody listens, and every other connection is closed. What has begun goes on. */
  readonly awayMs?: number
  /** How often; 1 by default. */
  readonly times?: number
  /** So many that fit are let through first; 0 by default. */
  readonly skip?: number
}

/** An order that has come to something. */
export interface Fault extends FaultOrder {
  /** Resolves after its delay. @throws when the signal aborts */
  readonly wait: (signal?: AbortSignal) => Promise<void>
}

export interface Faults {
  /** Adds an order; returns its number. */
  order(fault: FaultOrder): number
  /** Takes one back, or all; who waits for its delay goes on. */
  clear(id?: number): void
  list(): (FaultOrder & { readonly id: number; readonly left: number })[]
  forRequest(method: string, path: string): Fault | undefined
  forTask(type: string, id: string): Fault | undefined
}

export function createFaults(): Faults {
  const orders: { id: number; left: number; skip: number; fault: FaultOrder; taken: AbortController }[] = []
  let last = 0
  const take = (matches: (fault: FaultOrder) => boolean): Fault | undefined => {
    const found = orders.find((order) => order.left > 0 && matches(order.fault) && order.skip-- <= 0)
    if (found === undefined) return undefined
    found.left -= 1
    const { fault, taken } = found
    return { ...fault, wait: (signal) => waitFor(fault.delayMs, taken.signal, signal) }
  }
  return {
    order(fault) {
      if (fault.request === undefined && fault.task === undefined) throw new Error('a fault needs `request` or `task`')
      if (fault.request !== undefined) new RegExp(fault.request.path) // a bad expression fails now, not later
      last += 1
      orders.push({ id: last, left: fault.times ?? 1, skip: fault.skip ?? 0, fault, taken: new AbortController() })
      return last
    },
    clear(id) {
      for (const order of orders.filter((one) => id === undefined || one.id === id)) {
        order.taken.abort()
        orders.splice(orders.indexOf(order), 1)
      }
    },
    list: () => orders.map(({ id, left, fault }) => ({ ...fault, id, left })),
    forRequest: (method, path) =>
      take(({ request }) => request !== undefined && (request.method ?? method) === method && new RegExp(request.path).test(path)),
    forTask: (type, id) => take(({ task }) => task !== undefined && task.type === type && (task.id ?? id) === id),
  }
}

async function waitFor(ms: number | undefined, taken: AbortSignal, signal: AbortSignal | undefined): Promise<void> {
  if (ms === undefined || taken.aborted) return
  await sleep(ms, undefined, { signal: signal === undefined ? taken : AbortSignal.any([taken, signal]) }).catch((error: unknown) => {
    if (!taken.aborted || signal?.aborted === true) throw error
  })
}
