/** The printed script, run by a real shell against stand-ins for a node's commands that keep what they are told. */
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { SetupWanted } from '../../proxmox/setup.ts'
import { setupScript } from '../../proxmox/setup-script.ts'

const wanted: SetupWanted = {
  node: 'pve', pool: 'golden', depotPool: 'golden-depots', disks: 'local-lvm', iso: 'golden-iso', isoPath: '/srv/golden iso', bridge: 'vmbr0',
  tokenId: 'golden@pve!golden', depots: [{ vmid: 9200, name: 'home-serena-depot' }], management: ['192.168.1.0/24'], enableFirewall: true, replaceToken: false
}
const places = { tokenFile: '/home/me/site/secrets/proxmox-token', caFile: '/home/me/my site/secrets/proxmox-ca.pem' }

interface Node {
  roles: Record<string, string>
  users: string[]
  tokens: Record<string, number>
  pools: Record<string, number[]>
  storages: Record<string, { content: string; path?: string }>
  vms: Record<string, Record<string, string>>
  rules: number
  firewall: number
  acl: string[]
  /** Every command that changes something, word by word. */
  changes: string[][]
}

/** What the node's programs do, as far as the script needs them; plain JavaScript, a process a call. */
const program = `#!${process.execPath}
const { readFileSync, writeFileSync } = require('node:fs')
const { basename, join } = require('node:path')
const file = join(__dirname, 'node.json')
const node = JSON.parse(readFileSync(file))
const name = basename(process.argv[1])
const args = process.argv.slice(2)
const flags = {}
const words = []
for (let at = 0; at < args.length; at++) if (args[at].startsWith('--')) flags[args[at].slice(2)] = args[++at]; else words.push(args[at])
const fail = (text) => { console.error(text); process.exit(2) }
const answer = (value) => { if (value === undefined) fail('no such object'); console.log(JSON.stringify(value)); process.exit(0) }
const [a, b, c, d] = words
if (name === 'hostname') { console.log(node.hostname); process.exit(0) }
if (name === 'pvesh' && a === 'get') {
  const [, kind, id, , token] = b.split('/')
  if (b === '/cluster/firewall/options') answer({ digest: 'x', enable: node.firewall })
  if (kind === 'pools') answer(node.pools[id] && { members: node.pools[id].map((vmid) => ({ id: 'qemu/' + vmid, vmid, node: 'pve' })) })
  if (kind === 'storage') answer(node.storages[id] && { storage: id, ...node.storages[id] })
  if (kind === 'access') { const [, , , user, , name] = b.split('/'); answer(name === undefined ? (node.users.includes(user) ? {} : undefined) : node.tokens[user + '!' + name] && {}) }
  fail('unexpected ' + b)
}
if (name === 'qm' && a === 'config') { if (!node.vms[b]) fail('no such VM'); for (const [key, value] of Object.entries(node.vms[b])) console.log(key + ': ' + value); process.exit(0) }
const once = (there) => { if (there) fail('exists already') }
const needs = (there) => { if (!there) fail('does not exist') }
switch ([name, a, b].join(' ')) {
  case 'pveum role add': once(node.roles[c]); node.roles[c] = flags.privs; break
  case 'pveum role modify': needs(node.roles[c]); node.roles[c] = flags.privs; break
  case 'pveum pool add': once(node.pools[c]); node.pools[c] = []; break
  case 'pveum user add': once(node.users.includes(c)); node.users.push(c); break
  case 'pveum user token':
    if (c === 'remove') { needs(node.tokens[d + '!' + words[4]]); delete node.tokens[d + '!' + words[4]] }
    else { once(node.tokens[d + '!' + words[4]]); node.tokens[d + '!' + words[4]] = Date.now() }
    break
  case 'pveum acl modify': for (const id of [flags.users, flags.tokens]) { const line = [c, id, flags.roles, flags.propagate].join(' '); if (!node.acl.includes(line)) node.acl.push(line) } break
  case 'pvesm add dir': once(node.storages[c]); node.storages[c] = { content: flags.content, path: flags.path }; break
  case 'pvesm set ' + b: needs(node.storages[b]); node.storages[b].content = flags.content; break
  case 'qm create ' + b: once(node.vms[b]); node.vms[b] = { name: flags.name }; node.pools[flags.pool].push(Number(b)); break
  case 'qm set ' + b: needs(node.vms[b]); node.vms[b].protection = flags.protection; break
  case 'pvesh create /cluster/firewall/rules': node.rules += 1; break
  case 'pvesh set /cluster/firewall/options': node.firewall = Number(flags.enable); break
  default: fail('unexpected ' + name + ' ' + args.join(' '))
}
node.changes.push([name, ...args])
writeFileSync(file, JSON.stringify(node))
`

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'golden-script-'))
  await writeFile(join(folder, 'program'), program)
  await chmod(join(folder, 'program'), 0o755)
  for (const name of ['hostname', 'pveum', 'pvesm', 'pvesh', 'qm']) await symlink('program', join(folder, name))
  await mkdir(join(folder, 'net', 'vmbr0'), { recursive: true })
  await writeFile(join(folder, 'storage.cfg'), 'dir: local\n\tpath /var/lib/vz\n\tcontent iso,backup\n\ndir: golden-iso\n\tpath /srv/golden iso\n')
  await node({})
})
afterEach(() => rm(folder, { recursive: true, force: true }))

async function node(change: Partial<Node> & { hostname?: string }): Promise<void> {
  const bare: Node = { roles: {}, users: [], tokens: {}, pools: {}, storages: { 'local-lvm': { content: 'rootdir,images' } }, vms: {}, rules: 0, firewall: 0, acl: [], changes: [] }
  await writeFile(join(folder, 'node.json'), JSON.stringify({ hostname: 'pve', ...bare, ...change }))
}
const state = async (): Promise<Node> => JSON.parse(await readFile(join(folder, 'node.json'), 'utf8')) as Node

/** As `ssh root@pve sh` would: the script on standard input. */
function run(script: string): Promise<{ code: number; output: string }> {
  const here = script.replaceAll('/sys/class/net/', `${folder}/net/`).replaceAll('/etc/pve/storage.cfg', `${folder}/storage.cfg`).replaceAll('/etc/pve/.vmlist', `${folder}/vmlist`)
  const { promise, resolve: done } = Promise.withResolvers<{ code: number; output: string }>()
  const child = execFile('sh', [], { env: { PATH: `${folder}:/usr/bin:/bin` } }, (_error, stdout, stderr) => done({ code: child.exitCode ?? -1, output: stdout + stderr }))
  child.stdin?.end(here)
  return promise
}

test('prepares a bare node, changes nothing more the second time, and makes the token anew on request', async () => {
  const script = setupScript(wanted, places)
  expect(await run(script)).toMatchObject({ code: 0 })
  const first = await state()
  expect(first).toMatchObject({
    users: ['golden@pve'], pools: { golden: [], 'golden-depots': [9200] }, storages: { 'golden-iso': { content: 'iso,import', path: '/srv/golden iso' } },
    vms: { 9200: { name: 'home-serena-depot', protection: '1' } }, firewall: 1, rules: 1
  })
  expect(Object.keys(first.roles)).toHaveLength(7)
  expect(first.acl).toContain('/pool/golden golden@pve!golden GoldenPool 1')
  expect(await run(script)).toMatchObject({ code: 0 })
  expect({ ...await state(), changes: [] }).toEqual({ ...first, changes: [] })
  expect(await run(setupScript({ ...wanted, replaceToken: true }, places))).toMatchObject({ code: 0 })
  expect((await state()).tokens['golden@pve!golden']).not.toBe(first.tokens['golden@pve!golden'])
}, 60_000)

test.each<[string, Parameters<typeof node>[0], string]>([
  ['another node', { hostname: 'pve2' }, 'this is not node pve'],
  ['a node without the disk storage', { storages: {} }, 'no storage local-lvm'],
  ['an ISO storage that holds backups', { storages: { 'local-lvm': { content: 'images' }, 'golden-iso': { content: 'backup,iso' } } }, 'may delete everything'],
  ['a VM of somebody else', { vms: { 9200: { name: 'mail' } } }, "VM 9200 is somebody else's"],
  ['a VM of that name in no pool', { vms: { 9200: { name: 'home-serena-depot' } }, pools: { 'golden-depots': [] } }, "VM 9200 is somebody else's"]
])('does nothing on %s', async (_what, change, message) => {
  await node(change)
  const { code, output } = await run(setupScript(wanted, places))
  expect({ code, changes: (await state()).changes }).toEqual({ code: 1, changes: [] })
  expect(output).toContain(`error: `)
  expect(output).toContain(message)
}, 30_000)

test.each(['/var/lib/vz', '/var/lib/vz/golden', '/var/lib', '/'])('does nothing when the folder is to be %s, beside what another storage has', async (isoPath) => {
  const { code, output } = await run(setupScript({ ...wanted, isoPath }, places))
  expect({ code, changes: (await state()).changes }).toEqual({ code: 1, changes: [] })
  expect(output).toContain('another storage has')
}, 30_000)

test('does nothing when a VMID is somebody else\'s on another node', async () => {
  await writeFile(join(folder, 'vmlist'), '{"version": 3,\n"ids": {\n"9200": { "node": "pve2", "type": "lxc", "version": 1 }\n}}\n')
  const { code, output } = await run(setupScript(wanted, places))
  expect({ code, changes: (await state()).changes }).toEqual({ code: 1, changes: [] })
  expect(output).toContain('VMID 9200')
}, 30_000)

test('says where the secret and the CA go', () => {
  const script = setupScript(wanted, places)
  expect(script).toContain(places.tokenFile)
  expect(script).toContain(`scp root@pve:/etc/pve/pve-root-ca.pem '${places.caFile}'`)
  expect(script).toContain('--new-token')
})

const schema = resolve(import.meta.dirname, '../../../shared/data/pve-api-9.1.json')
test.skipIf(!existsSync(schema))('uses only parameters that Proxmox VE has (needs ../shared/data)', async () => {
  await run(setupScript({ ...wanted, replaceToken: true }, places))
  const methods = JSON.parse(readFileSync(schema, 'utf8')) as Record<string, { parameters: { properties?: Record<string, unknown> } }>
  const of = (words: readonly string[]): string => {
    const [name, a, b, c] = words
    switch ([name, a, b].join(' ')) {
      case 'pveum role add': return 'POST /access/roles'
      case 'pveum role modify': return 'PUT /access/roles/{roleid}'
      case 'pveum pool add': return 'POST /pools'
      case 'pveum user add': return 'POST /access/users'
      case 'pveum user token': return c === 'add' ? 'POST /access/users/{userid}/token/{tokenid}' : 'DELETE /access/users/{userid}/token/{tokenid}'
      case 'pveum acl modify': return 'PUT /access/acl'
      case 'pvesm add dir': return 'POST /storage'
    }
    if (name === 'pvesm') return 'PUT /storage/{storage}'
    if (name === 'qm') return a === 'create' ? 'POST /nodes/{node}/qemu' : 'PUT /nodes/{node}/qemu/{vmid}/config'
    return `${a === 'create' ? 'POST' : 'PUT'} ${b ?? ''}`
  }
  const { changes } = await state()
  expect(changes.length).toBeGreaterThan(20)
  for (const words of changes) {
    const known = Object.keys(methods[of(words)]?.parameters.properties ?? {})
    expect(words.filter((word) => word.startsWith('--')).map((word) => word.slice(2)).filter((flag) => !known.includes(flag)), words.join(' ')).toEqual([])
  }
}, 30_000)
