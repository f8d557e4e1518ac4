/** `golden demo`: the whole thing on this computer, without Proxmox. */
import { existsSync } from 'node:fs'
import { mkdir, readFile, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Failure } from '../proxmox/failure.ts'
import { newChecks, type CheckResult } from './demo/checks.ts'
import { control } from './demo/control.ts'
import { exitOf, lastLines, startDetached } from './demo/program.ts'
import { prepareImages } from './demo/images.ts'
import { runDemo } from './demo/run.ts'
import { duration } from './render.ts'
import type { Verb, VerbContext } from './verb.ts'

export const verb: Verb = {
  summary: 'show the whole thing on this computer: lab, setup, bake, deploy, checks; needs no Proxmox',
  options: { keep: { type: 'boolean' }, stop: { type: 'boolean' } },
  optionHelp: { keep: 'leave it running at the end', stop: 'end a demo that was kept running, and remove all of it' },
  async run(context) {
    const folder = demoFolder(context.env)
    if (context.flags['stop'] === true) {
      const was = await endDemo(folder, context)
      context.result(was ? 'The demo is ended; nothing of it is left.' : 'No demo is running.', { stopped: was })
      return 0
    }
    return demo(folder, context)
  }
}

/** Short, because Unix sockets live in it. */
export function demoFolder(env: NodeJS.ProcessEnv): string {
  return join(env['XDG_STATE_HOME'] ?? join(homedir(), '.local/state'), 'serena-golden', 'demo')
}

async function demo(folder: string, context: VerbContext): Promise<number> {
  const { progress, signal, env } = context
  const began = performance.now()
  await prepareImages(progress, signal)
  if (await endDemo(folder, context)) progress.info('an earlier demo was still there; it is ended')
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const log = join(folder, 'lab.log')
  const lab = startDetached(['lab', '--state', join(folder, 'lab')], env, log)
  const ended = exitOf(lab)
  const checks = newChecks(progress, signal)
  let site: string | undefined
  let problem: unknown
  try {
    const connection = await progress.step('start the lab: a Proxmox-compatible API, a LAN and a router of its own', () => labAnswers(join(folder, 'lab', 'connection.json'), ended, log, signal))
    site = await runDemo({ connection, folder, checks, progress, signal, env })
  } catch (error) {
    problem = error
  }
  const failed = checks.results.filter((check) => !check.ok)
  const keep = context.flags['keep'] === true && problem === undefined
  if (!keep) {
    lab.kill('SIGTERM')
    await progress.step('end the lab', () => ended)
    await rm(folder, { recursive: true, force: true })
  } else lab.unref()
  signal.throwIfAborted()
  const took = duration(performance.now() - began)
  context.result(report(checks.results, took, keep ? site : undefined), {
    ok: problem === undefined && failed.length === 0,
    checks: checks.results,
    tookSeconds: Math.round((performance.now() - began) / 1000),
    ...(keep ? { site } : {})
  })
  if (problem !== undefined) {
    const failure = problem instanceof Failure ? problem : undefined
    if (failure === undefined && !(problem instanceof Error && checks.results.some((check) => check.detail === problem.message))) throw problem
    process.stderr.write(`error ${failure?.code ?? 'check-failed'}: ${(problem as Error).message}\n${failure ? `→ ${failure.hint}\n` : ''}`)
  }
  return problem === undefined && failed.length === 0 ? 0 : 1
}

/** Resolves with connection.json once the lab has set itself up; rejects when it ended instead. */
async function labAnswers(file: string, ended: Promise<number>, log: string, signal: AbortSignal): Promise<any> {
  let code: number | undefined
  void ended.then((exit) => { code = exit })
  for (;;) {
    signal.throwIfAborted()
    if (code !== undefined) throw new Failure('lab-failed', `the lab ended with exit code ${code}:\n${lastLines(log, 15)}`, 'See what it says above.')
    // Another process writes it, so there is no event to wait for; it is complete once the token is in it.
    const connection = existsSync(file) ? JSON.parse(await readFile(file, 'utf8')) as { token?: string } : {}
    if (connection.token !== undefined) return connection
    await delay(200)
  }
}

/** Ends a demo that still runs and removes its folder. @returns whether there was one */
async function endDemo(folder: string, { progress }: VerbContext): Promise<boolean> {
  const socket = join(folder, 'lab', 'control.sock')
  if (!existsSync(folder)) return false
  if (existsSync(socket)) {
    await progress.step('end the demo that runs', async () => {
      const asked = await control(socket).stop().then(() => true, () => false) // refused: the process is gone, the socket's file is not
      while (asked && existsSync(socket)) await delay(100)
    })
  }
  await rm(folder, { recursive: true, force: true })
  return true
}

function report(results: readonly CheckResult[], took: string, site: string | undefined): string {
  const lines = results.map((check) => `  ${check.ok ? '✓' : '✗'} ${check.name} (${duration(check.seconds * 1000)})${check.ok ? '' : `\n      ${check.detail ?? ''}`}`)
  const failed = results.filter((check) => !check.ok).length
  return [
    '', 'What was checked:', ...lines, '',
    failed === 0 ? `All ${results.length} checks held, in ${took}.` : `${failed} of ${results.length} checks failed, in ${took}.`,
    ...(site === undefined ? [] : [
      '', 'It is left running:',
      `  export GOLDEN_SITE=${site}`,
      '  npx golden status                                  # URL, health, where the credentials are',
      '  npx golden client claude-code --show-password      # settings for your client',
      '  npm run demo -- --stop                             # ends it and removes all of it'
    ])
  ].join('\n')
}
