/** Runs Packer: its variables, its environment, and what it says as notes. */
import { Failure } from '../core/failure.ts'
import { runGuarded } from '../core/guarded.ts'
import type { BuildOutcome } from './explain.ts'

/** The variables of golden.pkr.hcl. No secret is among them. */
export interface PackerVariables {
  readonly proxmox_url: string
  readonly node: string
  readonly pool: string
  readonly vm_id: number
  readonly vm_name: string
  readonly base_name: string
  readonly template_name: string
  readonly template_description: string
  readonly cores: number
  readonly memory: number
  readonly bridge: string
  readonly vlan: string
  readonly mac: string
  /** Volume id of the seed. */
  readonly seed: string
  readonly ssh_host: string
  readonly ssh_key_file: string
  readonly ssh_timeout: string
  readonly socks_host: string
  readonly socks_port: number
  /** Folder of the provisioner scripts. */
  readonly scripts: string
  /** Small files for the guest's memory. */
  readonly inputs: readonly string[]
  /** Archives that are unpacked at the guest's root. */
  readonly archives: readonly string[]
  /** For the SBOM (packer/sbom.ts): where the guest's archive is put, the file that is made of it, and by which command. */
  readonly inventory: string
  readonly sbom: string
  readonly sbom_command: string
}

export interface PackerRun {
  readonly command: 'build' | 'validate'
  readonly template: string
  /** A JSON file with the variables. */
  readonly variablesFile: string
  /** A folder of this run only: Packer's own files go there, not to the user's home. */
  readonly workFolder: string
  /** Where Packer and its plugin are: PATH, PACKER_PLUGIN_PATH, … (tools/). */
  readonly environment: Readonly<Record<string, string>>
  readonly token: { readonly id: string; readonly secret: string }
  readonly caFile: string | undefined
  readonly signal: AbortSignal
  readonly note: (text: string) => void
  /** It is about to run, as this process. */
  readonly started?: (pid: number) => Promise<void>
}

/**
 * @returns the outcome, whatever it is
 * @throws Failure `packer-missing`
 */
export async function runPacker(run: PackerRun): Promise<BuildOutcome> {
  const heard = new Listener(run)
  const exitCode = await runGuarded({
    program: 'packer',
    args: [run.command, ...(run.command === 'build' ? ['-machine-readable'] : []), `-var-file=${run.variablesFile}`, run.template],
    cwd: run.workFolder,
    env: environmentOf(run),
    signal: run.signal,
    heard: (line) => heard.line(line),
    ...(run.started === undefined ? {} : { started: run.started }),
  })
  const outcome = heard.outcome(exitCode)
  if (exitCode === 127 && outcome.errors.length === 0)
    throw new Failure('packer-missing', 'Packer is not on PATH', 'Run the verb as "npx golden …": it provides Packer.')
  return outcome
}

/** Only what Packer needs: a proxy of the user's would be one for Proxmox's API too, which is reached directly. */
function environmentOf(run: PackerRun): Record<string, string> {
  const kept = Object.fromEntries(
    ['PATH', 'HOME', 'LANG', 'USER'].flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  )
  return {
    ...kept,
    ...run.environment,
    TMPDIR: run.workFolder,
    PACKER_CONFIG_DIR: run.workFolder,
    PACKER_CACHE_DIR: run.workFolder,
    CHECKPOINT_DISABLE: '1',
    NO_COLOR: '1',
    PROXMOX_USERNAME: run.token.id,
    PROXMOX_TOKEN: run.token.secret,
    // Go trusts these instead of the system's (crypto/x509): only the site's CA, as our own client does.
    ...(run.caFile === undefined ? {} : { SSL_CERT_FILE: run.caFile, SSL_CERT_DIR: run.workFolder }),
  }
}

/** Reads Packer's machine-readable lines: `time,target,type,data…` with escaped commas and line ends. */
export class Listener {
  readonly #lines: string[] = []
  readonly #errors: string[] = []
  readonly #failedChecks: string[] = []
  readonly #packages: Record<string, string> = {}
  readonly #sizes: Record<string, number> = {}
  readonly #note: (text: string) => void
  readonly #secret: string
  #failure: BuildOutcome['failure']

  constructor(options: { readonly note: (text: string) => void; readonly token: { readonly secret: string } }) {
    this.#note = options.note
    this.#secret = options.token.secret
  }

  line(raw: string): void {
    const text = raw.replaceAll(this.#secret, '…')
    const [time = '', , type = '', ...data] = text.split(',').map(unescaped)
    if (!/^\d+$/.test(time)) return this.#said(text)
    if (type === 'ui') {
      const [kind = '', message = ''] = data
      for (const line of message.split('\n')) this.#said(line)
      if (kind === 'error') this.#errors.push(plain(message))
    }
    if (type === 'error') this.#errors.push(plain(data[0] ?? ''))
  }

  outcome(exitCode: number): BuildOutcome {
    return {
      exitCode,
      lines: this.#lines,
      errors: [...new Set(this.#errors)],
      packages: this.#packages,
      sizes: this.#sizes,
      failedChecks: this.#failedChecks,
      failure: this.#failure,
    }
  }

  #said(raw: string): void {
    const text = plain(raw)
    if (text === '') return
    const [, name, version = ''] = /^golden-package (\S+) (\S+)$/.exec(text) ?? []
    // Hundreds of them: nobody is shown these.
    if (name !== undefined) return void (this.#packages[name] = version)
    const [, what, bytes] = /^golden-size (\S+) (\d+)$/.exec(text) ?? []
    if (what !== undefined) return void (this.#sizes[what] = Number(bytes))
    this.#lines.push(text)
    const failed = /^golden-check FAILED (.*)$/.exec(text)
    if (failed) this.#failedChecks.push(failed[1] ?? '')
    const failure = /^golden-failure ([a-z-]+): (.*)$/.exec(text)
    if (failure) this.#failure = { code: failure[1] ?? '', text: failure[2] ?? '' }
    this.#note(text.replace(/^golden: /, ''))
  }
}

const unescaped = (text: string): string => text.replaceAll('%!(PACKER_COMMA)', ',').replaceAll('\\n', '\n').replaceAll('\\r', '')

/** Without colours, and without the name of the only build in front. */
const plain = (text: string): string =>
  text
    .replaceAll(/\u001B\[[0-9;]*m/g, '')
    .replace(/^(==> )?\s*proxmox-clone\.golden: ?/, '')
    .replace(/^==> /, '')
    .trim()
