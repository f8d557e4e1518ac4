/** The demo's rollouts, told with verbs and guests that only say what real ones would, and real clients. */
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { silent } from '../../core/progress.ts'
import { newChecks, type CheckResult } from '../../demo/checks.ts'
import { editSite } from '../../demo/edit-site.ts'
import type { Golden } from '../../demo/golden.ts'
import { labSite, writeLabSite } from '../../demo/lab-site.ts'
import { checkRollouts, preparedForRollouts } from '../../demo/rollouts.ts'
import type { Proxmox } from '../../proxmox/client.ts'
import { initSecrets } from '../../scripts/init.ts'
import { writeSecretOnce } from '../../settings/secrets/files.ts'
import { secretFiles } from '../../settings/secrets/places.ts'
import type { Site, SlotName } from '../../settings/site.ts'
import { startMcpServer, type McpServer } from './mcp-server.ts'

const mark = 'abcd1234'
let folder: string
let server: McpServer
let site: Site

beforeEach(async () => {
  // No Python: what it says to the others is tried with real Serena.
  vi.stubEnv('PATH', '/nonexistent')
  folder = await mkdtemp(join(tmpdir(), 'golden-rollouts-'))
  server = await startMcpServer(`${mark} it has slept`)
  const ca = join(folder, 'lab-ca.pem')
  await writeFile(ca, '')
  const lab = {
    apiUrl: 'https://127.0.0.1:8006',
    caFile: ca,
    node: 'pve',
    bridge: 'vmbr0',
    storages: { disks: 'local-lvm', iso: 'local' },
    socksProxy: { host: '127.0.0.1', port: 1080 },
    network: { subnet: '10.99.0.0/24', gateway: '10.99.0.1', nameserver: '10.99.0.1' },
    router: { https: { port: server.port }, http: { port: 8080 }, second: { https: { port: 9443 }, http: { port: 9080 } } },
  }
  await mkdir(join(folder, 'secrets'), { recursive: true })
  const input = labSite(lab, { name: 'lab', layout: 'two-vms', base: { file: '/base', sha256: 'a'.repeat(64) }, isoPath: '/iso' })
  await writeLabSite(folder, input, lab)
  site = await editSite(folder, preparedForRollouts)
  await initSecrets(site, folder, new Date())
  await writeFile(join(folder, secretFiles.ca), server.caPem)
  server.passwords = { demo: await passwordOf('demo'), guest: await passwordOf('guest') }
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await server.close()
  await rm(folder, { recursive: true, force: true })
})

const passwordOf = async (user: string): Promise<string> => (await readFile(join(folder, 'secrets/users', user), 'utf8')).trim()

/** What the guest says when its Serena was stopped and started. */
const floor = '{"stop":1000,"start":500,"until it answers":250}'

/** What a test has go wrong. */
interface Faults {
  /** While the data of this group is handed over. */
  during?(group: string): Promise<void>
  /** The verb itself. */
  fails?(verb: string, group: string): boolean
}

/** A site whose verbs do what they say at once. */
function verbs(faults: Faults): { golden: Golden; ran: string[]; proxmox: Proxmox } {
  const ran: string[] = []
  const active: Record<string, SlotName> = { serena: 'blue', logging: 'blue' }
  const given: Record<string, string> = {}
  const textOf = async (): Promise<string> => readFile(join(folder, 'site.ts'), 'utf8')
  let blue: { serena: string; logging: string } | undefined
  const sideOf = async (): Promise<{ serena: string; logging: string }> => {
    const input = JSON.parse(/defineSite\(([\s\S]*)\)/.exec(await textOf())?.[1] ?? '') as { serena: object; logging?: object }
    const guest = existsSync(join(folder, 'secrets/users/guest')) ? await passwordOf('guest') : ''
    return { serena: JSON.stringify([input.serena, guest]), logging: JSON.stringify(input.logging ?? {}) }
  }
  const words = 'serena.projects serena.transports serena.shell the password of guest logging.retentionDays'
  const differences = async (group: 'serena' | 'logging'): Promise<string[]> => {
    const now = await sideOf()
    const runs = given[`${group} ${active[group]}`] ?? blue?.[group]
    return runs === now[group] ? [] : [`${words}: takes effect with "npx golden rollout ${group}"`]
  }
  const run = async (onLine: (line: string) => void, ...line: string[]): Promise<any> => {
    const [verb = '', group = ''] = line
    ran.push(line.join(' '))
    const groups = ['serena', 'logging'] as const
    // All else of the site's secrets is there.
    if (verb === 'init') return writeSecretOnce(join(folder, 'secrets/users/guest'), () => 'another\n')
    if (verb === 'status') {
      const list = groups.map(async (name) => [name, { health: 'healthy', activeSlot: active[name], differences: await differences(name) }])
      return { groups: Object.fromEntries(await Promise.all(list)) }
    }
    if (verb === 'deploy') {
      const list = await Promise.all(groups.map(async (name) => ({ group: name, differences: await differences(name) })))
      return line[1] === '--plan' ? { plan: { groups: list } } : { changed: false, groups: list }
    }
    const slot = verb === 'rollout' ? 'green' : 'blue'
    if (verb === 'rollout') given[`${group} green`] = (await sideOf())[group as 'serena']
    onLine(`  hand group ${group} over to slot ${slot} …`)
    await faults.during?.(group)
    if (faults.fails?.(verb, group) === true) throw new Error('slot green does not serve')
    active[group] = slot
    if (group === 'serena')
      server.passwords = { demo: await passwordOf('demo'), guest: slot === 'green' ? await passwordOf('guest') : first }
    return { groups: [{ group, outcome: 'rolled-out', slot, parts: [{ step: 'let-go', ms: 1500 }] }] }
  }
  let first = ''
  const ready = (async () => {
    blue = await sideOf()
    first = await passwordOf('guest')
  })()
  const golden = Object.assign(
    async (...line: string[]) => {
      await ready
      return run(() => {}, ...line)
    },
    {
      asAdministrator: async () => ({}),
      heardBy:
        (hear: (line: string) => void) =>
        async (...line: string[]) =>
          run(hear, ...line),
      shows: (hear: (line: string) => void) => hear,
    },
  )
  const vms = new Map(
    Object.entries(site.groups).flatMap(([group, { slots }]) =>
      (['blue', 'green'] as const).map((slot) => [slots[slot].vmid, { group, slot }] as const),
    ),
  )
  const agentExec = async (_node: string, vmid: number, [program, verb, script = '']: readonly string[]): Promise<object> => {
    const at = vms.get(vmid)
    const isActive = at !== undefined && active[at.group] === at.slot
    const entries = server.paths.map((path) => ['0', JSON.stringify({ path })])
    const answer = verb === 'logs' ? { streams: isActive ? [{ entries }] : [] } : { active: isActive, serviceAddress: { held: isActive } }
    return {
      exitCode: 0,
      stdout: program === '/bin/sh' ? (script.includes('untilServing') ? floor : '') : JSON.stringify(answer),
      stderr: '',
    }
  }
  return { golden, ran, proxmox: { agentExec } as unknown as Proxmox }
}

async function tell(faults: Faults = {}, leftMinutes = 1000): Promise<{ results: readonly CheckResult[]; ran: readonly string[] }> {
  const { signal } = new AbortController()
  const checks = newChecks(silent, signal, async () => {})
  const { golden, ran, proxmox } = verbs(faults)
  await checkRollouts(checks, {
    site,
    access: { site, folder },
    golden,
    proxmox,
    mark,
    deployMs: 60_000 * 6,
    leftMs: () => leftMinutes * 60_000,
    signal,
    env: process.env,
    pace: { idleMs: 50, numberEveryMs: 20, breathMs: 10 },
  })
  return { results: checks.results, ran }
}

const failed = (results: readonly CheckResult[]): string[] => results.flatMap(({ name, ok, detail }) => (ok ? [] : `${name}: ${detail}`))
const skipped = (results: readonly CheckResult[]): string[] =>
  results.flatMap(({ name, skipped: why }) => (why === undefined ? [] : `${name}: ${why}`))

it('rolls both groups out and back under load, says what it has measured, and leaves the site folder as it was', async () => {
  const before = await readFile(join(folder, 'site.ts'), 'utf8')
  const password = await passwordOf('guest')
  const { results, ran } = await tell()
  expect(failed(results)).toEqual([])
  expect(skipped(results)).toEqual([expect.stringMatching(/^two VMs: Python's official SDK is among the clients: there is no Python/)])
  expect(ran.filter((line) => line.startsWith('roll'))).toEqual([
    'rollout serena',
    'rollback serena',
    'rollout logging',
    'rollback logging',
  ])
  const longest = expect.any(Number)
  expect(results.flatMap(({ name, figures }) => (figures === undefined ? [] : [[name, figures]]))).toEqual([
    ['two VMs: golden rollout serena: not one call fails', { 'longest call': longest, 'let-go': 1500 }],
    ['two VMs: golden rollback serena: not one call fails', { 'longest call': longest, 'let-go': 1500 }],
    [
      "two VMs: what that is held against: Serena's container stopped and started on one VM",
      { 'longest call': longest, stop: 1000, start: 500, 'until it answers': 250 },
    ],
    ['two VMs: golden rollout logging: not one call fails', { 'longest call': longest, 'let-go': 1500 }],
    ['two VMs: golden rollback logging: not one call fails', { 'longest call': longest, 'let-go': 1500 }],
  ])
  const found = (name: string): string => results.find((one) => one.name.includes(name))?.found?.join('\n') ?? ''
  for (const words of [': 1.5 s in all: let-go 1.5 s', 'the longest call: ', 'TypeScript SDK: ', '2026-07-28', 'the TLS connection: '])
    expect(found('golden rollout serena: not one')).toContain(words)
  expect(found('golden rollback serena: not one')).toContain('a call of 30 s: 1 calls, 0 failed')
  expect(server.tools).toContain('execute_shell_command')
  expect(found('every numbered line')).toMatch(/^\d+ of \d+ lines once$/)
  expect(await readFile(join(folder, 'site.ts'), 'utf8')).toContain('"soakMinutes": 0')
  expect((await readFile(join(folder, 'site.ts'), 'utf8')).replace(/"rollout": \{[^}]*\}/, '')).toBe(
    before.replace(/"rollout": \{[^}]*\}/, ''),
  )
  expect(await passwordOf('guest')).toBe(password)
})

it('a call that fails while a group is handed over is told with its text, and what would come after is left out by name', async () => {
  const { results, ran } = await tell({
    during: async () => {
      const call = server.nextCall()
      server.fates.push('500')
      await call
    },
  })
  expect(
    failed(results).some((line) => /golden rollout serena: not one call fails: 1 of \d+ calls failed:\n.*out of order/.test(line)),
  ).toBe(true)
  expect(failed(results).at(-1)).toMatch(/of all calls from the first to the last none failed: 1 of/)
  expect(ran.filter((line) => line.startsWith('roll'))).toEqual(['rollout serena'])
  expect(skipped(results).slice(1)).toEqual([
    expect.stringContaining('golden rollback serena'),
    expect.stringContaining('golden rollout logging and golden rollback logging'),
  ])
})

it('a verb that fails says why, and what was called by then is told all the same', async () => {
  const { results } = await tell({ fails: (verb) => verb === 'rollback' })
  const [one] = results.filter(({ ok }) => !ok)
  expect(one).toMatchObject({
    name: 'two VMs: golden rollback serena: not one call fails',
    detail: 'slot green does not serve',
    found: expect.arrayContaining([
      expect.stringContaining('a call of 30 s: 1 calls, 0 failed'),
      expect.stringContaining('the TLS connection: '),
    ]),
  })
})

it('without the time for it all is left out by name, and nothing is begun', async () => {
  const { results, ran } = await tell({}, 5)
  expect(results).toHaveLength(3)
  expect(skipped(results)).toHaveLength(3)
  expect(skipped(results)[0]).toMatch(/^two VMs: golden rollout serena, under load: it takes about 1\d min .* --minutes gives$/)
  expect(ran).toEqual([])
  expect(server.tools).toEqual([])
})
