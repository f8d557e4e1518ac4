/**
 * What setup has made on a Proxmox host, and is to go again: as a plan, like setup.ts's. Pure. It takes what is one site's
 * alone; whatever another site, or somebody else, makes use of stays, and is named.
 */
import { posix } from 'node:path'
import { shellWord } from '../core/shell-word.ts'
import { listUsers, type Grant } from './access.ts'
import type { Proxmox } from './client.ts'
import { managementSet } from './datacenter-firewall.ts'
import { comment } from './ours.ts'
import { listPools } from './pools.ts'
import { isOnline, isVmHere, poolOf, type ListedVm } from './pool-members.ts'
import { observeSetup, type SetupObserved, type SetupWanted } from './setup-host.ts'
import type { SetupStep } from './setup.ts'
import { storageAt } from './storage.ts'

export interface RemovalSeen extends SetupObserved {
  /** Of users and pools, by their names: what setup has made says so. */
  readonly comments: Readonly<Record<string, string | undefined>>
  /** Volume ids of all files on the storage of seeds and imports; none when it is not there. */
  readonly files: readonly string[]
}

export interface RemovalPlan {
  readonly steps: readonly SetupStep[]
  /** What stays, and why: a sentence each. */
  readonly keeps: readonly string[]
  /** The token goes, or is gone: its secret is of no use. */
  readonly endsToken: boolean
}

/** Who else makes use of what, each as a few words. */
export interface Sharing {
  readonly pool: readonly string[]
  readonly depotPool: readonly string[]
  readonly token: readonly string[]
  readonly iso: readonly string[]
}

/** Needs an administrator's login or token. @throws Failure as `observeSetup` */
export async function observeRemoval(admin: Proxmox, wanted: SetupWanted): Promise<RemovalSeen> {
  const seen = await observeSetup(admin, wanted)
  const users = await listUsers(admin)
  const pools = await listPools(admin)
  const comments = Object.fromEntries([
    ...users.map((user) => [user.userid, user.comment]),
    ...pools.map((pool) => [pool.poolid, pool.comment]),
  ]) as RemovalSeen['comments']
  const content = (seen.storages.find(({ storage }) => storage === wanted.iso)?.content ?? '').split(',')
  const files: string[] = []
  if (isOnline(seen.nodes, wanted.node))
    for (const kind of (['iso', 'import'] as const).filter((one) => content.includes(one)))
      files.push(...(await storageAt(admin, wanted.node, wanted.iso).files(kind)).map(({ volid }) => volid))
  return { ...seen, comments, files }
}

const userOf = ({ tokenId }: SetupWanted): string => tokenId.split('!')[0] ?? ''
const isOurs = (wanted: SetupWanted, { ugid }: Grant): boolean => ugid === wanted.tokenId || ugid === userOf(wanted)
const isOurRole = (role: string): boolean => /^Golden(Pool|Depot|Disks|Iso|Network|Node|Datacenter)(-[0-9a-f]{8})?$/.test(role)

/** The depots of this site that are there and are what setup has made. */
export const ownDepots = (wanted: SetupWanted, { vms }: Pick<SetupObserved, 'vms'>): ListedVm[] =>
  vms.filter((vm) =>
    wanted.depots.some(({ vmid, name }) => vm.vmid === vmid && vm.name === name && vm.pool === wanted.depotPool && isVmHere(wanted, vm)),
  )

/** @param own VMIDs of what else is this site's */
export function sharingOf(wanted: SetupWanted, seen: SetupObserved, own: ReadonlySet<number>): Sharing {
  const depots = new Set(ownDepots(wanted, seen).map(({ vmid }) => vmid))
  const others = seen.acl.filter((grant) => !isOurs(wanted, grant))
  const rightsOn = (path: string): Grant[] => others.filter((grant) => grant.path === path || grant.path.startsWith(`${path}/`))
  const membersOf = (pool: string): string[] => [
    ...seen.vms
      .filter((vm) => poolOf(wanted, vm.pool) === pool && !own.has(vm.vmid) && !depots.has(vm.vmid))
      .map(({ type, vmid, name }) => `${type === 'qemu' ? 'VM' : 'container'} ${vmid}${name === undefined ? '' : ` (${name})`}`),
    ...(seen.pooledStorages ?? []).filter((one) => poolOf(wanted, one.pool) === pool).map(({ storage }) => `storage ${storage}`),
    ...seen.pools.filter((name) => name.startsWith(`${pool}/`)).map((name) => `pool ${name}`),
  ]
  const usersOf = (path: string): string[] => [...new Set(rightsOn(path).map(({ ugid }) => `rights of ${ugid}`))]
  const sharedPools = [wanted.pool, wanted.depotPool].filter(
    // Whoever else works there, and with no rights of their own, has this token.
    (pool) => membersOf(pool).length > 0 && !rightsOn(`/pool/${pool}`).some(({ roleid }) => isOurRole(roleid)),
  )
  const elsewhere = seen.acl
    .filter(
      (grant) => isOurs(wanted, grant) && /^\/pool\//.test(grant.path) && poolOf(wanted, grant.path.slice('/pool/'.length)) === undefined,
    )
    .map(({ path }) => `rights on ${path}`)
  const withThisToken = sharedPools.map((pool) => `others in pool ${pool}, which have no token of their own there`)
  const token = [...new Set([...elsewhere, ...withThisToken])]
  const ofPool = (pool: string): string[] => {
    const known = [...membersOf(pool), ...usersOf(`/pool/${pool}`)]
    // Sites share both or none: one that has its depots here has its VMs there, whether or not there are any right now.
    return known.length > 0 ? known : withThisToken
  }
  return { pool: ofPool(wanted.pool), depotPool: ofPool(wanted.depotPool), token, iso: [...usersOf(`/storage/${wanted.iso}`), ...token] }
}

/**
 * What goes, in this order, once nothing of the site is needed any more. Nothing to do: an empty list.
 * @param own VMIDs of what else is this site's: while there is any, the caller has to refuse
 */
export function planRemoval(wanted: SetupWanted, seen: RemovalSeen, own: ReadonlySet<number>): RemovalPlan {
  const sharing = sharingOf(wanted, seen, own)
  const keeps: string[] = []
  const depots = depotSteps(wanted, seen, keeps)
  const storage = storageSteps(wanted, seen, sharing, keeps)
  const pools = poolSteps(wanted, seen, sharing, keeps)
  const rights = rightsSteps(wanted, seen, sharing, keeps)
  const roles = roleSteps(wanted, seen, sharing, keeps)
  keeps.push(...firewallKept(seen))
  // Rights before what they are on, which would take them along.
  return { steps: [...depots, ...rights, ...storage, ...pools, ...roles], keeps, endsToken: sharing.token.length === 0 }
}

function depotSteps(wanted: SetupWanted, seen: RemovalSeen, keeps: string[]): SetupStep[] {
  const own = ownDepots(wanted, seen)
  for (const { vmid, name } of wanted.depots) {
    const vm = seen.vms.find((one) => one.vmid === vmid)
    if (vm !== undefined && !own.includes(vm)) keeps.push(`VM ${vmid} (${vm.name ?? '?'}), which is not depot ${name}, is somebody else's`)
  }
  return own.map(
    ({ vmid, node, name = '' }): SetupStep => ({
      title: `remove depot ${name} (${vmid})`,
      command: `qm set ${vmid} --protection 0 && qm destroy ${vmid} --purge 1`,
      call: { method: 'DELETE', path: `/nodes/${node}/qemu/${vmid}`, form: { purge: 1 } },
      depot: { vmid, node, name },
    }),
  )
}

function storageSteps({ iso, isoPath }: SetupWanted, { storages, files }: RemovalSeen, sharing: Sharing, keeps: string[]): SetupStep[] {
  const found = storages.find(({ storage }) => storage === iso)
  if (found === undefined) return []
  const isMade =
    found.type === 'dir' &&
    posix.normalize(`${found.path ?? ''}/`) === posix.normalize(`${isoPath}/`) &&
    (found.content ?? '').split(',').every((kind) => kind === 'iso' || kind === 'import')
  const users = [...files.map((volid) => volid.slice(volid.indexOf(':') + 1)), ...sharing.iso]
  if (!isMade)
    keeps.push(
      `storage ${iso} is not as setup makes it (a folder ${isoPath} for ISOs and imports alone): it was there before, or somebody has changed it`,
    )
  else if (users.length > 0) keeps.push(`storage ${iso} is somebody else's, too: ${some(users)}`)
  if (!isMade || users.length > 0) return []
  keeps.push(`the folder ${isoPath} stays on the node, without files: "rm -r ${shellWord(isoPath)}" removes it`)
  return [{ title: `remove storage ${iso}`, command: `pvesm remove ${iso}`, call: { method: 'DELETE', path: `/storage/${iso}`, form: {} } }]
}

function poolSteps(wanted: SetupWanted, { pools, comments }: RemovalSeen, sharing: Sharing, keeps: string[]): SetupStep[] {
  return (
    [
      [wanted.depotPool, sharing.depotPool],
      [wanted.pool, sharing.pool],
    ] as const
  ).flatMap(([pool, users]): SetupStep[] => {
    if (!pools.includes(pool)) return []
    if (users.length > 0) keeps.push(`pool ${pool} is somebody else's, too: ${some(users)}`)
    else if (comments[pool] !== comment) keeps.push(`pool ${pool} was not made by setup`)
    if (users.length > 0 || comments[pool] !== comment) return []
    return [
      {
        title: `remove pool ${pool}`,
        command: `pveum pool delete ${shellWord(pool)}`,
        call: { method: 'DELETE', path: '/pools', form: { poolid: pool } },
      },
    ]
  })
}

/** Rights, token, user. */
function rightsSteps(wanted: SetupWanted, { acl, users, tokens, comments }: RemovalSeen, sharing: Sharing, keeps: string[]): SetupStep[] {
  const user = userOf(wanted)
  const token = wanted.tokenId.slice(user.length + 1)
  if (sharing.token.length > 0) {
    keeps.push(`token ${wanted.tokenId} is somebody else's, too, with its user, roles and rights: ${some(sharing.token)}`)
    return []
  }
  const ours = acl.filter((grant) => isOurs(wanted, grant) && isOurRole(grant.roleid))
  const rest = acl.filter((grant) => !ours.includes(grant))
  const others = [
    ...tokens.filter((name) => name !== token).map((name) => `token ${name}`),
    ...rest.filter(({ ugid }) => ugid === user || ugid.startsWith(`${user}!`)).map(({ roleid, path }) => `role ${roleid} on ${path}`),
  ]
  const isThere = users.includes(user)
  const userGoes = isThere && others.length === 0 && comments[user] === comment
  if (isThere && !userGoes)
    keeps.push(others.length > 0 ? `user ${user} has more than setup gave: ${some(others)}` : `user ${user} was not made by setup`)
  return [
    ...ours.map(({ path, roleid, ugid }): SetupStep => {
      const kind = ugid === user ? 'users' : 'tokens'
      return {
        title: `take ${roleid} on ${path} back from ${ugid}`,
        command: `pveum acl delete ${shellWord(path)} --roles ${roleid} --${kind} ${shellWord(ugid)}`,
        call: { method: 'PUT', path: '/access/acl', form: { path, roles: roleid, [kind]: ugid, delete: 1 } },
      }
    }),
    ...(tokens.includes(token)
      ? [
          {
            title: `remove token ${wanted.tokenId}`,
            command: `pveum user token remove ${shellWord(user)} ${token}`,
            call: { method: 'DELETE', path: `/access/users/${encodeURIComponent(user)}/token/${token}`, form: {} },
          } as const,
        ]
      : []),
    ...(userGoes
      ? [
          {
            title: `remove user ${user}`,
            command: `pveum user delete ${shellWord(user)}`,
            call: { method: 'DELETE', path: `/access/users/${encodeURIComponent(user)}`, form: {} },
          } as const,
        ]
      : []),
  ]
}

/** Those of this project that nobody has by then. */
function roleSteps(wanted: SetupWanted, { acl, roles }: RemovalSeen, sharing: Sharing, keeps: string[]): SetupStep[] {
  if (sharing.token.length > 0) return []
  const others = new Set(acl.filter((grant) => !isOurs(wanted, grant)).map(({ roleid }) => roleid))
  const kept = acl.filter((grant) => isOurs(wanted, grant) && isOurRole(grant.roleid) && others.has(grant.roleid))
  keeps.push(...new Set(kept.map(({ roleid }) => `role ${roleid}, which another site has, too`)))
  return roles
    .filter(({ roleid }) => isOurRole(roleid) && !others.has(roleid))
    .map(({ roleid }) => ({
      title: `remove role ${roleid}, which nobody has any more`,
      command: `pveum role delete ${roleid}`,
      call: { method: 'DELETE', path: `/access/roles/${roleid}`, form: {} },
    }))
}

/** Whether setup has turned it on nobody can tell any more, and it guards all that is on the host. */
function firewallKept({ firewall: { enabled, management = [], rules } }: RemovalSeen): string[] {
  const ours = management.filter((entry) => entry.comment === comment).map(({ cidr }) => cidr)
  return [
    ...(enabled
      ? ['the datacenter firewall is on and stays so; "pvesh set /cluster/firewall/options --enable 0" on the node turns it off']
      : []),
    ...(ours.length > 0 ? [`the IP set ${managementSet} keeps ${ours.join(', ')}, which setup put there: it lets you in`] : []),
    ...(rules.length > 0
      ? [`the ${rules.length === 1 ? 'rule' : `${rules.length} rules`} of the datacenter firewall, none of which is setup's`]
      : []),
  ]
}

const most = 5
const some = (list: readonly string[]): string =>
  list.length > most ? `${list.slice(0, most).join(', ')} and ${list.length - most} more` : list.join(', ')
