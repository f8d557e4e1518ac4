/** `golden demo`: the whole thing on this computer, without Proxmox. */
import { existsSync } from 'node:fs'
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { makeFolder, stateFolder } from '../core/folders.ts'
import type { Proxmox } from '../proxmox/client.ts'
import { Failure, type FailureFacts } from '../core/failure.ts'
import { newChecks } from './checks.ts'
import { control } from './control.ts'
import { describeGuests } from './guests.ts'
import { exitOf, lastLines, startDetached } from './program.ts'
import { prepareImages } from './images.ts'
import { keptIn, report, type Kept } from './report.ts'
import { opened, runDemo, type DemoResult, type DemoWorld } from './run.ts'
import type { Verb, VerbContext } from '../scripts/verb.ts'

export const verb: Verb = {
  options: {
    keep: { type: 'boolean' },
    fresh: { type: 'boolean' },
    minutes: { type: 'string' },
    rollouts: { type: 'boolean' },
    night: { type: 'boolean' },
    twice: { type: 'boolean' },
    stop: { type: 'boolean' },
  },
  optionHelp: {
    keep: 'leave it running at the end, also when it failed, and say how to look at it',
    fresh: 'bake the image, even if an earlier demo has kept one of the same inputs',
    minutes: 'begin nothing that would take it past so many minutes, and say what was left out',
    rollouts: 'of all checks only those of rollouts and what they need, and that fake guests are like these',
    night: 'instead of all that: a night with a new package, from the lock to the report, under the hands of clients',
    twice: 'instead of all that: bake the same lock twice from scratch, and compare both images file by file',
    stop: 'end a demo that was kept running, and remove all of it',
  },
  changes:
    'this computer: a lab with VMs in ~/.local/state/serena-golden/demo, which is gone at the end; what was built stays in the cache. As root on Debian or Ubuntu, missing packages are installed',
  examples: [
    ['npm run demo', 'all of it; the first time over half an hour'],
    ['npx golden demo --keep', 'leave it running, and say how to get in'],
    ['npx golden demo --stop', 'end one that was left running'],
  ],
  async run(context) {
    const folder = demoFolder(context.env)
    if (context.flags.stop === true) {
      const was = await endDemo(folder, context)
      context.result(was ? 'The demo is ended; nothing of it is left.' : 'No demo is running.', { stopped: was })
      return 0
    }
    return demo(folder, context)
  },
}

/** Short, because Unix sockets live in it. */
export function demoFolder(env: NodeJS.ProcessEnv): string {
  return join(stateFolder(env), 'demo')
}

/** What a demo is made of; a test of what happens around it brings others. */
export interface DemoParts {
  prepare(progress: VerbContext['progress'], signal: AbortSignal): Promise<unknown>
  /** Words for `golden`, to which the state folder is added. */
  readonly lab: readonly string[]
  story(world: DemoWorld): Promise<DemoResult | undefined>
}

export async function demo(
  folder: string,
  context: VerbContext,
  parts: DemoParts = { prepare: prepareImages, lab: ['lab', '--record'], story: runDemo },
): Promise<number> {
  const { progress, signal, env } = context
  const began = performance.now()
  const minutes = Number(context.flags.minutes ?? Infinity)
  if (!(minutes > 0)) throw new Failure('usage', `--minutes is "${String(context.flags.minutes)}"`, 'Say a number of minutes.')
  if (await running(folder))
    throw new Failure(
      'demo-running',
      'a demo is running already, with whatever is in its projects',
      'Use it, or end it with "npm run demo -- --stop".',
    )
  await parts.prepare(progress, signal)
  await rm(folder, { recursive: true, force: true }) // of a demo that was killed
  await makeFolder(folder, 0o700)
  const log = join(folder, 'lab.log')
  const lab = startDetached([...parts.lab, '--state', join(folder, 'lab')], env, log)
  const ended = exitOf(lab)
  let connection: any
  let administrator: Proxmox | undefined
  const look = async (): Promise<void> => {
    if (administrator === undefined) return
    for (const line of await describeGuests(administrator, connection.node, join(folder, 'lab')).catch(() => [])) progress.info(line)
  }
  const checks = newChecks(progress, signal, look)
  let site: DemoResult | undefined
  let problem: unknown
  try {
    connection = await progress.step('start the lab: a Proxmox-compatible API, a LAN and a router of its own', () =>
      labAnswers(join(folder, 'lab', 'connection.json'), ended, log, signal),
    )
    administrator = await opened(connection.apiUrl, connection.caFile, connection.rootToken)
    site = await parts.story({
      connection,
      administrator,
      folder,
      checks,
      keep: context.flags.keep === true,
      fresh: context.flags.fresh === true,
      only: (['rollouts', 'night', 'twice'] as const).find((part) => context.flags[part] === true),
      leftMs: () => minutes * 60_000 - (performance.now() - began),
      look,
      progress,
      signal,
      env,
    })
  } catch (error) {
    problem = error
  } finally {
    administrator?.close()
  }
  // Also one that failed: what it failed at is there to be looked at. Nobody has to look at what they have stopped.
  const wanted = context.flags.keep === true && !signal.aborted
  const answers = connection !== undefined && (await running(folder))
  const kept = wanted ? await keep(folder, answers ? connection.site : undefined) : undefined
  if (kept !== undefined && answers) lab.unref()
  else {
    lab.kill('SIGTERM')
    await progress.step('end the lab', () => ended)
    if (kept === undefined) await rm(folder, { recursive: true, force: true })
  }
  signal.throwIfAborted()
  const seconds = Math.round((performance.now() - began) / 1000)
  const ok = problem === undefined && checks.results.every((check) => check.ok)
  const error = describeProblem(problem)
  context.result(report({ results: checks.results, seconds, site, kept, problem: error }), {
    ok,
    checks: checks.results,
    tookSeconds: seconds,
    ...(error === undefined ? {} : { errors: [error] }),
    ...(kept === undefined ? {} : { ...site, kept }),
  })
  return ok ? 0 : 1
}

/** @param site folder of the first site, if the lab still answers */
async function keep(folder: string, site: string | undefined): Promise<Kept> {
  const oneVm = join(folder, 'one-vm')
  const logs = await readdir(join(folder, 'lab', 'serial')).catch(() => [])
  return keptIn(
    folder,
    site === undefined ? [] : [site, ...(existsSync(oneVm) ? [oneVm] : [])],
    logs.flatMap((name) => /^(\d+)\.log$/.exec(name)?.[1] ?? []).map(Number),
  )
}

/** What is no expected failure keeps its stack: it is a bug. */
function describeProblem(problem: unknown): FailureFacts | undefined {
  if (problem === undefined) return undefined
  if (problem instanceof Failure) return problem.toJSON()
  return {
    code: 'check-failed',
    message: problem instanceof Error ? (problem.stack ?? problem.message) : String(problem),
    hint: 'A check on which the rest depends did not hold; see it above.',
  }
}

/** Resolves with connection.json once the lab has set itself up; rejects when it ended instead. */
async function labAnswers(file: string, ended: Promise<number>, log: string, signal: AbortSignal): Promise<any> {
  let code: number | undefined
  void ended.then((exit) => {
    code = exit
  })
  for (;;) {
    signal.throwIfAborted()
    if (code !== undefined)
      throw new Failure('lab-failed', `the lab ended with exit code ${code}:\n${lastLines(log, 15)}`, 'See what it says above.')
    // Another process writes it, so there is no event to wait for; it is complete once the token is in it.
    const connection = existsSync(file) ? (JSON.parse(await readFile(file, 'utf8')) as { token?: string }) : {}
    if (connection.token !== undefined) return connection
    await delay(200)
  }
}

/** Whether somebody's demo answers. */
async function running(folder: string): Promise<boolean> {
  const socket = join(folder, 'lab', 'control.sock')
  return existsSync(socket) && (await control(socket).ping())
}

/** Ends a demo that still runs and removes its folder. @returns whether there was one */
async function endDemo(folder: string, { progress }: VerbContext): Promise<boolean> {
  if (!existsSync(folder)) return false
  const socket = join(folder, 'lab', 'control.sock')
  if (await running(folder)) {
    await progress.step('end the demo that runs', async () => {
      await control(socket).stop()
      while (existsSync(socket)) await delay(100) // it goes when all else has
    })
  }
  await rm(folder, { recursive: true, force: true })
  return true
}
