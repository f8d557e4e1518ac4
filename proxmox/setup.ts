/**
 * The administrator's one-time part on a Proxmox host, as a plan: what is missing, as API calls and as the
 * commands that do the same on the node. Pure; `golden setup` prints or applies it. Running it again repairs.
 */
import { privilegeTable, type PrivilegeScope } from './privileges.ts'
import type { Parameters, Proxmox } from './client.ts'

export interface DepotWanted {
  readonly vmid: number
  readonly name: string
}

export interface SetupWanted extends PrivilegeScope {
  /** `user@realm!name` */
  readonly tokenId: string
  /** Folder on the node for the storage of seeds and imports. */
  readonly isoPath: string
  readonly depots: readonly DepotWanted[]
  /** Networks that keep access to the host when the datacenter firewall is turned on. */
  readonly management: readonly string[]
  /** Turn the datacenter firewall on: only by explicit consent. */
  readonly enableFirewall: boolean
  /** Replace the token although it exists, because its secret is not at hand. */
  readonly replaceToken: boolean
}

export interface SetupObserved {
  readonly roles: readonly { roleid: string; privs?: string }[]
  readonly users: readonly string[]
  readonly tokens: readonly string[]
  readonly acl: readonly { path: string; roleid: string; ugid: string; propagate?: number }[]
  readonly pools: readonly string[]
  readonly storages: readonly { storage: string; type: string; content?: string }[]
  /** VMs and containers of all nodes. */
  readonly vms: readonly { vmid: number; type: string; node: string; name?: string; pool?: string }[]
  /** `protection` by VMID, of those VMs that are wanted as depots. */
  readonly protectedVms: ReadonlySet<number>
  readonly firewall: { enabled: boolean; rules: readonly { type: string; action: string; source?: string; dport?: string }[] }
}

export interface SetupStep {
  readonly title: string
  /** The same as a command on the node. */
  readonly command: string
  readonly call: { readonly method: 'POST' | 'PUT' | 'DELETE'; readonly path: string; readonly form: Parameters }
  /** The answer holds the token's secret. */
  readonly yieldsSecret?: true
  /** The answer is a task to wait for. */
  readonly task?: true
}

export interface SetupProblem {
  readonly code: string
  readonly message: string
  readonly hint: string
}

export interface SetupPlan {
  readonly steps: readonly SetupStep[]
  /** What setup does not repair by itself because it would touch what is not the project's. */
  readonly problems: readonly SetupProblem[]
}

const managementPorts = '22,8006'
const comment = 'serena-golden'

/** Reads what setup decides on. Needs an administrator's login or token. */
export async function observeSetup(admin: Proxmox, wanted: SetupWanted): Promise<SetupObserved> {
  const [user] = wanted.tokenId.split('!') as [string]
  const roles = await admin.get<SetupObserved['roles']>('/access/roles')
  const users = (await admin.get<{ userid: string }[]>('/access/users')).map((entry) => entry.userid)
  const tokens = users.includes(user) ? (await admin.get<{ tokenid: string }[]>(`/access/users/${encodeURIComponent(user)}/token`)).map((entry) => entry.tokenid) : []
  const acl = await admin.get<SetupObserved['acl']>('/access/acl')
  const pools = (await admin.get<{ poolid: string }[]>('/pools')).map((entry) => entry.poolid)
  const storages = await admin.get<SetupObserved['storages']>('/storage')
  const vms = await admin.get<SetupObserved['vms']>('/cluster/resources', { type: 'vm' })
  const protectedVms = new Set<number>()
  for (const depot of wanted.depots) {
    // Of a container, and on another node, there is no such configuration to read.
    if (!vms.some((vm) => vm.vmid === depot.vmid && isVmHere(wanted, vm))) continue
    const config = await admin.get<{ protection?: number }>(`/nodes/${wanted.node}/qemu/${depot.vmid}/config`)
    if (config.protection === 1) protectedVms.add(depot.vmid)
  }
  const options = await admin.get<{ enable?: number }>('/cluster/firewall/options')
  const rules = await admin.get<SetupObserved['firewall']['rules']>('/cluster/firewall/rules')
  return { roles, users, tokens, acl, pools, storages, vms, protectedVms, firewall: { enabled: options.enable === 1, rules } }
}

/** The API lists containers, too, and what is on the cluster's other nodes. */
const isVmHere = ({ node }: SetupWanted, vm: SetupObserved['vms'][number]): boolean => vm.type === 'qemu' && vm.node === node

/** What has to be done, in this order. An empty list of steps: everything is as it should be. */
export function planSetup(wanted: SetupWanted, observed: SetupObserved): SetupPlan {
  const problems: SetupProblem[] = []
  const [user, tokenName] = wanted.tokenId.split('!') as [string, string]
  const steps: SetupStep[] = [
    ...roleSteps(wanted, observed),
    ...poolSteps(wanted, observed),
    ...storageSteps(wanted, observed, problems),
    ...userSteps(wanted, observed, user, tokenName),
    ...aclSteps(wanted, observed, user),
    ...depotSteps(wanted, observed, problems),
    ...firewallSteps(wanted, observed)
  ]
  return { steps, problems }
}

function roleSteps(wanted: SetupWanted, observed: SetupObserved): SetupStep[] {
  return privilegeTable(wanted).flatMap(({ role, privileges }): SetupStep[] => {
    const privs = privileges.join(',')
    const existing = observed.roles.find((entry) => entry.roleid === role)
    if (existing === undefined) {
      return [{ title: `make role ${role}`, command: `pveum role add ${role} --privs ${privs}`, call: { method: 'POST', path: '/access/roles', form: { roleid: role, privs } } }]
    }
    const has = (existing.privs ?? '').split(/[ ,;]+/).filter((text) => text !== '').sort().join(',')
    if (has === [...privileges].sort().join(',')) return []
    return [{ title: `correct role ${role}`, command: `pveum role modify ${role} --privs ${privs}`, call: { method: 'PUT', path: `/access/roles/${role}`, form: { privs } } }]
  })
}

function poolSteps(wanted: SetupWanted, observed: SetupObserved): SetupStep[] {
  return [wanted.pool, wanted.depotPool].filter((pool) => !observed.pools.includes(pool)).map((pool) => ({
    title: `make pool ${pool}`,
    command: `pveum pool add ${pool} --comment ${comment}`,
    call: { method: 'POST', path: '/pools', form: { poolid: pool, comment } }
  }))
}

function storageSteps(wanted: SetupWanted, observed: SetupObserved, problems: SetupProblem[]): SetupStep[] {
  const disks = observed.storages.find((entry) => entry.storage === wanted.disks)
  if (disks === undefined) {
    problems.push({ code: 'storage-missing', message: `storage ${wanted.disks} does not exist on this Proxmox`, hint: `Set proxmox.storage.disks in site.ts to one of: ${observed.storages.map((entry) => entry.storage).join(', ')}.` })
  } else if (!(disks.content ?? '').split(',').includes('images')) {
    problems.push({ code: 'storage-without-images', message: `storage ${wanted.disks} is not enabled for disk images`, hint: `Enable it (pvesm set ${wanted.disks} --content ${[disks.content, 'images'].filter(Boolean).join(',')}) or choose another proxmox.storage.disks.` })
  }
  const iso = observed.storages.find((entry) => entry.storage === wanted.iso)
  if (iso === undefined) {
    return [{
      title: `make storage ${wanted.iso} for seeds and imports in ${wanted.isoPath}`,
      command: `pvesm add dir ${wanted.iso} --path ${wanted.isoPath} --content iso,import`,
      call: { method: 'POST', path: '/storage', form: { storage: wanted.iso, type: 'dir', path: wanted.isoPath, content: 'iso,import' } }
    }]
  }
  const content = (iso.content ?? '').split(',').filter((text) => text !== '')
  if (content.includes('images') || content.includes('rootdir')) {
    problems.push({ code: 'iso-storage-holds-disks', message: `storage ${wanted.iso} may hold disks, and the token may delete everything on it`, hint: 'Choose another name for proxmox.storage.iso (setup makes it), or take images and rootdir from that storage\'s content.' })
    return []
  }
  const missing = ['iso', 'import'].filter((kind) => !content.includes(kind))
  if (missing.length === 0) return []
  const all = [...content, ...missing].join(',')
  return [{ title: `enable ${missing.join(' and ')} on storage ${wanted.iso}`, command: `pvesm set ${wanted.iso} --content ${all}`, call: { method: 'PUT', path: `/storage/${wanted.iso}`, form: { content: all } } }]
}

function userSteps(wanted: SetupWanted, observed: SetupObserved, user: string, tokenName: string): SetupStep[] {
  const steps: SetupStep[] = []
  const path = `/access/users/${encodeURIComponent(user)}/token/${tokenName}`
  if (!observed.users.includes(user)) {
    // Without a password: nobody can log in as this user, it only carries the token.
    steps.push({ title: `make user ${user}`, command: `pveum user add ${user} --comment ${comment}`, call: { method: 'POST', path: '/access/users', form: { userid: user, comment } } })
  }
  const exists = observed.tokens.includes(tokenName)
  if (exists && wanted.replaceToken) {
    steps.push({ title: `remove token ${wanted.tokenId}, whose secret is not here`, command: `pveum user token remove ${user} ${tokenName}`, call: { method: 'DELETE', path, form: {} } })
  }
  if (!exists || wanted.replaceToken) {
    steps.push({ title: `make token ${wanted.tokenId}`, command: `pveum user token add ${user} ${tokenName} --privsep 1 --comment ${comment}`, call: { method: 'POST', path, form: { privsep: 1, comment } }, yieldsSecret: true })
  }
  return steps
}

function aclSteps(wanted: SetupWanted, observed: SetupObserved, user: string): SetupStep[] {
  return privilegeTable(wanted).flatMap(({ role, path, propagate }): SetupStep[] => {
    const has = (ugid: string): boolean => observed.acl.some((entry) => entry.path === path && entry.roleid === role && entry.ugid === ugid)
    // A token with privilege separation has what both it and its user have.
    const tokenStays = has(wanted.tokenId) && !wanted.replaceToken
    if (has(user) && tokenStays) return []
    return [{
      title: `grant ${role} on ${path}`,
      command: `pveum acl modify ${path} --roles ${role} --users ${user} --tokens '${wanted.tokenId}' --propagate ${propagate ? 1 : 0}`,
      call: { method: 'PUT', path: '/access/acl', form: { path, roles: role, users: user, tokens: wanted.tokenId, propagate } }
    }]
  })
}

function depotSteps(wanted: SetupWanted, observed: SetupObserved, problems: SetupProblem[]): SetupStep[] {
  return wanted.depots.flatMap((depot): SetupStep[] => {
    const protect: SetupStep = {
      title: `protect depot ${depot.name} (${depot.vmid})`,
      command: `qm set ${depot.vmid} --protection 1`,
      call: { method: 'PUT', path: `/nodes/${wanted.node}/qemu/${depot.vmid}/config`, form: { protection: 1 } }
    }
    const existing = observed.vms.find((vm) => vm.vmid === depot.vmid)
    if (existing === undefined) {
      const form = { vmid: depot.vmid, name: depot.name, pool: wanted.depotPool, memory: 64, cores: 1, scsihw: 'virtio-scsi-pci', ostype: 'l26', onboot: 0, description: 'Owns a data disk of serena-golden while no VM uses it. Never started. Do not delete.' }
      const flags = Object.entries(form).filter(([key]) => key !== 'vmid').map(([key, value]) => `--${key} ${typeof value === 'string' && value.includes(' ') ? `'${value}'` : value}`).join(' ')
      return [{ title: `make depot ${depot.name} (${depot.vmid})`, command: `qm create ${depot.vmid} ${flags}`, call: { method: 'POST', path: `/nodes/${wanted.node}/qemu`, form }, task: true }, protect]
    }
    if (!isVmHere(wanted, existing) || existing.name !== depot.name || existing.pool !== wanted.depotPool) {
      const what = `${existing.type === 'qemu' ? 'VM' : 'container'} ${existing.name ?? '?'}${existing.node === wanted.node ? '' : ` on node ${existing.node}`}`
      problems.push({ code: 'vmid-taken', message: `VMID ${depot.vmid}, wanted for ${depot.name}, is ${what} of somebody else`, hint: 'Choose another depot VMID in site.ts. That VM was not touched.' })
      return []
    }
    return observed.protectedVms.has(depot.vmid) ? [] : [protect]
  })
}

/** Management access first, then the switch: the other way round locks people out of their host. */
function firewallSteps(wanted: SetupWanted, observed: SetupObserved): SetupStep[] {
  if (!wanted.enableFirewall || observed.firewall.enabled) return []
  const rules = wanted.management.filter((source) => !observed.firewall.rules.some((rule) => rule.type === 'in' && rule.action === 'ACCEPT' && rule.source === source && rule.dport === managementPorts))
  return [
    ...rules.map((source): SetupStep => ({
      title: `keep SSH and the web interface open for ${source}`,
      command: `pvesh create /cluster/firewall/rules --type in --action ACCEPT --enable 1 --proto tcp --dport ${managementPorts} --source ${source}`,
      call: { method: 'POST', path: '/cluster/firewall/rules', form: { type: 'in', action: 'ACCEPT', enable: 1, proto: 'tcp', dport: managementPorts, source, comment } }
    })),
    { title: 'turn the datacenter firewall on', command: 'pvesh set /cluster/firewall/options --enable 1', call: { method: 'PUT', path: '/cluster/firewall/options', form: { enable: 1 } } }
  ]
}

/**
 * Carries a plan out.
 * @param onSecret is given the new token's secret, if one is made, and awaited before the next step: Proxmox tells
 * it this once, and a later step may fail
 * @throws ProxmoxError of the step that failed; what was done before it stays, and the next run goes on there.
 */
export async function applySetup(admin: Proxmox, plan: SetupPlan, onStep: (step: SetupStep) => void, onSecret: (secret: string) => Promise<void>): Promise<void> {
  for (const step of plan.steps) {
    onStep(step)
    const { method, path, form } = step.call
    const answer = method === 'POST' ? await admin.post(path, form) : method === 'PUT' ? await admin.put(path, form) : await admin.del(path, form)
    if (step.task && typeof answer === 'string') await admin.task(answer)
    if (step.yieldsSecret) await onSecret((answer as { value: string }).value)
  }
}
