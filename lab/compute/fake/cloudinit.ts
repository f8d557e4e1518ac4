/**
 * cloud-init in a fake guest: the NoCloud data source on a CD labelled `cidata`, and the parts of cloud-config that
 * seeds use. A key that is not modelled makes the result "degraded done", so that nobody takes it for done.
 */
import { parse, stringify } from 'yaml'
import { addGroup, addToGroup, addUser, findAccount } from './accounts.ts'
import type { Guest } from './guest.ts'
import { loginContext, runShell } from './shell.ts'
import { ROOT } from './vfs.ts'

type Config = Record<string, unknown>

export interface CloudInitResult {
  readonly status: 'running' | 'done' | 'error' | 'disabled'
  readonly errors: readonly string[]
  /** Problems after which cloud-init goes on: status is "degraded done" then. */
  readonly warnings: readonly string[]
}

export interface Seed {
  readonly userData: string
  readonly metaData: Config
  readonly networkConfig: Config | undefined
}

const KNOWN = new Set(
  `
    hostname fqdn prefer_fqdn_over_hostname preserve_hostname manage_etc_hosts users user password ssh_authorized_keys chpasswd
    ssh_pwauth disable_root ssh_deletekeys ssh_genkeytypes ssh_keys ssh_quiet_keygen ssh no_ssh_fingerprints write_files packages
    package_update package_upgrade package_reboot_if_required apt runcmd bootcmd groups timezone locale ntp growpart
    resize_rootfs final_message power_state swap resolv_conf manage_resolv_conf ca_certs allow_public_ssh_keys output network
    random_seed mounts merge_how system_info datasource datasource_list cloud_init_modules cloud_config_modules
    cloud_final_modules syslog_fix_perms mount_default_fields disable_ec2_metadata keyboard
  `
    .trim()
    .split(/\s+/),
)

/** The seed on an attached CD, undefined without one. Throws plain errors for seeds that cloud-init can't read. */
export function findSeed(guest: Guest): Seed | undefined {
  const device = guest.devices
    .all()
    .find(
      ({ disk, content }) => disk.media === 'cdrom' && content.kind === 'filesystem' && content.filesystem.label.toLowerCase() === 'cidata',
    )
  if (device?.content.kind !== 'filesystem') return undefined
  const file = (name: string): string | undefined => {
    const node = device.content.kind === 'filesystem' ? device.content.filesystem.root.entries.get(name) : undefined
    return node?.kind === 'file' ? node.data.toString('utf8') : undefined
  }
  const metaData = file('meta-data')
  const userData = file('user-data')
  if (metaData === undefined || userData === undefined) throw new Error('the seed lacks meta-data or user-data')
  const network = file('network-config')
  return {
    userData,
    metaData: (parse(metaData) ?? {}) as Config,
    networkConfig: network === undefined ? undefined : unwrap((parse(network) ?? {}) as Config),
  }
}

function unwrap(config: Config): Config {
  return typeof config.network === 'object' && config.network !== null ? (config.network as Config) : config
}

/** Version 1 network configuration, which PVE writes, in the terms of version 2. */
export function toVersion2(config: Config): Config {
  if (config.version !== 1) return config
  const ethernets: Record<string, Config> = {}
  const nameservers: string[] = []
  for (const entry of list<Config>(config.config)) {
    if (entry.type === 'nameserver') nameservers.push(...list<string>(entry.address))
    if (entry.type !== 'physical') continue
    const name = String(entry.name)
    const subnets = list<Config>(entry.subnets)
    const fixed = subnets.filter((subnet) => String(subnet.type).startsWith('static'))
    const gateway = fixed.map((subnet) => subnet.gateway).find((each) => each !== undefined)
    ethernets[name] = {
      match: { macaddress: String(entry.mac_address) },
      'set-name': name,
      addresses: fixed.map((subnet) =>
        String(subnet.address).includes('/') ? subnet.address : `${String(subnet.address)}/${prefixOf(String(subnet.netmask))}`,
      ),
      ...(gateway !== undefined && { gateway4: gateway }),
      ...(subnets.some((subnet) => String(subnet.type).startsWith('dhcp')) && { dhcp4: true }),
    }
  }
  for (const each of Object.values(ethernets)) if (nameservers.length > 0) each.nameservers = { addresses: nameservers }
  return { version: 2, ethernets }
}

function prefixOf(netmask: string): number {
  return netmask.split('.').reduce((sum, part) => sum + Number(part).toString(2).replaceAll('0', '').length, 0)
}

function list<T>(value: unknown): T[] {
  return Array.isArray(value) ? (value as T[]) : value === undefined || value === null ? [] : [value as T]
}

/** Before the network is up: instance, host name, network configuration. Returns the configuration if this is a new instance. */
export function localStage(guest: Guest): { config: Config; fresh: boolean; warnings: string[] } | undefined {
  const { vfs } = guest
  const seed = findSeed(guest)
  if (!seed) return undefined
  const instance = String(seed.metaData['instance-id'] ?? 'nocloud')
  const known = vfs.exists('/var/lib/cloud/data/instance-id') ? vfs.readText('/var/lib/cloud/data/instance-id').trim() : ''
  const fresh = instance !== known
  const warnings: string[] = []
  let config: Config = {}
  if (/^#cloud-config/.test(seed.userData)) config = (parse(seed.userData) ?? {}) as Config
  else if (/^#!/.test(seed.userData)) config = { runcmd: [seed.userData] }
  else if (seed.userData.trim() !== '') warnings.push('user-data is neither #cloud-config nor a script')
  for (const key of Object.keys(config))
    if (!KNOWN.has(key)) warnings.push(`Additional properties are not allowed ('${key}' was unexpected)`)
  if ('user' in config && typeof config.user === 'string' && 'users' in config === false)
    warnings.push("'user' of type string is deprecated")
  if (fresh) {
    const folder = `/var/lib/cloud/instances/${instance}`
    for (const path of [`${folder}/sem`, '/var/lib/cloud/data', '/var/lib/cloud/sem', '/var/lib/cloud/seed'])
      vfs.mkdir(path, ROOT, { parents: true })
    vfs.remove('/var/lib/cloud/instance', ROOT, { force: true })
    vfs.symlink(folder, '/var/lib/cloud/instance')
    vfs.write('/var/lib/cloud/data/instance-id', `${instance}\n`)
    vfs.write(`${folder}/user-data.txt`, seed.userData, ROOT, { mode: 0o600 })
    const hostname = config.hostname ?? config.fqdn ?? seed.metaData['local-hostname'] ?? seed.metaData.hostname
    if (hostname !== undefined) vfs.write('/etc/hostname', `${String(hostname).split('.')[0]}\n`)
    if (seed.networkConfig && Object.keys(seed.networkConfig).length > 0) {
      if (!vfs.exists('/etc/netplan')) vfs.mkdir('/etc/netplan', ROOT, { parents: true })
      vfs.write('/etc/netplan/50-cloud-init.yaml', stringify({ network: toVersion2(seed.networkConfig) }), ROOT, { mode: 0o600 })
    }
  }
  vfs.write('/var/log/cloud-init.log', `cloud-init: instance ${instance}, ${fresh ? 'new' : 'known'}\n`, ROOT, { append: true })
  return { config, fresh, warnings }
}

interface UserEntry {
  name?: string
  groups?: string | string[]
  sudo?: string | string[] | false
  shell?: string
  homedir?: string
  uid?: number | string
  primary_group?: string
  system?: boolean
  no_create_home?: boolean
  ssh_authorized_keys?: string[]
  lock_passwd?: boolean
  passwd?: string
  hashed_passwd?: string
  plain_text_passwd?: string
}

function makeUser(guest: Guest, user: UserEntry & { name: string }): void {
  const { vfs } = guest
  const groups = list<string>(user.groups).flatMap((each) =>
    each
      .split(',')
      .map((part) => part.trim())
      .filter(Boolean),
  )
  const account = addUser(vfs, {
    name: user.name,
    groups,
    createHome: !user.no_create_home && !user.system,
    shell: user.shell ?? '/bin/bash',
    ...(user.homedir !== undefined && { home: user.homedir }),
    ...(user.uid !== undefined && { uid: Number(user.uid) }),
    ...(user.primary_group !== undefined && { group: user.primary_group }),
    ...(user.system && { system: true }),
  })
  const rules = user.sudo ? list<string>(user.sudo) : []
  if (rules.length > 0)
    vfs.write('/etc/sudoers.d/90-cloud-init-users', rules.map((rule) => `${user.name} ${rule}\n`).join(''), ROOT, {
      append: true,
      mode: 0o440,
      umask: 0,
    })
  authorize(guest, account.name, user.ssh_authorized_keys ?? [])
}

function authorize(guest: Guest, name: string, keys: readonly string[], prefix = ''): void {
  const account = findAccount(guest.vfs, name)
  if (!account || keys.length === 0) return
  const folder = `${account.home}/.ssh`
  if (!guest.vfs.exists(folder)) guest.vfs.mkdir(folder, ROOT, { parents: true, mode: 0o700 })
  guest.vfs.write(`${folder}/authorized_keys`, keys.map((key) => `${prefix}${key.trim()}\n`).join(''), ROOT, { append: true, mode: 0o600 })
  guest.vfs.chown(folder, account.uid, account.gid)
  guest.vfs.chown(`${folder}/authorized_keys`, account.uid, account.gid)
}

/** With the network up, before log-ins: users, keys, files. */
export async function networkStage(guest: Guest, config: Config): Promise<string[]> {
  const { vfs } = guest
  const problems: string[] = []
  for (const command of list<string | string[]>(config.bootcmd)) await runCommand(guest, command, problems)
  for (const group of list<string | Record<string, string[]>>(config.groups)) {
    if (typeof group === 'string') addGroup(vfs, group)
    else
      for (const [name, members] of Object.entries(group)) {
        addGroup(vfs, name)
        for (const member of list<string>(members)) addToGroup(vfs, member, name)
      }
  }
  const users = 'users' in config ? list<string | UserEntry>(config.users) : ['default']
  const keys = list<string>(config.ssh_authorized_keys)
  const given =
    typeof config.user === 'string'
      ? config.user
      : typeof config.user === 'object' && config.user !== null
        ? String((config.user as UserEntry).name ?? 'debian')
        : 'debian'
  const first = users.find((user): user is UserEntry => typeof user === 'object')
  const primary = users.includes('default') ? given : first?.name
  for (const user of users) {
    if (user === 'default') makeUser(guest, { name: given, groups: ['adm', 'sudo'], sudo: 'ALL=(ALL) NOPASSWD:ALL', shell: '/bin/bash' })
    else if (typeof user === 'object' && user.name) makeUser(guest, { ...user, name: user.name })
  }
  if (primary !== undefined) authorize(guest, primary, keys)
  const root =
    config.disable_root === false
      ? ''
      : `no-port-forwarding,no-agent-forwarding,no-X11-forwarding,command="echo 'Please login as the user \\"${primary ?? 'NONE'}\\" rather than the user \\"root\\".';echo;sleep 10;exit 142" `
  authorize(guest, 'root', keys, root)
  for (const file of list<Config>(config.write_files)) writeFile(guest, file)
  if (config.ssh_deletekeys !== false)
    for (const name of [...vfs.readdir('/etc/ssh', ROOT).entries.keys()])
      if (/^ssh_host_.*key(\.pub)?$/.test(name)) vfs.remove(`/etc/ssh/${name}`)
  for (const [name, value] of Object.entries((config.ssh_keys ?? {}) as Record<string, string>)) {
    const [, type, kind] = /^(\w+)_(private|public)$/.exec(name) ?? []
    if (type)
      vfs.write(`/etc/ssh/ssh_host_${type}_key${kind === 'public' ? '.pub' : ''}`, value.endsWith('\n') ? value : `${value}\n`, ROOT, {
        mode: kind === 'public' ? 0o644 : 0o600,
      })
  }
  const { manage_etc_hosts: hosts } = config
  if (hosts === true || hosts === 'localhost')
    vfs.write('/etc/hosts', `127.0.1.1 ${String(config.fqdn ?? guest.hostname)} ${guest.hostname}\n127.0.0.1 localhost\n`)
  return problems
}

function writeFile(guest: Guest, file: Config): void {
  const encoding = String(file.encoding ?? '')
  const content = String(file.content ?? '')
  const path = String(file.path)
  const data = /b64|base64/.test(encoding) ? Buffer.from(content, 'base64') : Buffer.from(content)
  const parent = path.slice(0, path.lastIndexOf('/')) || '/'
  guest.vfs.mkdir(parent, ROOT, { parents: true })
  guest.vfs.write(path, data, ROOT, { append: file.append === true })
  guest.vfs.chmod(path, Number.parseInt(String(file.permissions ?? '0644'), 8))
  const [owner = 'root', group = owner] = String(file.owner ?? 'root:root').split(':')
  const account = findAccount(guest.vfs, owner)
  if (account) guest.vfs.chown(path, account.uid, findAccount(guest.vfs, group)?.gid ?? account.gid)
}

async function runCommand(guest: Guest, command: string | string[], problems: string[]): Promise<void> {
  const context = { ...loginContext(guest, 'root'), cwd: '/' }
  const script = Array.isArray(command) ? command.map((word) => `'${String(word).replaceAll("'", `'\\''`)}'`).join(' ') : String(command)
  const result = await runShell(script, context)
  guest.vfs.write('/var/log/cloud-init-output.log', result.stdout + result.stderr, ROOT, { append: true })
  if (result.exitCode !== 0) problems.push(`command failed with ${result.exitCode}: ${script.split('\n')[0]}`)
}

/** The last stage, beside log-ins: packages and commands. Returns what failed. */
export async function finalStage(guest: Guest, config: Config): Promise<string[]> {
  const problems: string[] = []
  const packages = list<string>(config.packages)
  if (packages.length > 0 || config.package_update === true || config.package_upgrade === true) {
    const update: string[] = []
    await runCommand(guest, ['apt-get', 'update'], update)
    if (update.length > 0) problems.push('Failed to update package database')
  }
  if (packages.length > 0) {
    const install: string[] = []
    await runCommand(guest, ['apt-get', 'install', '-y', ...packages], install)
    if (install.length > 0) problems.push(`Failed to install packages: ${packages.join(' ')}`)
  }
  const commands = list<string | string[]>(config.runcmd)
  const failed: string[] = []
  for (const command of commands) await runCommand(guest, command, failed)
  return problems
}
