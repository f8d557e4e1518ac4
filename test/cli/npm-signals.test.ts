/** A signal for npm, from a terminal or a service manager, ends what it runs. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'

const project = join(import.meta.dirname, '../..')
const minute = 60_000
let state: string
beforeEach(async () => {
  state = await mkdtemp(join(tmpdir(), 'gs-'))
})
afterEach(async () => {
  for (const pid of processes()) process.kill(pid, 'SIGKILL')
  await rm(state, { recursive: true, force: true })
})

/** Those with the state folder on their command line, npm aside. */
const processes = (): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
        return words.includes(state) && !words.some((word) => word.includes('npm'))
      } catch {
        return false
      }
    })

async function lab(): Promise<{ npm: ChildProcess; said: () => string }> {
  const npm = spawn('npm', ['run', '--silent', 'lab', '--', '--driver', 'fake', '--state', state], {
    cwd: project,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  let said = ''
  for (const stream of [npm.stdout, npm.stderr])
    stream?.on('data', (data: Buffer) => {
      said += String(data)
    })
  const file = join(state, 'connection.json')
  await vi.waitUntil(() => existsSync(file) && readFileSync(file, 'utf8').includes('"token"'), { timeout: minute, interval: 100 })
  return { npm, said: () => said }
}

const canSee = existsSync('/proc/self/cmdline')

it.skipIf(!canSee).each(['SIGTERM', 'SIGINT'] as const)(
  '%s for npm alone ends the lab in good order (needs Linux)',
  async (signal) => {
    const { npm, said } = await lab()
    const ended = once(npm, 'close')
    npm.kill(signal)
    await ended
    await vi.waitUntil(() => processes().length === 0, { timeout: minute, interval: 100 })
    expect(existsSync(join(state, 'connection.json')), said()).toBe(false)
  },
  2 * minute,
)

it.skipIf(!canSee)(
  'Ctrl-C on a terminal, which reaches all of them at once, counts once (needs Linux)',
  async () => {
    const { npm, said } = await lab()
    const ended = once(npm, 'close')
    process.kill(-(npm.pid ?? 0), 'SIGINT')
    await ended
    await vi.waitUntil(() => processes().length === 0, { timeout: minute, interval: 100 })
    expect(existsSync(join(state, 'connection.json')), said()).toBe(false)
    expect(said().match(/stopping and cleaning up/g), said()).toHaveLength(1)
  },
  2 * minute,
)

const hasTerminals = canSee && spawnSync('script', ['--version']).status === 0

it.skipIf(!hasTerminals)(
  'a terminal that is closed, so that nothing can be said any more, ends it in good order as well (needs Linux, and script of util-linux)',
  async () => {
    const command = `'${process.execPath}' '${join(project, 'golden.ts')}' lab --driver fake --state '${state}'`
    const terminal = spawn('script', ['-qec', command, '/dev/null'], { cwd: project, stdio: ['pipe', 'pipe', 'pipe'] })
    let said = ''
    terminal.stdout.on('data', (data: Buffer) => {
      said += String(data)
    })
    const file = join(state, 'connection.json')
    await vi.waitUntil(() => existsSync(file) && readFileSync(file, 'utf8').includes('"token"'), { timeout: minute, interval: 100 })
    terminal.kill('SIGKILL')
    await vi.waitUntil(() => processes().length === 0, { timeout: minute, interval: 100 })
    expect(existsSync(file), said).toBe(false)
  },
  2 * minute,
)
