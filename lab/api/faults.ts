/** Faults to order, so that tests of reliability need no luck. */

export interface FaultOrder {
  /** Which requests: a method and a part of the path (a regular expression), e.g. `^/nodes/pve/qemu/\d+/clone$`. */
  readonly request?: { readonly method?: string; readonly path: string }
  /** Which tasks: type (`qmclone`, …) and perhaps id. */
  readonly task?: { readonly type: string; readonly id?: string }
  /** Wait so long first, in ms. */
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

export interface Faults {
  /** Adds an order; returns its number. */
  order(fault: FaultOrder): number
  /** Takes one back, or all. */
  clear(id?: number): void
  list(): (FaultOrder & { readonly id: number; readonly left: number })[]
  forRequest(method: string, path: string): FaultOrder | undefined
  forTask(type: string, id: string): FaultOrder | undefined
}

export function createFaults(): Faults {
  const orders: { id: number; left: number; skip: number; fault: FaultOrder }[] = []
  let last = 0
  const take = (matches: (fault: FaultOrder) => boolean): FaultOrder | undefined => {
    const found = orders.find((order) => order.left > 0 && matches(order.fault) && order.skip-- <= 0)
    if (found !== undefined) found.left -= 1
    return found?.fault
  }
  return {
    order(fault) {
      if (fault.request === undefined && fault.task === undefined) throw new Error('a fault needs `request` or `task`')
      if (fault.request !== undefined) new RegExp(fault.request.path) // a bad expression fails now, not later
      last += 1
      orders.push({ id: last, left: fault.times ?? 1, skip: fault.skip ?? 0, fault })
      return last
    },
    clear(id) {
      for (let index = orders.length - 1; index >= 0; index -= 1) if (id === undefined || orders[index]?.id === id) orders.splice(index, 1)
    },
    list: () => orders.map(({ id, left, fault }) => ({ ...fault, id, left })),
    forRequest: (method, path) =>
      take(({ request }) => request !== undefined && (request.method ?? method) === method && new RegExp(request.path).test(path)),
    forTask: (type, id) => take(({ task }) => task !== undefined && task.type === type && (task.id ?? id) === id),
  }
}
