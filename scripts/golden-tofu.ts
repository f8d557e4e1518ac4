/**
 * The engine for people who run it themselves, directly or through `cdktn`: the same program, with the site's token
 * and Proxmox's CA in its environment, and nowhere else.
 */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { failureOf, starter } from '../core/child.ts'
import { childEnvironment, dropSteering } from '../core/environment.ts'
import { Failure } from '../core/failure.ts'
import { silent } from '../core/progress.ts'
import { engineEnvironment, lockProvider } from '../rollout/engine.ts'
import { loadSite, siteFolder } from '../settings/load.ts'
import { openProxmox } from './open.ts'
import { programEnvironment } from './programs.ts'

/** What never talks to Proxmox gets no token: it works before `golden setup` too. */
const offline = new Set([
  'version',
  '-version',
  '--version',
  'init',
  'fmt',
  'validate',
  'providers',
  'output',
  'show',
  'state',
  'workspace',
  'get',
  'graph',
  'force-unlock',
])

async function environmentFor(args: readonly string[]): Promise<{ engine: string; env: NodeJS.ProcessEnv }> {
  const command = args.find((word) => !word.startsWith('-chdir')) ?? 'version'
  const never = new AbortController().signal
  if (offline.has(command)) {
    const folder = siteFolder(process.env)
    const site = await loadSite(folder).catch(() => undefined)
    const engine = site?.engine ?? 'tofu'
    return {
      engine,
      env: {
        ...childEnvironment(process.env, (name) => /^(TF_(IN_AUTOMATION|INPUT|HTTP_.*)|AWS_.*|PG.*)$/.test(name)),
        ...(await programEnvironment(
          { site: { engine, programs: site?.programs ?? {} }, folder: site === undefined ? undefined : folder },
          ['engine'],
          silent,
          never,
        )),
        TF_WORKSPACE: 'default',
      },
    }
  }
  const { proxmox, ...open } = await openProxmox(process.env, { progress: silent, signal: never })
  proxmox.close()
  const environment = await programEnvironment(open, ['engine'], silent, never)
  return { engine: open.site.engine, env: engineEnvironment({ ...open, environment }, process.env) }
}

/** `providers lock`, which cdktn calls, looks past the CLI configuration for providers, onto the internet. */
function withMirror(args: readonly string[], env: NodeJS.ProcessEnv): string[] {
  const [command, what, ...rest] = args
  const lock = env.GOLDEN_PROVIDER_LOCK
  return command === 'providers' && what === 'lock' && lock !== undefined
    ? [command, what, `-fs-mirror=${join(dirname(lock), 'providers')}`, ...rest]
    : [...args]
}

/** As `golden deploy` does, in a stack's own folder. */
async function sayWhichProvider(args: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  if (args[0] === 'init' && existsSync('cdk.tf.json')) await lockProvider('.', env)
}

dropSteering(process.env)
const args = process.argv.slice(2)
try {
  const { engine, env } = await environmentFor(args)
  await sayWhichProvider(args, env)
  const child = (await starter())(engine, withMirror(args, env), { env, stdio: 'inherit' })
  process.on('SIGINT', () => {})
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal))
  const ended = await child
  if (ended.exitCode === undefined && ended.signal === undefined) throw failureOf(engine, ended)
  process.exitCode = ended.exitCode ?? 130
} catch (error) {
  if (!(error instanceof Failure)) throw error
  console.error(error.toText())
  process.exitCode = error.exitCode
}
