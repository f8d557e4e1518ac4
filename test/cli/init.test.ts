/** `golden init` with a person at a terminal, and without one: what it asks, what it writes, and that it leaves alone what is there. */
import { spawn } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startLab, type Lab } from '../../lab/index.ts'
import { loadSite } from '../../settings/load.ts'
import { ctrlC, ctrlD, down, enter, missingForTerminal, onTerminal, type Terminal } from '../terminal.ts'

const project = resolve(import.meta.dirname, '../..')
const missing = missingForTerminal()
const atTerminal = it.skipIf(missing.length > 0)
const needs = missing.length > 0 ? ` (not here: ${missing.join(', ')})` : ''

let work: string
let lab: Lab
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'golden-init-'))
  lab = await startLab({ stateDir: join(work, 'lab'), driver: 'fake', authDelayMs: 10 })
}, 60_000)
afterAll(async () => {
  await lab?.close()
  await rm(work, { recursive: true, force: true })
})

const golden = [process.execPath, '--disable-warning=ExperimentalWarning', join(project, 'golden.ts')]
const envOf = (folder: string, more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => {
  const { CI: _, PROXMOX_ADMIN_PASSWORD: __, PROXMOX_ADMIN_TOKEN: ___, ...env } = process.env
  return { ...env, GOLDEN_SITE: folder, ...more }
}
const folderOf = (name: string): string => join(work, name)
const terminal = (folder: string, ...args: string[]): Terminal => onTerminal([...golden, ...args], envOf(folder))

interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Without a terminal. */
async function alone(folder: string, args: readonly string[], more?: NodeJS.ProcessEnv): Promise<Ended> {
  const [program = '', ...words] = golden
  const child = spawn(program, [...words, ...args], { env: envOf(folder, more), stdio: ['ignore', 'pipe', 'pipe'] })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const [code] = (await once(child, 'close')) as [number]
  return { code, stdout, stderr }
}

/** Of questions that `at` asks, in any order, until the last: with these answers. @returns how many there were */
async function answer(at: Terminal, answers: readonly (readonly [RegExp, string])[]): Promise<number> {
  for (const [question, text] of answers) {
    await at.sees(question)
    at.type(text)
  }
  return answers.length
}

const login = (): (readonly [RegExp, string])[] => [
  [/name or address of the host/, `${lab.connection.apiUrl}/#v1:0${enter}`],
  [/Type yes/, `yes${enter}`],
  [/Administrator/, `admin@pve${enter}`],
  [/Password of admin@pve/, `${lab.connection.admin.password}${enter}`],
]
const socks = (): string => `${lab.connection.socksProxy.host}:${lab.connection.socksProxy.port}`
const fingerprint = async (): Promise<string> =>
  new X509Certificate(await readFile(join(lab.connection.caFile, '../server.pem'))).fingerprint256

atTerminal(`from an empty folder to a host that is set up: ten answers, most of them Enter${needs}`, async () => {
  const folder = folderOf('asked')
  const init = terminal(folder, 'init')
  let answers = await answer(init, [
    ...login(),
    [/Storage of the VMs' disks/, enter],
    [/SOCKS5 proxy/, socks() + enter],
    [/Serena and her logs/, enter],
    [/people's clients call/, `localhost:${lab.connection.router.https.port}${enter}`],
    [/Is it right\?/, enter],
  ])
  expect(await init.ended, init.shown()).toBe(0)
  expect(init.shown()).toContain(await fingerprint())
  expect(init.shown()).not.toContain(lab.connection.admin.password)
  const site = await loadSite(folder)
  expect(site).toMatchObject({
    name: 'home',
    proxmox: {
      url: lab.connection.apiUrl,
      node: 'pve',
      storage: { disks: 'local-lvm' },
      bridge: 'vmbr0',
      socksProxy: lab.connection.socksProxy,
    },
    network: { subnet: '10.77.0.0/24', gateway: '10.77.0.1', nameservers: ['10.77.0.1'], admin: ['10.77.0.0/24'] },
    public: { host: 'localhost', httpsPort: lab.connection.router.https.port },
    groups: {
      serena: { roles: ['serena'], service: '10.77.0.225', depot: 9200, slots: { blue: { vmid: 9201, address: '10.77.0.226' } } },
      logging: { roles: ['logging'], service: '10.77.0.228', depot: 9203 },
    },
  })
  const setup = terminal(folder, 'setup', '--admin', 'admin@pve')
  answers += await answer(setup, [[/Password of admin@pve/, lab.connection.admin.password + enter]])
  expect(await setup.ended, setup.shown()).toBe(0)
  // What init has seen is not asked again.
  expect(setup.shown()).not.toContain('fingerprint')
  expect(answers).toBe(10)
  expect(existsSync(join(folder, 'secrets/proxmox-token'))).toBe(true)
})

atTerminal(`where there is a site nothing is asked, and nothing changed${needs}`, async () => {
  const folder = folderOf('asked')
  const before = await readFile(join(folder, 'site.ts'), 'utf8')
  const again = terminal(folder, 'init', '--host', 'pve.example.org')
  expect(await again.ended, again.shown()).toBe(0)
  expect(again.shown()).toMatch(/stays as it is/)
  expect(again.shown()).toContain('Nothing to do')
  expect(await readFile(join(folder, 'site.ts'), 'utf8')).toBe(before)
})

atTerminal(`what is proposed can be changed, and what the host has meanwhile is not proposed${needs}`, async () => {
  const folder = folderOf('changed')
  const init = terminal(folder, 'init', '--one-vm', '--socks-proxy', 'none', '--disks', 'local-disks')
  await answer(init, [
    ...login(),
    [/people's clients call/, `serena.example.org${enter}`],
    [/Is it right\?/, `${down.repeat(6)}${enter}`],
    [/First of 4 addresses/, `10.77.0.40${enter}`],
    [/10\.77\.0\.41[\s\S]*Is it right\?/, `Change the base${enter}`],
    [/Base image/, down + enter],
    [/Is it right\?/, enter],
  ])
  expect(await init.ended, init.shown()).toBe(0)
  const text = await readFile(join(folder, 'site.ts'), 'utf8')
  // The depots of the site before have these VMIDs, and its name; and its token is there.
  expect(await loadSite(folder)).toMatchObject({
    name: 'home2',
    proxmox: { tokenId: 'golden-home2@pve!golden', storage: { disks: 'local-disks' } },
    image: { base: { os: 'debian-13' }, build: { address: '10.77.0.40' } },
    groups: { serena: { roles: ['serena', 'logging'], service: '10.77.0.41', depot: 9204 } },
  })
  expect(text).not.toMatch(/socksProxy|bridge|9000/)
})

atTerminal(`a mistyped host and password are asked for again${needs}`, async () => {
  const folder = folderOf('mistyped')
  const init = terminal(folder, 'init')
  await answer(init, [
    [/name or address of the host/, `pve lan${enter}`],
    [/wanted is a host name/, `${'\x7f'.repeat(7)}127.0.0.1:9${enter}`],
    [/proxmox-unreachable|does not answer[\s\S]*name or address of the host/, lab.connection.apiUrl + enter],
    [/Type yes/, `yes${enter}`],
    [/Administrator/, `admin${enter}`],
    [/has no realm/, `@pve${enter}`],
    [/Password of admin@pve/, `wrong${enter}`],
    [/does not accept the password[\s\S]*Administrator/, `admin@pve${enter}`],
    [/Password of admin@pve/, lab.connection.admin.password + enter],
    [/Storage of the VMs' disks/, ctrlC],
  ])
  expect(await init.ended).toBe(130)
})

atTerminal.each([
  ['Ctrl-C', ctrlC, 130],
  ['Ctrl-D', ctrlD, 130],
])(`%s at a question stops it, and nothing is written${needs}`, async (_, key, code) => {
  const folder = folderOf(`stopped-${key.charCodeAt(0)}`)
  const init = terminal(folder, 'init', '--host', lab.connection.apiUrl, '--fingerprint', await fingerprint())
  await answer(init, [[/Administrator/, key]])
  expect(await init.ended, init.shown()).toBe(code)
  expect(init.shown()).toContain('cancelled')
  expect(existsSync(folder)).toBe(false)
})

atTerminal(`whoever has not compared the fingerprint goes no further${needs}`, async () => {
  const folder = folderOf('unsure')
  const init = terminal(folder, 'init', '--host', lab.connection.apiUrl)
  await answer(init, [[/Type yes/, enter]])
  expect(await init.ended).toBe(1)
  expect(init.shown()).toContain('fingerprint-not-confirmed')
  expect(existsSync(folder)).toBe(false)
})

it('without a terminal flags say it all, and nothing is asked', async () => {
  const folder = folderOf('flags')
  const flags = [
    ...['init', '--host', lab.connection.apiUrl, '--admin', 'admin@pve', '--fingerprint', await fingerprint(), '--two-vms'],
    ...['--public-host', 'code.example.net', '--addresses-from', '10.77.0.100', '--vmids-from', '700', '--base', 'debian-13'],
    ...[
      '--transports',
      'sse,streamable-http',
      '--user',
      'ann',
      '--name',
      'shop',
      '--admin-networks',
      '10.9.0.0/16',
      '--socks-proxy',
      socks(),
    ],
    ...['--set', 'serena.shell=true', '--set', 'image.keep=5', '--set', 'proxmox.pool=shop', '--json'],
  ]
  const ended = await alone(folder, flags, { PROXMOX_ADMIN_PASSWORD: lab.connection.admin.password })
  expect(ended.code, ended.stderr).toBe(0)
  expect((JSON.parse(ended.stdout) as { made: string[] }).made).toEqual(
    expect.arrayContaining(['site.ts', 'secrets/proxmox-ca.pem', 'secrets/users/ann']),
  )
  expect(await loadSite(folder)).toMatchObject({
    name: 'shop',
    proxmox: { pool: 'shop' },
    network: { admin: ['10.9.0.0/16'] },
    public: { host: 'code.example.net', httpsPort: 443 },
    image: { keep: 5, base: { os: 'debian-13' }, build: { address: '10.77.0.100' } },
    serena: { shell: true, transports: ['sse', 'streamable-http'], users: [{ name: 'ann' }] },
    groups: { serena: { depot: 700, service: '10.77.0.101' }, logging: { depot: 703, service: '10.77.0.104' } },
  })
})

it('what is missing without a terminal is told at once, and nothing is begun', async () => {
  const folder = folderOf('missing')
  const ended = await alone(folder, ['init', '--one-vm', '--json'])
  expect(ended.code).toBe(2)
  expect(JSON.parse(ended.stdout)).toMatchObject({
    errors: [{ code: 'usage', message: expect.stringContaining('--host, PROXMOX_ADMIN_PASSWORD') }],
  })
  const wrong = await alone(folder, ['init', '--host', 'a b', '--vlan', '5000', '--subnet', '10.0.0.1/24', '--json'])
  expect(JSON.parse(wrong.stdout)).toMatchObject({
    errors: [{ code: 'usage', message: expect.stringMatching(/--vlan[\s\S]*--subnet|--subnet[\s\S]*--vlan/) }],
  })
  expect(wrong.stdout).toContain('--host')
  expect(existsSync(folder)).toBe(false)
})

it.each([
  ['a storage that is not there', ['--disks', 'nfs1'], /no such storage/],
  ['a bridge that is not there', ['--bridge', 'vmbr7'], /no such bridge/],
  ['a node that is not there', ['--node', 'pvx'], /no such node/],
  ['a setting that is none', ['--set', 'serena.shel=true'], /serena\.shel: is not a setting/],
  ['a VLAN whose network nobody knows', ['--vlan', '20'], /missing: --subnet, --gateway/],
  [
    'a beginning with too few addresses after it',
    ['--addresses-from', '10.77.0.250'],
    /5 free addresses from 10\.77\.0\.250 on, and this site takes 7/,
  ],
])('%s is refused before anything is written', async (what, flags, message) => {
  const folder = folderOf(`refused-${what.replaceAll(' ', '-')}`)
  const common = ['init', '--host', lab.connection.apiUrl, '--admin', 'admin@pve', '--fingerprint', await fingerprint(), '--json']
  const ended = await alone(folder, [...common, ...flags], { PROXMOX_ADMIN_PASSWORD: lab.connection.admin.password })
  expect(ended.code).not.toBe(0)
  expect((JSON.parse(ended.stdout) as { errors: { message: string }[] }).errors[0]?.message).toMatch(message)
  expect(existsSync(folder)).toBe(false)
})

it('without a terminal and without flags the first site is the example', async () => {
  const folder = folderOf('example')
  const ended = await alone(folder, ['init', '--json'])
  expect(ended.code, ended.stderr).toBe(0)
  expect(await readFile(join(folder, 'site.ts'), 'utf8')).toBe(await readFile(join(project, 'site.example.ts'), 'utf8'))
  expect(await readdir(folder)).toEqual(expect.arrayContaining(['secrets', 'state', 'site.ts']))
  await writeFile(join(folder, 'site.ts'), (await readFile(join(folder, 'site.ts'), 'utf8')).replace("'home'", "'mine'"))
  expect((await alone(folder, ['init', '--json'])).code).toBe(0)
  expect((await loadSite(folder)).name).toBe('mine')
})
