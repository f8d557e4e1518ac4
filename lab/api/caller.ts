/** Who calls, and what they may: the checks that handlers make besides those of the method table. */
import type { State } from '../state/state.ts'
import { permissionsOn } from './acl.ts'
import { fail, permissionError } from './errors.ts'

export interface Caller {
  /** `user@realm`. */
  readonly userid: string
  readonly tokenid?: string
  /** `user@realm` or `user@realm!token`: the one the permissions belong to. */
  readonly authId: string
  /** root@pam itself, by ticket; a token of it is not. */
  readonly isRoot: boolean
  /** All of these privileges, else 403. */
  require(path: string, ...privileges: string[]): void
  /** One of them, else 403. */
  requireAny(path: string, ...privileges: string[]): void
  has(path: string, ...privileges: string[]): boolean
  hasAny(path: string, ...privileges: string[]): boolean
  /** On the VM or, while it is being created, on the pool it goes to. */
  requireOnVm(vmid: number, pool: string | undefined, ...privileges: string[]): void
}

export function createCaller(state: State, userid: string, tokenid?: string): Caller {
  const authId = tokenid === undefined ? userid : `${userid}!${tokenid}`
  const of = (path: string) => permissionsOn(state, authId, path)
  const caller: Caller = {
    userid,
    ...(tokenid === undefined ? {} : { tokenid }),
    authId,
    isRoot: authId === 'root@pam',
    has: (path, ...privileges) => {
      const held = of(path)
      return privileges.every((privilege) => held.has(privilege))
    },
    hasAny: (path, ...privileges) => {
      const held = of(path)
      return privileges.some((privilege) => held.has(privilege))
    },
    require: (path, ...privileges) => {
      const held = of(path)
      for (const privilege of privileges) if (!held.has(privilege)) throw permissionError(`${path}, ${privilege}`)
    },
    requireAny: (path, ...privileges) => {
      if (!caller.hasAny(path, ...privileges)) throw permissionError(`${path}, ${privileges.join('|')}`)
    },
    requireOnVm: (vmid, pool, ...privileges) => {
      if (pool !== undefined && caller.has(`/pool/${pool}`, ...privileges)) return
      caller.require(`/vms/${vmid}`, ...privileges)
    },
  }
  return caller
}

/** 500 for everybody but root@pam with a ticket. */
export function requireRoot(caller: Caller, what: string): void {
  if (!caller.isRoot) fail(`only root can ${what}`)
}
