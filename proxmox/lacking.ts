/** What a token lacks of what it needs, by what Proxmox itself tells it. Pure. */
import type { Permissions } from './access.ts'
import type { PrivilegeTarget } from './privileges.ts'

export interface Lacking {
  /** Privileges, in the table's order. */
  readonly missing: readonly string[]
  /** Not one of them is there: what the path stands for may not be there either, to Proxmox that looks the same. */
  readonly all: boolean
}

/**
 * @param held of `GET /access/permissions`
 * @returns undefined: it has them all
 */
export function lackingOn({ path, privileges }: PrivilegeTarget, held: Permissions): Lacking | undefined {
  // In which zone of SDN a vnet is a token may not see; where it may use it, it may.
  const bridge = /^\/sdn\/zones\/[^/]+(\/.+)$/.exec(path)?.[1]
  const paths =
    bridge === undefined
      ? [path]
      : [path, ...Object.keys(held).filter((one) => /^\/sdn\/zones\/[^/]+\/./.test(one) && one.endsWith(bridge))]
  const best = paths
    .map((one) => privileges.filter((privilege) => !has(held, one, privilege)))
    .reduce((least, missing) => (missing.length < least.length ? missing : least))
  return best.length === 0 ? undefined : { missing: best, all: best.length === privileges.length }
}

/** Proxmox lists each path on which anybody was granted anything; on all others what comes down from above holds. */
function has(held: Permissions, path: string, privilege: string): boolean {
  const own = held[path]
  if (own !== undefined) return own[privilege] !== undefined
  for (let above = parentOf(path); above !== undefined; above = parentOf(above)) {
    const found = held[above]
    if (found !== undefined) return Number(found[privilege] ?? 0) === 1
  }
  return false
}

const parentOf = (path: string): string | undefined => (path === '/' ? undefined : path.slice(0, path.lastIndexOf('/')) || '/')
