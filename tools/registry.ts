/** The provider by the engine's own means: `init` in a folder of its own, which checks the registry's signature and a lock. */
import { access, cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { failureOf, starter } from '../core/child.ts'
import { childEnvironment } from '../core/environment.ts'
import { Failure } from '../core/failure.ts'
import { endOfGroup } from './group.ts'
import type { Platform } from './pins.ts'
import { lockFileName, lockedProvider, packageHash } from './provider-lock.ts'
import { inFolder, type Sources } from './sources.ts'

export type EngineName = 'tofu' | 'terraform'

/** A bare `bpg/proxmox` means the first to Terraform, the second to OpenTofu. */
export const registries: Readonly<Record<EngineName, string>> = { terraform: 'registry.terraform.io', tofu: 'registry.opentofu.org' }

export interface ProviderRequest {
  readonly engine: { readonly name: EngineName; readonly path: string }
  /** e.g. `bpg/proxmox` */
  readonly source: string
  readonly version: string
  readonly platform: Platform
  /** What the site has locked: it has to be that. */
  readonly lock: string | undefined
  readonly sources: Sources
  /** The user's own CLI configuration. */
  readonly configuration: string | undefined
  readonly signal: AbortSignal | undefined
}

export interface FetchedProvider {
  /** The lock file that the engine has written. */
  readonly lock: string
  /** The `h1:` hash of the package. */
  readonly hash: string
  /** In the engine's words, e.g. `signed, key ID …`. Mirrors have no signatures. */
  readonly vouched: string
}

/** More than any download takes; a registry that does not answer is given up by the engine itself within half a minute. */
const longestMs = 15 * 60_000

/** The user's own CLI configuration, if TF_CLI_CONFIG_FILE names one that is there, and not ours: as after `golden env`. */
export async function ownConfiguration(env: NodeJS.ProcessEnv, cache: string): Promise<string | undefined> {
  const { TF_CLI_CONFIG_FILE: file = '' } = env
  return file !== '' && !file.startsWith(`${cache}/`) && (await isThere(file)) ? file : undefined
}

/**
 * Has the engine install the provider below `work`, and puts its package to `target`. Where it comes from: the offline
 * folder, else what the user's own CLI configuration says, else the mirror, else the registry.
 * @throws Failure `provider-changed` when it is not what the lock says; `provider-unreachable`, `provider-unsigned`
 */
export async function fetchProvider(request: ProviderRequest, work: string, target: string): Promise<FetchedProvider> {
  const { engine, source, version, platform, lock } = request
  const address = `${registries[engine.name]}/${source}`
  await mkdir(work)
  await writeFile(join(work, 'main.tf.json'), JSON.stringify({ terraform: { required_providers: { it: { source, version } } } }))
  if (lock !== undefined) await writeFile(join(work, lockFileName), lock)
  const { config, isOwn } = await configure(request, address, work)
  const said = await init(request, work, config)
  const folder = join(work, '.terraform', 'providers', ...address.split('/'), version, platform)
  if (!(await isThere(folder)))
    throw new Failure('provider-unreachable', `${engine.name} has installed no ${source} ${version}: dev_overrides?`, hint)
  const vouched = /- Installed \S+ v\S+ \(([^)]+)\)/.exec(said)?.[1] ?? 'unauthenticated'
  // Of what a registry has, one always says by whose key. A mirror that somebody has set up vouches itself, or a lock does.
  if (!/\bsigned\b/.test(vouched) && !isOwn && lock === undefined)
    throw new Failure('provider-unsigned', `${address} ${version} comes without a signature: it is refused`, hint)
  // A copy without links: with a plugin cache in the user's configuration it is one.
  await cp(folder, target, { recursive: true, dereference: true })
  const written = await readFile(join(work, lockFileName), 'utf8')
  const hash = await packageHash(target)
  if (lockedProvider(written, address)?.hashes.includes(hash) !== true)
    throw new Failure('provider-changed', `${address} ${version} is ${hash}, which is not what ${engine.name} has locked`, hint)
  return { lock: written, hash, vouched }
}

const hint = "Check this computer's way to the registry: HTTPS_PROXY, TF_CLI_CONFIG_FILE, GOLDEN_TOOLS_MIRROR, GOLDEN_TOOLS_FOLDER."

/** Which CLI configuration the engine gets; none: the user's usual one (`~/.tofurc`, `~/.terraformrc`), if any. */
async function configure(
  { engine, source, version, platform, sources, configuration: own }: ProviderRequest,
  address: string,
  work: string,
): Promise<{ readonly config: string | undefined; readonly isOwn: boolean }> {
  const generated = async (installation: string): Promise<{ config: string; isOwn: boolean }> => {
    const config = join(work, 'cli.tfrc')
    await writeFile(config, `provider_installation {\n${installation}}\n`)
    return { config, isOwn: true }
  }
  const file = `terraform-provider-${source.split('/')[1]}_${version}_${platform}.zip`
  const brought = (await inFolder(file, sources)) ?? (await inFolder(join(address, file), sources))
  if (brought !== undefined) {
    const mirror = join(work, 'mirror')
    await mkdir(join(mirror, address), { recursive: true })
    await symlink(brought, join(mirror, address, file))
    return generated(`  filesystem_mirror {\n    path = ${JSON.stringify(mirror)}\n  }\n`)
  }
  if (own !== undefined) return { config: own, isOwn: true }
  if (sources.mirror !== undefined)
    return generated(`  network_mirror {\n    url = ${JSON.stringify(`${sources.mirror.replace(/\/+$/, '')}/`)}\n  }\n`)
  const usual = [...(engine.name === 'tofu' ? ['.tofurc'] : []), '.terraformrc']
  const found = await Promise.all(usual.map((name) => isThere(join(process.env.HOME ?? homedir(), name))))
  return { config: undefined, isOwn: found.includes(true) }
}

/** @returns what it has printed. @throws Failure */
async function init({ engine, source, version, signal }: ProviderRequest, work: string, config: string | undefined): Promise<string> {
  const start = await starter()
  const ending = signal === undefined ? AbortSignal.timeout(longestMs) : AbortSignal.any([signal, AbortSignal.timeout(longestMs)])
  const child = start(engine.path, ['init', '-backend=false', '-input=false', '-no-color'], {
    cwd: work,
    env: {
      // Tokens for a registry or a mirror of one's own are the engine's to know, and how patient it is.
      ...childEnvironment(process.env, (name) => /^(TF_TOKEN_\w+|TF_REGISTRY_\w+|TF_PROVIDER_DOWNLOAD_RETRY|NETRC)$/.test(name)),
      ...(config === undefined ? {} : { TF_CLI_CONFIG_FILE: config }),
      CHECKPOINT_DISABLE: '1',
      TF_IN_AUTOMATION: '1',
    },
    stdin: 'ignore',
    all: true,
    detached: true,
  })
  const ended = await endOfGroup(child, ending)
  signal?.throwIfAborted()
  const said = ended.all
  if (!ended.failed) return said
  const why = plain(said) || failureOf(`${engine.name} init`, { ...ended, stdout: '', stderr: '' }).message
  // It breaks its lines where it likes.
  if (/any\s+of\s+the\s+checksums\s+previously\s+recorded/.test(said))
    throw new Failure(
      'provider-changed',
      `${source} ${version} is not the one that the site's ${lockFileName} has recorded: ${why}`,
      `Find out why before you use it. If it is what you want, remove ${lockFileName} from the site folder: the next run records it anew.`,
    )
  throw new Failure('provider-unreachable', why, hint)
}

/** Its complaint in a line: what stands after "Error:", without a frame around it. */
function plain(said: string): string {
  const text = said.slice(Math.max(0, said.indexOf('Error:')))
  const lines = text.split('\n').map((line) => line.replace(/^[│╷╵\s]+/, '').trim())
  return lines
    .filter((line) => line !== '')
    .slice(0, 8)
    .join(' ')
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )
