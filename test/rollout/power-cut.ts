/** The computer that runs a rollout loses its power: after so many requests nothing of it is heard any more. */
import type { Proxmox } from '../../proxmox/client.ts'

export class PowerCut extends Error {
  constructor() {
    super('the power was cut')
  }
}

export interface Fuse {
  readonly proxmox: Proxmox
  /** Requests so far. */
  readonly count: () => number
  readonly isBlown: () => boolean
}

/** Something that happens to the host meanwhile. */
export interface Accident {
  /** At which of the requests. */
  readonly at: number
  happen(): Promise<void>
}

/**
 * @param at at which of the requests, the first being 1
 * @param when before it is sent, or when it has had its effect and nobody hears the answer
 */
export function fuse(proxmox: Proxmox, at: number, when: 'before' | 'after', accident?: Accident): Fuse {
  let count = 0
  let blown = false
  const cut = (): never => {
    blown = true
    throw new PowerCut()
  }
  const guarded = new Proxy(proxmox, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name)
      if (typeof value !== 'function' || name === 'close') return value
      return async (...args: unknown[]) => {
        if (blown) cut()
        count += 1
        const mine = count
        if (mine >= at && when === 'before') cut()
        if (mine === accident?.at) await accident.happen()
        const answer: unknown = await Reflect.apply(value, target, args)
        if (blown || (mine >= at && when === 'after')) cut()
        return answer
      }
    },
  })
  return { proxmox: guarded, count: () => count, isBlown: () => blown }
}
