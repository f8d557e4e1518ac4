/** Runs the CDKTF app and the engine behind it (OpenTofu or Terraform), and turns what they say into notes and failures. */
import { createHash } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { compileCacheFolder } from '../core/compile-cache.ts'
import { childEnvironment } from '../core/environment.ts'
import { directTo, hostOf } from '../core/proxy.ts'
import { Failure } from '../core/failure.ts'
import { isFailureCode } from '../core/failures.ts'
import type { Progress } from '../core/progress.ts'
import { runGuarded } from '../core/guarded.ts'
import { inScratch } from '../core/scratch.ts'
import { saysFull, saysProtected, storageFullHint } from '../proxmox/conditions.ts'
import { variablesOfSites } from '../settings/load.ts'
import { readPins } from '../releases/pins.ts'
import { stackInputVariable, type StackInput } from '../releases/stack-input.ts'
import { handedInSecrets } from '../settings/handed-in.ts'
import type { Site } from '../settings/site.ts'
import { claimHeld, type SiteClaim } from './claim.ts'

export interface EngineOptions {
  readonly site: Site
  /** The site folder. */
  readonly folder: string
  /** Variables for the engine: PATH, TF_CLI_CONFIG_FILE, … (tools/). No secret. */
  readonly environment: Readonly<Record<string, string>>
  readonly token: { readonly id: string; readonly secret: string }
  readonly caFile: string | undefined
  readonly signal: AbortSignal
  readonly claim: SiteClaim
  readonly progress: Pick<Progress, 'warn'>
}

/** One change that a plan would make. */
export interface PlannedChange {
  readonly address: string
  readonly action: string
}

export interface Engine {
  /** Writes all stacks anew. */
  synth(): Promise<void>
  init(stack: string): Promise<void>
  /** What would change. If anything would, the plan is kept for `apply` or `discard`. */
  plan(stack: string, note: (text: string) => void): Promise<readonly PlannedChange[]>
  /** Removes a plan that is not going to be applied. */
  discard(stack: string): Promise<void>
  apply(stack: string, note: (text: string) => void): Promise<void>
  /** Destroys all of a stack, after running the hooks. */
  destroy(stack: string, note: (text: string) => void): Promise<void>
  /** Addresses of what the state knows. */
  listState(stack: string): Promise<readonly string[]>
  /** Takes addresses out of the state; nothing is destroyed. */
  forget(stack: string, addresses: readonly string[]): Promise<void>
  /** Takes what there is into the state, as this address; nothing of it is changed. @param id as the provider's documentation has it */
  adopt(stack: string, address: string, id: string): Promise<void>
  /** Takes the state's lock and gives it back. @throws Failure `state-locked` while a run on another computer holds it */
  tryLock(stack: string): Promise<void>
}

const project = join(import.meta.dirname, '..')

export function openEngine(options: EngineOptions): Engine {
  const { site, folder, signal, claim, progress } = options
  const outdir = join(folder, 'state', 'cdktf.out')
  const stackFolder = (stack: string): string => join(outdir, 'stacks', stack)
  const env: NodeJS.ProcessEnv = { ...engineEnvironment(options, process.env), ...claimHeld }
  const secrets = [options.token.secret]
  const run = (stack: string, args: readonly string[], heard: (line: string) => void): Promise<Ended> =>
    runProgram(site.engine, args, { cwd: stackFolder(stack), env, signal, secrets, heard, claim })
  const planFile = 'golden.tfplan'
  const discard = (stack: string): Promise<void> => rm(join(stackFolder(stack), planFile), { force: true })

  async function json(
    stack: string,
    what: string,
    args: readonly string[],
    note: (text: string) => void,
    changes: PlannedChange[] = [],
  ): Promise<void> {
    const listener = new EngineListener(note, (text) => progress.warn(text), changes)
    const ended = await run(stack, args, (line) => listener.line(line))
    signal.throwIfAborted()
    if (ended.exitCode !== 0) throw listener.failure(stack, what, ended.exitCode)
  }

  return {
    async synth() {
      await mkdir(outdir, { recursive: true, mode: 0o700 })
      const lines: string[] = []
      const compiled = compileCacheFolder(process.env)
      const given: StackInput = { site, deployment: await readPins(folder), folder }
      const ended = await inScratch(async (scratch) => {
        // Each run has its own: groups side by side may be at it, and the pins of one of them be newer.
        const input = join(scratch, 'stack-input.json')
        await writeFile(input, JSON.stringify(given), { mode: 0o600 })
        return runProgram(process.execPath, [join(project, 'main.ts')], {
          cwd: project,
          env: {
            ...childEnvironment(process.env),
            [stackInputVariable]: input,
            CDKTF_OUTDIR: outdir,
            CHECKPOINT_DISABLE: '1',
            ...(compiled === undefined ? {} : { NODE_COMPILE_CACHE: compiled }),
          },
          signal,
          secrets,
          heard: (line) => lines.push(line),
        })
      })
      signal.throwIfAborted()
      if (ended.exitCode !== 0)
        throw new Failure('synth-failed', `the stacks can't be written:\n${lines.join('\n')}`, 'Mend what it names.')
    },
    async init(stack) {
      // What an initialisation depends on. It takes as long as a plan, and nearly always nothing has changed.
      const { terraform } = JSON.parse(await readFile(join(stackFolder(stack), 'cdk.tf.json'), 'utf8')) as { terraform: unknown }
      const locked = env.GOLDEN_PROVIDER_LOCK === undefined ? '' : await readFile(env.GOLDEN_PROVIDER_LOCK, 'utf8')
      const now = createHash('sha256')
        .update(JSON.stringify([terraform, site.engine, env.TF_CLI_CONFIG_FILE, locked]))
        .digest('hex')
      const stamp = join(stackFolder(stack), '.terraform', 'golden-init')
      if ((await readFile(stamp, 'utf8').catch(() => '')) === now) return
      await rm(stamp, { force: true })
      await lockProvider(stackFolder(stack), env)
      const lines: string[] = []
      const ended = await run(stack, ['init', '-input=false', '-no-color', '-reconfigure'], (line) => lines.push(line))
      signal.throwIfAborted()
      if (ended.exitCode !== 0)
        throw new Failure(
          'engine-init-failed',
          `${site.engine} init of ${stack} failed:\n${lines
            .filter((line) => line.trim() !== '')
            .slice(-20)
            .join('\n')}`,
          'Check the backend in site.ts. The provider itself comes with "golden".',
        )
      await writeFile(stamp, now)
    },
    async plan(stack, note) {
      const changes: PlannedChange[] = []
      try {
        // A plan names all settings of a VM; it lies beside the state, in the same private folder.
        await json(stack, 'plan', ['plan', '-json', '-input=false', `-out=${planFile}`], note, changes)
      } catch (error) {
        // The engine writes down a plan with errors, too.
        await discard(stack)
        throw error
      }
      if (changes.length === 0) await discard(stack)
      return changes
    },
    discard,
    async apply(stack, note) {
      try {
        // One after another: clones of one template lock each other out.
        await json(stack, 'apply', ['apply', '-json', '-input=false', '-auto-approve', '-parallelism=1', planFile], note)
      } finally {
        await discard(stack)
      }
    },
    destroy: (stack, note) => json(stack, 'destroy', ['destroy', '-json', '-input=false', '-auto-approve', '-parallelism=1'], note),
    async listState(stack) {
      const lines: string[] = []
      const ended = await run(stack, ['state', 'list'], (line) => lines.push(line))
      signal.throwIfAborted()
      const text = lines.join('\n')
      if (ended.exitCode === 0) return lines.filter((line) => /^[\w.[\]"-]+$/.test(line))
      if (/No state file was found/.test(text)) return []
      throw new Failure('state-unreadable', `the state of ${stack} can't be read:\n${text}`, 'Check the backend in site.ts.')
    },
    async forget(stack, addresses) {
      const lines: string[] = []
      const ended = await run(stack, ['state', 'rm', ...addresses], (line) => lines.push(line))
      signal.throwIfAborted()
      if (ended.exitCode !== 0) throw stateFailure(stack, lines)
    },
    async adopt(stack, address, id) {
      const lines: string[] = []
      const ended = await run(stack, ['import', '-input=false', '-no-color', address, id], (line) => lines.push(line))
      signal.throwIfAborted()
      if (ended.exitCode !== 0) throw stateFailure(stack, lines)
    },
    async tryLock(stack) {
      const lines: string[] = []
      // Neither engine has a command for the lock alone. This one takes it, and names nothing that there is.
      const ended = await run(stack, ['state', 'rm', '-dry-run', 'terraform_data.none'], (line) => lines.push(line))
      signal.throwIfAborted()
      if (ended.exitCode !== 0 && !/No state file was found/.test(lines.join('\n'))) throw stateFailure(stack, lines)
    },
  }
}

/**
 * The engine's own note of which provider it has to be, by its checksums. What it has there would hold on to the provider
 * of an earlier installation: which one it is now is said by tools/ alone.
 */
export async function lockProvider(stackFolder: string, { GOLDEN_PROVIDER_LOCK: lock }: NodeJS.ProcessEnv): Promise<void> {
  const file = join(stackFolder, '.terraform.lock.hcl')
  await rm(file, { force: true })
  if (lock !== undefined) await writeFile(file, await readFile(lock))
}

function stateFailure(stack: string, lines: readonly string[]): Failure {
  const text = lines.join('\n')
  return (
    lockFailure(stack, `the state of ${stack}`, text) ??
    new Failure('state-unwritable', `the state of ${stack} can't be changed:\n${text}`, 'Check the backend in site.ts.')
  )
}

/** The provider's own words (bpg/proxmox, proxmox/api), its trouble with certificates aside. */
const saysUnanswered = (text: string): boolean =>
  /failed to (perform|read) HTTP [A-Z]+ (request|response body)(?!.*(x509|certificate))|received an HTTP (50[234]|59[5679]) response/.test(
    text,
  )

function lockFailure(stack: string, what: string, text: string): Failure | undefined {
  if (!/acquiring the state lock/i.test(text)) return undefined
  return new Failure(
    'state-locked',
    `${what}: another run holds the lock of its state:\n${text}`,
    `Wait for that run to end. If there is certainly none any more: "eval "$(npx golden env)"", then force-unlock with that ID in state/cdktf.out/stacks/${stack}.`,
  )
}

/** What a remote backend signs in with (their documentation, "Credentials and Sensitive Data"). */
const backendVariables: Readonly<Record<Site['backend']['type'], RegExp>> = { local: /^$/, http: /^TF_HTTP_/, s3: /^AWS_/, pg: /^PG/ }

/** Those that the site itself reads: the hooks, which the engine starts, read it again. */
function siteVariables(site: Site): (name: string) => boolean {
  const secrets = [site.proxmox.token, ...handedInSecrets(site)]
  const named = secrets.flatMap((ref) => (ref.kind === 'env' ? [ref.name] : []))
  const names = new Set([...named, ...variablesOfSites()])
  return (name) => names.has(name)
}

/**
 * Of the caller's environment what the engine, its provider, its backend and the hooks need, with the token and the CA.
 * Proxmox's API is reached directly whatever proxy is set. Always the default workspace: another one, by TF_WORKSPACE or
 * chosen in a stack's folder, would have a state of its own, in which nothing is known of what runs.
 */
export function engineEnvironment(
  { site, folder, environment, token, caFile }: Pick<EngineOptions, 'site' | 'folder' | 'environment' | 'token' | 'caFile'>,
  env: NodeJS.ProcessEnv,
): NodeJS.ProcessEnv {
  const direct = directTo(hostOf(site.proxmox.url), env)
  const backend = backendVariables[site.backend.type]
  const named = siteVariables(site)
  return {
    ...childEnvironment(env, (name) => backend.test(name) || named(name)),
    ...environment,
    TF_WORKSPACE: 'default',
    NO_PROXY: direct,
    no_proxy: direct,
    GOLDEN_SITE: folder,
    CHECKPOINT_DISABLE: '1',
    TF_IN_AUTOMATION: '1',
    PROXMOX_VE_API_TOKEN: `${token.id}=${token.secret}`,
    // Go reads these instead of the system's own (crypto/x509). A remote backend needs the system's CAs as well.
    ...(caFile === undefined ? {} : { SSL_CERT_FILE: caFile, ...(site.backend.type === 'local' ? { SSL_CERT_DIR: '/nonexistent' } : {}) }),
  }
}

interface Ended {
  readonly exitCode: number
}

interface ProgramOptions {
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
  readonly signal: AbortSignal
  /** Never shown, wherever they turn up. */
  readonly secrets: readonly string[]
  readonly heard: (line: string) => void
  /** Learns of a program that changes things even when this process is killed. */
  readonly claim?: SiteClaim
}

/** Runs a program to its end. On cancellation it is asked once to stop: the engine then ends what it is at and writes its state. */
async function runProgram(
  program: string,
  args: readonly string[],
  { cwd, env, signal, secrets, heard, claim }: ProgramOptions,
): Promise<Ended> {
  signal.throwIfAborted()
  const hidden = (line: string): void => heard(secrets.reduce((text, secret) => text.replaceAll(secret, '…'), line))
  let running: number | undefined
  const started = async (pid: number): Promise<void> => {
    running = pid
    await claim?.engineBegins(pid)
  }
  try {
    const exitCode = await runGuarded({ program, args, cwd, env, signal, heard: hidden, started })
    if (exitCode === 127)
      throw new Failure('engine-missing', `${program} can't be started`, 'Run the verb as "npx golden …": it provides the engine.')
    return { exitCode }
  } finally {
    if (running !== undefined) await claim?.engineEnded(running)
  }
}

interface EngineMessage {
  readonly '@message'?: string
  readonly type?: string
  readonly change?: { readonly resource?: { readonly addr?: string }; readonly action?: string }
  readonly hook?: {
    readonly resource?: { readonly addr?: string }
    readonly output?: string
    readonly action?: string
    readonly elapsed_seconds?: number
  }
  readonly diagnostic?: { readonly severity?: string; readonly summary?: string; readonly detail?: string; readonly address?: string }
}

/** Reads the engine's `-json` lines (OpenTofu's "Machine-Readable UI"). */
export class EngineListener {
  readonly #note: (text: string) => void
  readonly #warn: (text: string) => void
  readonly #changes: PlannedChange[]
  readonly #errors: { readonly summary: string; readonly detail: string; readonly address: string | undefined }[] = []
  readonly #output: string[] = []
  readonly #plain: string[] = []

  /** @param warn gets what a hook warns of: unlike a note it stays on the screen */
  constructor(note: (text: string) => void, warn: (text: string) => void, changes: PlannedChange[]) {
    this.#note = note
    this.#warn = warn
    this.#changes = changes
  }

  line(text: string): void {
    let message: EngineMessage
    try {
      message = JSON.parse(text) as EngineMessage
    } catch {
      this.#plain.push(text)
      return
    }
    switch (message.type) {
      case 'planned_change': {
        const { resource, action } = message.change ?? {}
        if (action !== undefined && action !== 'read') this.#changes.push({ address: resource?.addr ?? '', action })
        break
      }
      case 'provision_progress': {
        const output = (message.hook?.output ?? '').trim()
        // How a hook is called is nothing that anybody wants to read; what it says is.
        if (output !== '' && !output.startsWith('Executing: [')) {
          this.#output.push(output)
          const warning = /^warning: (.*)$/s.exec(output)?.[1]
          if (warning === undefined) this.#note(output)
          else this.#warn(warning)
        }
        break
      }
      case 'diagnostic':
        if (message.diagnostic?.severity === 'error')
          this.#errors.push({
            summary: message.diagnostic.summary ?? '',
            detail: message.diagnostic.detail ?? '',
            address: message.diagnostic.address,
          })
        break
      case 'apply_start':
      case 'apply_progress':
      case 'apply_complete':
      case 'refresh_start':
        // It is said once, after ten seconds, and would stand there for minutes.
        this.#note((message['@message'] ?? '').replace(/ \[\S+ elapsed\]$/, ''))
    }
  }

  failure(stack: string, what: string, exitCode = 1): Failure {
    // A hook's own words are in its output; the engine only says that it exited with 1.
    const hookError = this.#output.findLastIndex((line) => /^error [a-z-]+: /.test(line))
    if (hookError >= 0) {
      const [, code = '', message = ''] = /^error ([a-z-]+): (.*)$/s.exec(this.#output.slice(hookError).join('\n')) ?? []
      const [text = '', hint = ''] = message.split(/\n→ /)
      if (isFailureCode(code)) return new Failure(code, text, hint.split('\n')[0] || 'Run the same command again: it goes on from there.')
    }
    const texts = this.#errors.map(
      ({ summary, detail, address }) =>
        `${address === undefined ? '' : `${address}: `}${detail.trim() === '' ? summary : /precondition/i.test(summary) ? detail.trim() : `${summary}: ${detail.trim()}`}`,
    )
    const refused = this.#errors.some(({ summary }) => /precondition|cannot be destroyed/i.test(summary))
    const text = texts.length > 0 ? texts.join('\n') : this.#plain.slice(-20).join('\n')
    const locked = lockFailure(stack, `${what} of ${stack}`, text)
    if (locked !== undefined) return locked
    if (saysUnanswered(text))
      return new Failure(
        'proxmox-unreachable',
        `${what} of ${stack}: Proxmox did not answer the provider:\n${text}`,
        'Run the same command again: it looks first, and goes on from what it finds.',
        { lost: true },
      )
    if (exitCode > 128 && texts.length === 0)
      return new Failure(
        'engine-killed',
        `${what} of ${stack}: the engine was ended from outside (exit code ${exitCode})${text === '' ? '' : `:\n${text}`}`,
        'If nobody did that, the computer may have run out of memory. Run the same command again: it goes on from there.',
      )
    // Between the hook that took the protection off and the provider's DELETE another run has handed the VM the data.
    if (saysProtected(text))
      return new Failure(
        'changed-meanwhile',
        `${what} of ${stack}: another run has just given the VM its data again, and Proxmox does not delete it:\n${text}`,
        'See who else is at it ("npx golden status"), then run the same command again: it looks anew. The data is safe.',
      )
    if (saysFull(text)) return new Failure('storage-full', `${what} of ${stack}: a storage is full: ${text}`, storageFullHint)
    return refused
      ? new Failure('plan-refused', text, 'Nothing was changed.')
      : new Failure(
          'engine-failed',
          `${what} of ${stack} failed:\n${text}`,
          'Mend what it names, then run the same command again: it goes on from there.',
        )
  }
}
