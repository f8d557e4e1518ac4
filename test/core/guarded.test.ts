/** Programs that are guarded: whoever is killed, they are asked to end, waited for, and leave nobody behind. Real processes. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { runGuarded } from '../../core/guarded.ts'

let work: string
beforeEach(async () => {
  work = await mkdtemp(join(tmpdir(), 'guarded-'))
})
afterEach(() => rm(work, { recursive: true, force: true }))

const patience = { timeout: 30_000, interval: 50 }
const env = { PATH: process.env.PATH }

interface Running {
  readonly pid: number
  readonly lines: string[]
  readonly ended: Promise<number>
  stop(): void
}

/** `sh -c SCRIPT`, as soon as it has said `ready`. */
async function run(script: string, words: readonly string[] = []): Promise<Running> {
  const abort = new AbortController()
  const lines: string[] = []
  const ended = runGuarded({
    program: 'sh',
    args: ['-c', `echo $$; ${script}`, 'sh', ...words],
    cwd: work,
    env,
    signal: abort.signal,
    heard: (line) => lines.push(line),
    graceMs: 500,
  })
  await vi.waitUntil(() => lines.includes('ready'), patience)
  return { pid: Number(lines.shift()), lines, ended, stop: () => abort.abort() }
}

/** PIDs of processes that run, with their parents and arguments. */
function processes(): { pid: number; parent: number; args: string }[] {
  return execFileSync('ps', ['-eo', 'pid=,ppid=,stat=,args='], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .flatMap((line) => {
      const [, pid = '', parent = '', stat = '', args = ''] = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line) ?? []
      return stat.startsWith('Z') ? [] : [{ pid: Number(pid), parent: Number(parent), args }]
    })
}
const runs = (pid: number): boolean => processes().some((one) => one.pid === pid)
const pidIn = async (file: string): Promise<number> => Number(await readFile(join(work, file), 'utf8'))

/** All that runs on behalf of this test: children of ours, and theirs. */
function guards(except: number): number[] {
  const all = processes()
  const below = (parent: number): number[] =>
    all.filter((one) => one.parent === parent && !/\bps -eo\b/.test(one.args)).flatMap(({ pid }) => [pid, ...below(pid)])
  return below(process.pid).filter(
    (pid) => pid !== except && !below(except).includes(pid) && /\b(sh|cat|sleep)\b/.test(all.find((one) => one.pid === pid)?.args ?? ''),
  )
}

const untilTold = 'trap "echo ending; exit 7" TERM; echo ready; while :; do sleep 0.1; done'

it('whichever of its guards is killed, a program goes on, and its end is seen', async () => {
  for (let which = 0; ; which++) {
    const running = await run(`echo ready; while [ ! -e go-${which} ]; do sleep 0.1; done; exit 5`)
    const victim = guards(running.pid)[which]
    if (victim !== undefined) process.kill(victim, 'SIGKILL')
    await writeFile(join(work, `go-${which}`), '')
    expect(await running.ended).toBe(5)
    if (victim === undefined) break
    expect(which).toBeLessThan(10)
  }
}, 60_000)

it('whichever of its guards is killed, a stop still reaches it', async () => {
  for (let which = 0; ; which++) {
    const running = await run(untilTold)
    const victim = guards(running.pid)[which]
    if (victim !== undefined) process.kill(victim, 'SIGKILL')
    running.stop()
    expect(await running.ended).toBe(7)
    if (victim === undefined) break
  }
}, 60_000)

it('a program that is killed is told by its code, and what it has started does not stay', async () => {
  const running = await run('sh -c \'trap "" TERM; echo $$ > provider; echo ready; while :; do sleep 0.1; done\' & wait')
  const provider = await pidIn('provider')
  process.kill(running.pid, 'SIGKILL')
  expect(await running.ended).toBe(137)
  expect(runs(provider)).toBe(false)
})

it("who has left the program's group and holds on to its output holds nobody up", async () => {
  const holder = join(work, 'holder.mjs')
  await writeFile(
    holder,
    'import { spawn } from "node:child_process"; const child = spawn("sleep", ["600"], { detached: true, stdio: "inherit" }); console.log(child.pid); child.unref()',
  )
  const running = await run('"$1" "$2"; echo ready; exit 3', [process.execPath, holder])
  expect(await running.ended).toBe(3)
  process.kill(Number(running.lines[0]), 'SIGKILL')
})

it('the last words of a program arrive before its end', async () => {
  const running = await run('echo ready; seq 1 20000')
  await running.ended
  expect(running.lines.at(-1)).toBe('20000')
})

it('it does not begin before somebody knows of it', async () => {
  const refused = runGuarded({
    program: 'touch',
    args: ['begun'],
    cwd: work,
    env,
    signal: new AbortController().signal,
    heard: () => {},
    started: () => Promise.reject(new Error('no note')),
  })
  await expect(refused).rejects.toThrow('no note')
  expect(existsSync(join(work, 'begun'))).toBe(false)
})

/** A process of its own that guards `sh -c SCRIPT`, and what it is told. */
async function guardian(script: string): Promise<{ kill(): Promise<void> }> {
  const text = `
    import { runGuarded } from ${JSON.stringify(join(import.meta.dirname, '../../core/guarded.ts'))}
    await runGuarded({ program: 'sh', args: ['-c', ${JSON.stringify(script)}], cwd: ${JSON.stringify(work)}, env: process.env, signal: new AbortController().signal, heard: (line) => console.log(line), graceMs: 500 })`
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', text], { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    said += part
  })
  await vi.waitUntil(() => said.includes('ready'), patience)
  return {
    async kill() {
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
    },
  }
}

/** As an engine does: a provider in the same group, and time to clean up. */
const engine = `
  sh -c 'trap "" TERM INT; echo $$ > provider; while :; do sleep 0.1; done' &
  echo $$ > engine
  trap 'seq 1 50000; sleep 0.5; echo done > cleaned; exit 1' TERM
  while [ ! -s provider ]; do sleep 0.05; done
  echo ready
  while :; do sleep 0.1; done`

it('when this process is killed the program cleans up, and then nothing of it stays', async () => {
  const parent = await guardian(engine)
  const pids = [await pidIn('engine'), await pidIn('provider')]
  await parent.kill()
  await vi.waitUntil(() => existsSync(join(work, 'cleaned')), patience)
  await vi.waitUntil(() => !pids.some(runs), patience)
}, 60_000)

it('nor when the program is killed as well', async () => {
  const parent = await guardian(engine)
  const pids = [await pidIn('engine'), await pidIn('provider')]
  await parent.kill()
  process.kill(pids[0] ?? 0, 'SIGKILL')
  await vi.waitUntil(() => !pids.some(runs), patience)
}, 60_000)
