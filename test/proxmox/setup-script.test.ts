/** The printed script, run by a real shell against stand-ins for a node's commands that keep what they are told. */
import { execFile, execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { SetupWanted } from '../../proxmox/setup.ts'
import { privilegeTable } from '../../proxmox/privileges.ts'
import { setupScript } from '../../proxmox/setup-script.ts'
import { schemaFile, type Schema } from '../../lab/recorded/cut-schema.ts'

const wanted: SetupWanted = {
  node: 'pve',
  pool: 'golden',
  depotPool: 'golden-depots',
  disks: 'local-lvm',
  iso: 'golden-iso',
  isoPath: '/srv/golden iso',
  bridge: 'vmbr0',
  tokenId: 'golden@pve!golden',
  depots: [{ vmid: 9200, name: 'home-serena-depot' }],
  management: ['192.168.1.0/24'],
  enableFirewall: true,
  replaceToken: false,
}
const places = { tokenFile: '/home/me/site/secrets/proxmox-token', caFile: '/home/me/my site/secrets/proxmox-ca.pem' }

interface Node {
  hostname: string
  release: string
  roles: Record<string, string>
  users: string[]
  tokens: Record<string, number>
  pools: string[]
  storages: Record<string, { type?: string; content: string; path?: string }>
  /** Of the cluster, by VMID: where, of which kind, in which pool, and the configuration. */
  vms: Record<string, { node?: string; type?: string; pool?: string; config: Record<string, string> }>
  pooled: { pool: string; storage: string }[]
  sets: Record<string, string[]>
  firewall: number
  rules: Record<string, string | number>[]
  /** Entries of the set `management` that except an address. */
  excepted: string[]
  /** Questions, by path, and commands, by their words, that end with an error as they would on a node in trouble. */
  broken: string[]
  acl: string[]
  /** Every command that changes something, word by word. */
  changes: string[][]
}

/** A stand-in asks this test what it would do: nearly no time a call, where a program of its own would take a start of Node. */
const standIn = (folder: string): string => `#!/bin/sh
for word in "\${0##*/}" "$@"; do printf '%s\\n' "$word"; done > ${folder}/ask
{ read -r code; if [ "$code" = 0 ]; then cat; else cat >&2; fi; } < ${folder}/answer
exit "$code"
`

class Refusal extends Error {}
const fail = (text: string): never => {
  throw new Refusal(text)
}
const sorted = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.map(sorted)
    : value === null || typeof value !== 'object'
      ? value
      : Object.fromEntries(
          Object.keys(value)
            .sort()
            .map((key) => [key, sorted((value as Record<string, unknown>)[key])]),
        )

/** `pvesh get`: JSON without blanks and with sorted keys. */
function ask(host: Node, path: string, flags: Record<string, string>): unknown {
  const vm = (vmid: string): object => {
    const { type = 'qemu', node = 'pve', pool } = host.vms[vmid] as Node['vms'][string]
    return { id: `${type}/${vmid}`, vmid: Number(vmid), type, node, status: 'unknown', pool }
  }
  switch (path) {
    case '/version':
      return { release: host.release, version: `${host.release}.1`, repoid: 'x' }
    case '/storage':
      return Object.entries(host.storages).map(([storage, entry]) => ({ storage, ...entry }))
    case '/cluster/resources':
      return [...Object.keys(host.vms).map(vm), ...(flags.type === 'vm' ? [] : [{ id: 'node/pve', type: 'node', node: 'pve' }])]
    case '/pools': {
      const { poolid } = flags
      if (poolid === undefined) return host.pools.map((id) => ({ poolid: id }))
      return host.pools.includes(poolid) ? [{ poolid, members: host.pooled.filter(({ pool }) => pool === poolid) }] : fail('no such pool')
    }
    case '/access/roles':
      return Object.entries(host.roles).map(([roleid, privs]) => ({ roleid, privs, special: 0 }))
    case '/access/users':
      return host.users.map((userid) => ({ userid, enable: 1 }))
    case '/cluster/firewall/options':
      return { digest: 'x', enable: host.firewall }
    case '/cluster/firewall/rules':
      return host.rules.map((rule, pos) => ({ pos, digest: 'x', ...rule }))
    case '/cluster/firewall/ipset':
      return Object.keys(host.sets).map((name) => ({ name, digest: 'x' }))
  }
  const [, user] = /^\/access\/users\/([^/]+)\/token$/.exec(path) ?? []
  if (user !== undefined && host.users.includes(user))
    return Object.keys(host.tokens)
      .filter((id) => id.startsWith(`${user}!`))
      .map((id) => ({ tokenid: id.split('!')[1], privsep: 1 }))
  const [, set] = /^\/cluster\/firewall\/ipset\/(.+)$/.exec(path) ?? []
  if (set !== undefined && host.sets[set] !== undefined)
    return [...host.sets[set].map((cidr) => ({ cidr, digest: 'x' })), ...host.excepted.map((cidr) => ({ cidr, digest: 'x', nomatch: 1 }))]
  const [, where, vmid = ''] = /^\/nodes\/([^/]+)\/qemu\/(\d+)\/config$/.exec(path) ?? []
  const found = host.vms[vmid]
  return found !== undefined && (found.node ?? 'pve') === where ? { digest: 'x', ...found.config } : fail(`no such object ${path}`)
}

/** What the node's programs do, as strictly as they: what is made twice, or is not there to be changed, is an error. */
function act(host: Node, name: string, args: readonly string[]): string {
  const flags: Record<string, string> = {}
  const words: string[] = []
  for (let at = 0; at < args.length; at++) {
    const word = args[at] as string
    if (word.startsWith('--')) flags[word.slice(2)] = args[++at] as string
    else words.push(word)
  }
  const flag = (key: string): string => flags[key] ?? fail(`${key} is missing`)
  const [a = '', b = '', c = '', d = '', e = ''] = words
  if (name === 'hostname') return host.hostname
  if (host.broken.some((one) => one === `${name} ${words.join(' ')}` || one === b)) fail('cluster not ready - no quorum?')
  if (name === 'pve-firewall') return 'network auto detect: 10.9.9.0/24\nusing detected local_network: 10.9.9.0/24'
  if (name === 'ss')
    return 'tcp LISTEN 0 128 0.0.0.0:22 0.0.0.0:*\ntcp LISTEN 0 64 0.0.0.0:2049 0.0.0.0:*\ntcp LISTEN 0 64 127.0.0.1:85 0.0.0.0:*'
  if (name === 'openssl') return ''
  if (name === 'pvesh' && a === 'get')
    return flags['output-format'] === 'json' ? JSON.stringify(sorted(ask(host, b, flags))) : fail('the answer would be a table')
  const once = (there: unknown): void => {
    if (there) fail('exists already')
  }
  const needs = (there: unknown): void => {
    if (!there) fail('does not exist')
  }
  const token = `${d}!${e}`
  switch ([name, a, b].join(' ')) {
    case 'pveum role add':
      once(host.roles[c])
      if (/VM.Monitor/.test(flag('privs')) !== host.release.startsWith('8.') && c.startsWith('GoldenPool')) fail('invalid privilege')
      host.roles[c] = flag('privs')
      break
    case 'pveum role modify':
      needs(host.roles[c])
      host.roles[c] = flag('privs')
      break
    case 'pveum pool add':
      once(host.pools.includes(c))
      host.pools.push(c)
      break
    case 'pveum user add':
      once(host.users.includes(c))
      host.users.push(c)
      break
    case 'pveum user token':
      needs(host.users.includes(d))
      if (c === 'remove') {
        needs(host.tokens[token])
        delete host.tokens[token]
      } else {
        once(host.tokens[token])
        host.tokens[token] = host.changes.length
      }
      break
    case 'pveum acl modify':
      needs(host.roles[flag('roles')])
      needs(host.tokens[flag('tokens')] !== undefined)
      for (const id of [flag('users'), flag('tokens')]) {
        const line = [c, id, flag('roles'), flag('propagate')].join(' ')
        if (!host.acl.includes(line)) host.acl.push(line)
      }
      break
    case 'pvesm add dir':
      once(host.storages[c])
      host.storages[c] = { content: flag('content'), path: flag('path') }
      break
    case `pvesm set ${b}`:
      needs(host.storages[b])
      ;(host.storages[b] as { content: string }).content = flag('content')
      break
    case `qm create ${b}`:
      once(host.vms[b])
      needs(host.pools.includes(flag('pool')))
      host.vms[b] = { pool: flag('pool'), config: { name: flag('name'), description: flag('description') } }
      break
    case `qm set ${b}`:
      needs(host.vms[b])
      ;(host.vms[b] as Node['vms'][string]).config.protection = flag('protection')
      break
    case 'pvesh create /cluster/firewall/ipset':
      once(host.sets[flag('name')])
      host.sets[flag('name')] = []
      break
    case `pvesh create ${b}`: {
      const set = host.sets[b.split('/')[4] ?? ''] ?? fail('no such set')
      once(set.includes(flag('cidr')))
      set.push(flag('cidr'))
      break
    }
    case 'pvesh set /cluster/firewall/options':
      host.firewall = Number(flag('enable'))
      break
    default:
      fail(`unexpected ${name} ${args.join(' ')}`)
  }
  host.changes.push([name, ...args])
  return ''
}

let folder: string
let host: Node
let served: Promise<void>

/** Answers one stand-in after the other, until it is told to end. */
async function serve(): Promise<void> {
  for (;;) {
    const [name = '', ...args] = (await readFile(join(folder, 'ask'), 'utf8')).split('\n').slice(0, -1)
    if (name === 'end') return
    let answer: string
    try {
      answer = `0\n${act(host, name, args)}\n`
    } catch (error) {
      answer = `2\n${error instanceof Refusal ? error.message : String(error)}\n`
    }
    await writeFile(join(folder, 'answer'), answer)
  }
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'golden-script-'))
  execFileSync('mkfifo', [join(folder, 'ask'), join(folder, 'answer')])
  await writeFile(join(folder, 'program'), standIn(folder))
  await chmod(join(folder, 'program'), 0o755)
  for (const name of ['hostname', 'pveum', 'pvesm', 'pvesh', 'qm', 'pve-firewall', 'ss', 'openssl'])
    await symlink('program', join(folder, name))
  await mkdir(join(folder, 'net', 'vmbr0'), { recursive: true })
  await writeFile(
    join(folder, 'storage.cfg'),
    'dir: local\n\tpath /var/lib/vz\n\tcontent iso,backup\n\ndir: golden-iso\n\tpath /srv/golden iso\n',
  )
  node({})
  served = serve()
})
afterEach(async () => {
  await writeFile(join(folder, 'ask'), 'end\n')
  await served
  await rm(folder, { recursive: true, force: true })
})

function node(change: Partial<Node>): void {
  host = {
    hostname: 'pve',
    release: '9.1',
    roles: {},
    users: ['root@pam'],
    tokens: {},
    pools: [],
    storages: { 'local-lvm': { content: 'rootdir,images' } },
    vms: {},
    pooled: [],
    sets: {},
    firewall: 0,
    rules: [],
    excepted: [],
    broken: [],
    acl: [],
    changes: [],
    ...structuredClone(change),
  }
}
const state = (): Node => structuredClone(host)

/** As `ssh root@pve sh` would: the script on standard input of the shell that Proxmox has as sh. */
function run(script: string, env: Record<string, string> = {}): Promise<{ code: number; output: string }> {
  const here = script.replaceAll('/sys/class/net/', `${folder}/net/`).replaceAll('/etc/pve/', `${folder}/`)
  const { promise, resolve: done } = Promise.withResolvers<{ code: number; output: string }>()
  const child = execFile(
    existsSync('/bin/dash') ? '/bin/dash' : 'sh',
    [],
    { env: { PATH: `${folder}:/usr/bin:/bin`, ...env } },
    (_error, stdout, stderr) => done({ code: child.exitCode ?? -1, output: stdout + stderr }),
  )
  child.stdin?.end(here)
  return promise
}

it('prepares a bare node, changes nothing more the second time, and makes the token anew on request', async () => {
  await writeFile(join(folder, 'pve-root-ca.pem'), 'THE CA\n')
  const script = setupScript(wanted, places)
  const { code, output } = await run(script)
  expect({ code, output }).toMatchObject({ code: 0 })
  expect(output).toContain('THE CA')
  // What it closes is told, what stays open or is on loopback is not.
  expect(output).toMatch(/no longer lets in.*\n {2}tcp 0\.0\.0\.0:2049\nTo undo it: /)
  const first = state()
  expect(first).toMatchObject({
    users: ['root@pam', 'golden@pve'],
    pools: ['golden', 'golden-depots'],
    storages: { 'golden-iso': { content: 'iso,import', path: '/srv/golden iso' } },
    vms: { 9200: { pool: 'golden-depots', config: { name: 'home-serena-depot', protection: '1' } } },
    firewall: 1,
    sets: { management: ['192.168.1.0/24'] },
  })
  expect(Object.keys(first.roles)).toHaveLength(7)
  expect(first.acl).toContainEqual(expect.stringMatching(/^\/pool\/golden golden@pve!golden GoldenPool-[0-9a-f]{8} 1$/))
  expect(await run(script)).toMatchObject({ code: 0 })
  expect({ ...state(), changes: [] }).toEqual({ ...first, changes: [] })
  expect(await run(setupScript({ ...wanted, replaceToken: true }, places))).toMatchObject({ code: 0 })
  expect(state().tokens['golden@pve!golden']).not.toBe(first.tokens['golden@pve!golden'])
}, 60_000)

it("gives the same roles as the API way, also on Proxmox VE 8.4, where the agent's privileges have another name", async () => {
  node({ release: '8.4' })
  expect(await run(setupScript({ ...wanted, enableFirewall: false }, places))).toMatchObject({ code: 0 })
  const { roles } = state()
  expect(roles).toEqual(
    Object.fromEntries(privilegeTable(wanted, { major: 8, minor: 4 }).map(({ role, privileges }) => [role, privileges.join(',')])),
  )
}, 60_000)

it('stopped anywhere, by whatever does not answer, it says so, and the next run ends where a whole run ends', async () => {
  const script = setupScript(wanted, places)
  await run(script)
  const { changes, ...whole } = state()
  node({})
  // Every question and every kind of change fails once, from the last to the first.
  const troubles = [
    'pvesh set /cluster/firewall/options',
    '/cluster/firewall/ipset/management',
    'pvesh create /cluster/firewall/ipset/management',
    '/cluster/firewall/ipset',
    'qm set 9200',
    'qm create 9200',
    'pveum acl modify /pool/golden-depots',
    '/access/users/golden@pve/token',
    'pveum user add golden@pve',
    '/access/users',
    'pvesm add dir golden-iso',
    'pveum pool add golden-depots',
    '/pools',
    '/access/roles',
    '/storage',
    '/version',
  ]
  for (const trouble of troubles.reverse()) {
    host.broken = [trouble]
    const { code, output } = await run(script)
    expect(code, `${trouble}: ${output}`).not.toBe(0)
    expect(output, trouble).toContain('stopped before the end')
    // What could not be asked is not taken for missing: then it would be made, and be there already.
    expect(output, trouble).not.toContain('exists already')
  }
  host.broken = []
  expect(await run(script)).toMatchObject({ code: 0 })
  const { changes: _, ...after } = state()
  expect(changes.length).toBeGreaterThan(20)
  expect({ ...after, tokens: Object.keys(after.tokens) }).toEqual({ ...whole, tokens: Object.keys(whole.tokens) })
}, 120_000)

it.each<[string, string, number]>([
  ['an admin network', '192.168.1.7 50000 192.168.1.5 22', 0],
  ["the node's own network, which Proxmox lets in", '10.9.9.3 50000 10.9.9.1 22', 0],
  ['elsewhere', '192.168.2.7 50000 192.168.1.5 22', 1],
  ['an IPv6 address', 'fd00::7 50000 fd00::5 22', 1],
])(
  'turns the firewall on for somebody who comes from %s, or does nothing',
  async (_what, connection, code) => {
    const ended = await run(setupScript(wanted, places), { SSH_CONNECTION: connection })
    expect(ended).toMatchObject({ code })
    expect(state().firewall).toBe(1 - code)
    if (code !== 0)
      expect({ output: ended.output, changes: state().changes }).toEqual({ output: expect.stringContaining('lock you out'), changes: [] })
  },
  60_000,
)

const drop = { type: 'in', action: 'DROP', enable: 1, comment: 'from "type":"out" days' }
it.each<[string, Parameters<typeof node>[0], string]>([
  ['a rule of the datacenter that refuses', { rules: [{ type: 'in', action: 'ACCEPT', enable: 1 }, drop] }, '"action":"DROP"'],
  ['a group of rules, which may', { rules: [{ type: 'group', action: 'webservers', enable: 1 }] }, 'webservers'],
  ['an exception of the set that is let in', { sets: { management: [] }, excepted: ['192.168.1.7'] }, '192.168.1.7'],
])(
  'does not turn the firewall on over %s, unless it was read',
  async (_what, there, shown) => {
    node(there)
    const ended = await run(setupScript(wanted, places))
    expect({ code: ended.code, changes: state().changes }, ended.output).toEqual({ code: 1, changes: [] })
    expect(ended.output).toContain(shown)
    expect(ended.output).toContain('RULES_READ=yes')
    expect(await run(setupScript(wanted, places), { RULES_READ: 'yes' })).toMatchObject({ code: 0 })
    expect(state().firewall).toBe(1)
  },
  60_000,
)

it('rules that let in, are off, or are for what goes out, are no reason to ask', async () => {
  node({
    rules: [
      { ...drop, enable: 0 },
      { type: 'in', action: 'ACCEPT', enable: 1, comment: 'x' },
      { type: 'out', action: 'DROP', enable: 1 },
    ],
  })
  expect(await run(setupScript(wanted, places))).toMatchObject({ code: 0 })
}, 30_000)

it('asks nobody where they come from when the firewall is on already', async () => {
  node({ firewall: 1 })
  const { code, output } = await run(setupScript(wanted, places), { SSH_CONNECTION: '192.168.2.7 50000 192.168.1.5 22' })
  expect({ code, sets: state().sets }, output).toEqual({ code: 0, sets: {} })
  expect(output).not.toContain('goes on')
}, 30_000)

const depot = { pool: 'golden-depots', config: { name: 'home-serena-depot' } }
it.each<[string, Parameters<typeof node>[0], string]>([
  ['another node', { hostname: 'pve2' }, 'this is not node pve'],
  ['Proxmox VE 8.3', { release: '8.3' }, 'Proxmox VE 8.3, and 8.4 is the oldest'],
  ['Proxmox VE 7.4', { release: '7.4' }, 'Proxmox VE 7.4, and 8.4 is the oldest'],
  [
    'thick LVM as disk storage',
    { storages: { 'local-lvm': { type: 'lvm', content: 'images' } } },
    "images can't be made, cloned or handed over",
  ],
  ['a node without the disk storage', { storages: {} }, 'no storage local-lvm'],
  [
    'an ISO storage that holds backups',
    { storages: { 'local-lvm': { content: 'images' }, 'golden-iso': { content: 'backup,iso' } } },
    'may delete everything',
  ],
  ['a VM of somebody else', { vms: { 9200: { config: { name: 'mail' } } } }, "VM 9200 is somebody else's"],
  ['a VM of that name in no pool', { vms: { 9200: { config: depot.config } }, pools: ['golden-depots'] }, "VM 9200 is somebody else's"],
  ['a container of that VMID', { vms: { 9200: { ...depot, type: 'lxc' } }, pools: ['golden-depots'] }, 'VMID 9200 is a container'],
  [
    'a VMID taken on another node',
    { vms: { 9200: { ...depot, node: 'pve2' } }, pools: ['golden-depots'] },
    'VMID 9200 is a container or on another node',
  ],
  [
    "a pool with somebody else's VM",
    { vms: { 500: { pool: 'golden', config: { name: 'payroll' } } }, pools: ['golden'] },
    'pool golden has VM 500',
  ],
  [
    "a pool with somebody else's VM in one below, on another node",
    { vms: { 500: { pool: 'golden/theirs', node: 'pve2', config: { name: 'payroll' } } }, pools: ['golden', 'golden/theirs'] },
    'pool golden has VM 500',
  ],
  [
    'a pool with a container',
    { vms: { 500: { pool: 'golden-depots', type: 'lxc', config: {} } }, pools: ['golden-depots'] },
    'pool golden-depots has container 500',
  ],
  ['a pool with a storage', { pools: ['golden'], pooled: [{ pool: 'golden', storage: 'backup' }] }, 'pool golden has a storage'],
])(
  'does nothing on %s',
  async (_what, change, message) => {
    node(change)
    const { code, output } = await run(setupScript(wanted, places))
    expect({ code, changes: state().changes }, output).toEqual({ code: 1, changes: [] })
    expect(output).toContain(`error: `)
    expect(output).toContain(message)
  },
  30_000,
)

it('goes on where sites of ours share the pools', async () => {
  const record = `Golden image\n\n\`\`\`json\n{\n "schema": 1,\n "kind": "image",\n "fingerprint": "${'a'.repeat(64)}"\n}\n\`\`\``
  node({
    pools: ['golden', 'golden-depots'],
    vms: {
      9001: { pool: 'golden', config: { name: 'golden-other-aaaaaaaaaaaa', description: record } },
      9002: { pool: 'golden', config: { name: 'golden-build-other-0123456789ab', description: 'Packer ephemeral build VM' } },
      9311: {
        pool: 'golden',
        node: 'pve2',
        config: { name: 'other-serena-blue', description: 'Slot blue of group serena of other (serena-golden): image …' },
      },
      9300: {
        pool: 'golden-depots',
        config: { name: 'other-serena-depot', description: 'Owns a data disk of serena-golden while no VM uses it.' },
      },
    },
  })
  expect(await run(setupScript(wanted, places))).toMatchObject({ code: 0 })
}, 30_000)

it.each(['/var/lib/vz', '/var/lib/vz/golden', '/var/lib', '/'])(
  'does nothing when the folder is to be %s, beside what another storage has',
  async (isoPath) => {
    const { code, output } = await run(setupScript({ ...wanted, isoPath }, places))
    expect({ code, changes: state().changes }).toEqual({ code: 1, changes: [] })
    expect(output).toContain('another storage has')
  },
  30_000,
)

it('grants a vnet below its own zone', async () => {
  await mkdir(join(folder, 'sdn'))
  await writeFile(
    join(folder, 'sdn', 'vnets.cfg'),
    'vnet: other\n\tzone far\n\nvnet: home\n\tzone simple\n\ttag 7\n\nvnet: last\n\tzone far\n',
  )
  await mkdir(join(folder, 'net', 'home'))
  const { code, output } = await run(setupScript({ ...wanted, bridge: 'home' }, places))
  expect(code, output).toBe(0)
  expect(
    state()
      .acl.filter((line) => line.startsWith('/sdn/'))
      .map((line) => line.split(' ')[0]),
  ).toEqual(['/sdn/zones/simple/home', '/sdn/zones/simple/home'])
}, 30_000)

it('says where the secret and the CA go', () => {
  const script = setupScript(wanted, places)
  expect(script).toContain(places.tokenFile)
  expect(script).toContain(`scp root@pve:/etc/pve/pve-root-ca.pem '${places.caFile}'`)
  expect(script).toContain('--new-token')
})

it('uses only parameters that Proxmox VE has', async () => {
  await run(setupScript({ ...wanted, replaceToken: true }, places))
  const methods = JSON.parse(readFileSync(schemaFile, 'utf8')) as Schema
  const of = (words: readonly string[]): string => {
    const [name, a, b, c] = words
    switch ([name, a, b].join(' ')) {
      case 'pveum role add':
        return 'POST /access/roles'
      case 'pveum role modify':
        return 'PUT /access/roles/{roleid}'
      case 'pveum pool add':
        return 'POST /pools'
      case 'pveum user add':
        return 'POST /access/users'
      case 'pveum user token':
        return c === 'add' ? 'POST /access/users/{userid}/token/{tokenid}' : 'DELETE /access/users/{userid}/token/{tokenid}'
      case 'pveum acl modify':
        return 'PUT /access/acl'
      case 'pvesm add dir':
        return 'POST /storage'
    }
    if (name === 'pvesm') return 'PUT /storage/{storage}'
    if (name === 'qm') return a === 'create' ? 'POST /nodes/{node}/qemu' : 'PUT /nodes/{node}/qemu/{vmid}/config'
    return `${a === 'create' ? 'POST' : 'PUT'} ${(b ?? '').replace(/ipset\/.*/, 'ipset/{name}')}`
  }
  const { changes } = state()
  expect(changes.length).toBeGreaterThan(20)
  for (const words of changes) {
    const known = Object.keys(methods[of(words)]?.parameters?.properties ?? {})
    expect(
      words
        .filter((word) => word.startsWith('--'))
        .map((word) => word.slice(2))
        .filter((flag) => !known.includes(flag)),
      words.join(' '),
    ).toEqual([])
  }
}, 30_000)
