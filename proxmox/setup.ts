/**
 * The administrator's one-time part on a Proxmox host, as a plan: what is missing, as API calls and as the
 * commands that do the same on the node. Pure; `golden setup` prints or applies it. Running it again repairs.
 */
import { posix } from 'node:path'
import type { Parameters } from './client.ts'
import type { FailureFacts } from '../core/failure.ts'
import { managementSet, missingSources } from './datacenter-firewall.ts'
import { comment } from './ours.ts'
import { nodeProblem } from './place.ts'
import { isSameKind, privilegeTable } from './privileges.ts'
import { isOnline, isVmHere, sharedPool, strangersIn } from './pool-members.ts'
import type { DepotWanted, SetupObserved, SetupWanted } from './setup-host.ts'
import { shellWord } from '../core/shell-word.ts'
import { diskStorageNote, diskStorageProblem, fileStorageProblem } from './storage-kinds.ts'

export type { FirewallRule } from './firewall.ts'
export { applySetup } from './apply-setup.ts'
export { observeSetup, type DepotWanted, type SetupObserved, type SetupWanted } from './setup-host.ts'

export interface SetupStep {
  readonly title: string
  /** The same as a command on the node, which does nothing the second time. */
  readonly command: string
  readonly call: { readonly method: 'POST' | 'PUT' | 'DELETE'; readonly path: string; readonly form: Parameters }
  /** The answer holds the token's secret. */
  readonly yieldsSecret?: true
  /** The answer is a task to wait for. */
  readonly task?: true
  /** The VM that this removes, if it is still the one that was seen, and owns nothing (remove-depot.ts). */
  readonly depot?: SeenDepot
}

export interface SeenDepot extends DepotWanted {
  readonly node: string
}

export type SetupProblem = FailureFacts

export interface SetupPlan {
  readonly steps: readonly SetupStep[]
  /** What setup does not repair by itself because it would touch what is not the project's. */
  readonly problems: readonly SetupProblem[]
  /** What works, and is worth knowing before anything is made. */
  readonly notes?: readonly string[]
}

/** Succeeds in the script (setup-script.ts) if the list at this path of the API has an entry with this key and value. */
const has = (path: string, key: string, value: string | number): string => `has ${shellWord(path)} ${key} ${shellWord(value)}`

/** The same of the datacenter firewall. */
export const firewallIsOn = has('/cluster/firewall/options', 'enable', 1)

/** What has to be done, in this order. An empty list of steps: everything is as it should be. */
export function planSetup(asked: SetupWanted, observed: SetupObserved): SetupPlan {
  // The token's rights on a vnet hang below the zone that it is in.
  const zone = observed.vnets?.find(({ vnet }) => vnet === asked.bridge)?.zone
  const wanted: SetupWanted = zone === undefined ? asked : { ...asked, zone }
  const problems = placeProblems(wanted, observed)
  const [user, tokenName] = wanted.tokenId.split('!') as [string, string]
  const steps: SetupStep[] = [
    ...roleSteps(wanted, observed),
    ...poolSteps(wanted, observed, problems),
    ...storageSteps(wanted, observed, problems),
    ...userSteps(wanted, observed, user, tokenName, problems),
    ...aclSteps(wanted, observed, user),
    ...retireSteps(wanted, observed, user),
    // Where the node itself is wrong, depots that are there seem to be somebody else's.
    ...(isOnline(observed.nodes, wanted.node) ? depotSteps(wanted, observed, problems) : []),
    ...firewallSteps(wanted, observed),
  ]
  const disks = observed.storages.find((entry) => entry.storage === wanted.disks)
  const note = disks === undefined ? undefined : diskStorageNote(disks)
  return { steps, problems, ...(note === undefined ? {} : { notes: [note] }) }
}

/** Permissions can be given for nodes and bridges that do not exist, so Proxmox itself would not notice. */
function placeProblems({ node, bridge }: SetupWanted, { nodes, bridges }: SetupObserved): SetupProblem[] {
  const problem = nodeProblem(node, nodes)
  if (problem !== undefined) return [problem]
  if (!bridges.includes(bridge))
    return [
      {
        code: 'bridge-missing',
        message: `node ${node} has no bridge or vnet ${bridge}`,
        hint:
          bridges.length === 0
            ? `Make a bridge on the node (Proxmox, ${node}, Network), and name it as proxmox.bridge in site.ts.`
            : `Set proxmox.bridge in site.ts to one of: ${bridges.join(', ')}.`,
      },
    ]
  return []
}

const privilegesOf = (role: SetupObserved['roles'][number]): string[] => (role.privs ?? '').split(/[ ,;]+/).filter((text) => text !== '')

function roleSteps(wanted: SetupWanted, observed: SetupObserved): SetupStep[] {
  return privilegeTable(wanted, observed.release).flatMap(({ role, privileges }): SetupStep[] => {
    const privs = privileges.join(',')
    const command = `if ${has('/access/roles', 'roleid', role)}; then pveum role modify ${role} --privs ${privs}; else pveum role add ${role} --privs ${privs}; fi`
    const existing = observed.roles.find((entry) => entry.roleid === role)
    if (existing === undefined) {
      return [{ title: `make role ${role}`, command, call: { method: 'POST', path: '/access/roles', form: { roleid: role, privs } } }]
    }
    // Its name is made of what it holds: another site that uses it needs just that, too.
    if (privilegesOf(existing).sort().join(',') === [...privileges].sort().join(',')) return []
    return [{ title: `correct role ${role}`, command, call: { method: 'PUT', path: `/access/roles/${role}`, form: { privs } } }]
  })
}

function poolSteps(wanted: SetupWanted, observed: SetupObserved, problems: SetupProblem[]): SetupStep[] {
  return (
    [
      ['pool', wanted.pool],
      ['depotPool', wanted.depotPool],
    ] as const
  ).flatMap(([setting, pool]): SetupStep[] => {
    const others = strangersIn(wanted, observed.nodes, observed, pool)
    if (others.length > 0) {
      problems.push(sharedPool(setting, pool, others))
    }
    if (observed.pools.includes(pool)) return []
    return [
      {
        title: `make pool ${pool}`,
        command: `${has('/pools', 'poolid', pool)} || pveum pool add ${shellWord(pool)} --comment ${comment}`,
        call: { method: 'POST', path: '/pools', form: { poolid: pool, comment } },
      },
    ]
  })
}

function storageSteps(wanted: SetupWanted, observed: SetupObserved, problems: SetupProblem[]): SetupStep[] {
  const on = (entry: { nodes?: string }): boolean => entry.nodes === undefined || entry.nodes.split(',').includes(wanted.node)
  const disks = observed.storages.find((entry) => entry.storage === wanted.disks)
  const usable = observed.storages.filter(on).map((entry) => entry.storage)
  if (disks === undefined || !on(disks)) {
    problems.push({
      code: 'storage-missing',
      message:
        disks === undefined
          ? `storage ${wanted.disks} does not exist on this Proxmox`
          : `storage ${wanted.disks} is not on node ${wanted.node}, only on ${disks.nodes ?? ''}`,
      hint: `Set proxmox.storage.disks in site.ts to one of: ${usable.join(', ')}.`,
    })
  } else if (diskStorageProblem(disks) !== undefined) {
    problems.push(diskStorageProblem(disks, observed.storages.filter(on)) as SetupProblem)
  } else if (!(disks.content ?? '').split(',').includes('images')) {
    problems.push({
      code: 'storage-without-images',
      message: `storage ${wanted.disks} is not enabled for disk images`,
      hint: `Enable it (pvesm set ${wanted.disks} --content ${[disks.content, 'images'].filter(Boolean).join(',')}) or choose another proxmox.storage.disks.`,
    })
  }
  const iso = observed.storages.find((entry) => entry.storage === wanted.iso)
  const path = iso === undefined ? wanted.isoPath : iso.path
  const neighbour = observed.storages.find(
    (entry) => entry.storage !== wanted.iso && path !== undefined && entry.path !== undefined && overlap(entry.path, path),
  )
  if (neighbour !== undefined) {
    problems.push({
      code: 'iso-path-taken',
      message: `${path ?? ''}, the folder of storage ${wanted.iso}, and ${neighbour.path ?? ''} of storage ${neighbour.storage} lie in each other, and the token may delete everything in its own`,
      hint:
        iso === undefined
          ? 'Set proxmox.storage.isoPath in site.ts to a folder that no storage has.'
          : 'Choose another name for proxmox.storage.iso in site.ts (setup makes it), and for proxmox.storage.isoPath a folder that no storage has.',
    })
  }
  if (iso === undefined) {
    return [
      {
        title: `make storage ${wanted.iso} for seeds and imports in ${wanted.isoPath}`,
        command: `if ${has('/storage', 'storage', wanted.iso)}; then pvesm set ${wanted.iso} --content iso,import; else pvesm add dir ${wanted.iso} --path ${shellWord(wanted.isoPath)} --content iso,import; fi`,
        call: { method: 'POST', path: '/storage', form: { storage: wanted.iso, type: 'dir', path: wanted.isoPath, content: 'iso,import' } },
      },
    ]
  }
  const kind = fileStorageProblem(iso)
  if (kind !== undefined) {
    problems.push(kind)
    return []
  }
  if (!on(iso))
    problems.push({
      code: 'storage-missing',
      message: `storage ${wanted.iso} is not on node ${wanted.node}, only on ${iso.nodes ?? ''}`,
      hint: 'Choose another name for proxmox.storage.iso in site.ts (setup makes it).',
    })
  const content = (iso.content ?? '').split(',').filter((text) => text !== '')
  const others = content.filter((kind) => !isoContent.includes(kind) && kind !== 'none')
  if (others.length > 0) {
    problems.push({
      code: 'iso-storage-shared',
      message: `storage ${wanted.iso} is also for ${others.join(', ')}, and the token may delete everything on it`,
      hint: 'Choose another name for proxmox.storage.iso in site.ts: setup makes that storage.',
    })
    return []
  }
  const missing = isoContent.filter((kind) => !content.includes(kind))
  if (missing.length === 0) return []
  const all = isoContent.join(',')
  return [
    {
      title: `enable ${missing.join(' and ')} on storage ${wanted.iso}`,
      command: `pvesm set ${wanted.iso} --content ${all}`,
      call: { method: 'PUT', path: `/storage/${wanted.iso}`, form: { content: all } },
    },
  ]
}

/** All that the storage of seeds and imports may hold: its files are the token's to delete. */
const isoContent: readonly string[] = ['iso', 'import']

/** Whether one folder is the other, or in it. */
function overlap(one: string, other: string): boolean {
  const [a, b] = [one, other].map((path) => `${posix.normalize(path).replace(/\/+$/, '')}/`) as [string, string]
  return a.startsWith(b) || b.startsWith(a)
}

function userSteps(wanted: SetupWanted, observed: SetupObserved, user: string, tokenName: string, problems: SetupProblem[]): SetupStep[] {
  const steps: SetupStep[] = []
  const path = `/access/users/${encodeURIComponent(user)}/token/${tokenName}`
  if (!observed.users.includes(user)) {
    // Without a password: nobody can log in as this user, it only carries the token.
    steps.push({
      title: `make user ${user}`,
      command: `${has('/access/users', 'userid', user)} || pveum user add ${shellWord(user)} --comment ${comment}`,
      call: { method: 'POST', path: '/access/users', form: { userid: user, comment } },
    })
  }
  const exists = observed.tokens.includes(tokenName)
  if (exists && wanted.secretMissing !== undefined && !wanted.replaceToken) {
    problems.push({
      code: 'token-exists',
      message: `this Proxmox has a token ${wanted.tokenId} already, and its secret is not in ${wanted.secretMissing}`,
      hint: 'If another site or another person uses it, put the secret from there into that place, or set proxmox.tokenId in site.ts to one of your own. If its secret is lost, "npx golden setup --new-token" makes a new one; the old one ends with that.',
    })
  }
  const remove = `pveum user token remove ${shellWord(user)} ${tokenName}`
  const add = `pveum user token add ${shellWord(user)} ${tokenName} --privsep 1 --comment ${comment}`
  if (exists && wanted.replaceToken) {
    steps.push({ title: `remove token ${wanted.tokenId}, to make it anew`, command: remove, call: { method: 'DELETE', path, form: {} } })
  }
  if (!exists || wanted.replaceToken) {
    // Of a token that is there the secret can't be told again.
    const there = has(`/access/users/${user}/token`, 'tokenid', tokenName)
    const command = wanted.replaceToken ? `if ${there}; then ${remove}; fi\n${add}` : `${there} || ${add}`
    steps.push({
      title: `make token ${wanted.tokenId}`,
      command,
      call: { method: 'POST', path, form: { privsep: 1, comment } },
      yieldsSecret: true,
    })
  }
  return steps
}

function aclSteps(wanted: SetupWanted, observed: SetupObserved, user: string): SetupStep[] {
  return privilegeTable(wanted, observed.release).flatMap(({ role, path, propagate }): SetupStep[] => {
    const granted = (ugid: string): boolean =>
      observed.acl.some((entry) => entry.path === path && entry.roleid === role && entry.ugid === ugid)
    // A token with privilege separation has what both it and its user have.
    const tokenStays = granted(wanted.tokenId) && !wanted.replaceToken
    if (granted(user) && tokenStays) return []
    return [
      {
        title: `grant ${role} on ${path}`,
        command: `pveum acl modify ${path.startsWith('/sdn/') ? bridgePath(wanted.bridge) : shellWord(path)} --roles ${role} --users ${shellWord(user)} --tokens ${shellWord(wanted.tokenId)} --propagate ${propagate ? 1 : 0}`,
        call: { method: 'PUT', path: '/access/acl', form: { path, roles: role, users: user, tokens: wanted.tokenId, propagate } },
      },
    ]
  })
}

/**
 * Takes back what an earlier version of this project was granted, where the new role holds all of it: whatever else of
 * the user's relies on it loses nothing. A role goes with the last that had it.
 */
function retireSteps(wanted: SetupWanted, observed: SetupObserved, user: string): SetupStep[] {
  const table = privilegeTable(wanted, observed.release)
  const retired = observed.acl.filter(({ path, roleid, ugid }) => {
    const role = observed.roles.find((entry) => entry.roleid === roleid)
    const target = table.find((entry) => entry.path === path && entry.role !== roleid && isSameKind(entry.role, roleid))
    return (
      (ugid === user || ugid === wanted.tokenId) &&
      role !== undefined &&
      target !== undefined &&
      privilegesOf(role).every((privilege) => target.privileges.includes(privilege))
    )
  })
  const unused = [...new Set(retired.map(({ roleid }) => roleid))].filter((roleid) =>
    observed.acl.every((entry) => entry.roleid !== roleid || retired.includes(entry)),
  )
  return [
    ...retired.map(
      ({ path, roleid, ugid }): SetupStep => ({
        title: `take ${roleid} on ${path} back from ${ugid}, which has a newer role there`,
        command: `pveum acl delete ${shellWord(path)} --roles ${roleid} --${ugid === user ? 'users' : 'tokens'} ${shellWord(ugid)}`,
        call: { method: 'PUT', path: '/access/acl', form: { path, roles: roleid, [ugid === user ? 'users' : 'tokens']: ugid, delete: 1 } },
      }),
    ),
    ...unused.map(
      (roleid): SetupStep => ({
        title: `remove role ${roleid}, which nobody has any more`,
        command: `pveum role delete ${roleid}`,
        call: { method: 'DELETE', path: `/access/roles/${roleid}`, form: {} },
      }),
    ),
  ]
}

/** The same as a word of the shell: which zone the bridge is in, if it is a vnet, the node knows. */
const bridgePath = (bridge: string): string =>
  `"/sdn/zones/$(cat /etc/pve/sdn/vnets.cfg 2>/dev/null | awk -v id=${shellWord(bridge)} '$1 == "vnet:" { at = $2 } at == id && $1 == "zone" { zone = $2 } END { print zone == "" ? "localnetwork" : zone }')/"${shellWord(bridge)}`

function depotSteps(wanted: SetupWanted, observed: SetupObserved, problems: SetupProblem[]): SetupStep[] {
  return wanted.depots.flatMap((depot): SetupStep[] => {
    const protect: SetupStep = {
      title: `protect depot ${depot.name} (${depot.vmid})`,
      command: `qm set ${depot.vmid} --protection 1`,
      call: { method: 'PUT', path: `/nodes/${wanted.node}/qemu/${depot.vmid}/config`, form: { protection: 1 } },
    }
    const existing = observed.vms.find((vm) => vm.vmid === depot.vmid)
    if (existing === undefined) {
      const form = {
        vmid: depot.vmid,
        name: depot.name,
        pool: wanted.depotPool,
        memory: 64,
        cores: 1,
        scsihw: 'virtio-scsi-pci',
        ostype: 'l26',
        onboot: 0,
        description: 'Owns a data disk of serena-golden while no VM uses it. Never started. Do not delete.',
      }
      const flags = Object.entries(form)
        .filter(([key]) => key !== 'vmid')
        .map(([key, value]) => `--${key} ${shellWord(value)}`)
        .join(' ')
      return [
        {
          title: `make depot ${depot.name} (${depot.vmid})`,
          command: `${has('/cluster/resources', 'id', `qemu/${depot.vmid}`)} || qm create ${depot.vmid} ${flags}`,
          call: { method: 'POST', path: `/nodes/${wanted.node}/qemu`, form },
          task: true,
        },
        protect,
      ]
    }
    if (!isVmHere(wanted, existing) || existing.name !== depot.name || existing.pool !== wanted.depotPool) {
      const moved =
        existing.type === 'qemu' && existing.node !== wanted.node && existing.name === depot.name && existing.pool === wanted.depotPool
      const what = `${existing.type === 'qemu' ? 'VM' : 'container'} ${existing.name ?? '?'}${existing.node === wanted.node ? '' : ` on node ${existing.node}`}`
      problems.push({
        code: 'vmid-taken',
        message: `VMID ${depot.vmid}, wanted for ${depot.name}, is ${what} of somebody else`,
        hint: `${moved ? `If it is this depot, set proxmox.node in site.ts back to ${existing.node}; or migrate it: "qm migrate ${depot.vmid} ${wanted.node}" on node ${existing.node}, its data goes with it. If it is not, choose` : 'Choose'} another depot VMID in site.ts. That VM was not touched.`,
      })
      return []
    }
    return observed.protectedVms.has(depot.vmid) ? [] : [protect]
  })
}

/** Management access first, then the switch: the other way round locks people out of their host. */
function firewallSteps(wanted: SetupWanted, { firewall }: SetupObserved): SetupStep[] {
  if (!wanted.enableFirewall || firewall.enabled) return []
  const sets = '/cluster/firewall/ipset'
  return [
    ...(firewall.management !== undefined
      ? []
      : [
          {
            title: `make IP set ${managementSet}`,
            command: `${firewallIsOn} || ${has(sets, 'name', managementSet)} || pvesh create ${sets} --name ${managementSet} --comment ${comment}`,
            call: { method: 'POST', path: sets, form: { name: managementSet, comment } },
          } as const,
        ]),
    ...missingSources(wanted.management, firewall).map(
      (cidr): SetupStep => ({
        title: `keep SSH and the web interface open for ${cidr}`,
        command: `${firewallIsOn} || ${has(`${sets}/${managementSet}`, 'cidr', cidr.replace(/\/32$/, ''))} || pvesh create ${sets}/${managementSet} --cidr ${shellWord(cidr)} --comment ${comment}`,
        call: { method: 'POST', path: `${sets}/${managementSet}`, form: { cidr, comment } },
      }),
    ),
    {
      title: 'turn the datacenter firewall on',
      command: `${firewallIsOn} || pvesh set /cluster/firewall/options --enable 1`,
      call: { method: 'PUT', path: '/cluster/firewall/options', form: { enable: 1 } },
    },
  ]
}
