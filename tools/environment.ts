import { copyFile, link, mkdir, stat, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { ChildFailure, run } from '../core/child.ts'
import { childEnvironment } from '../core/environment.ts'
import { entryFolder, keyOf, obtain, toolCache, type Entry } from './cache.ts'
import { Failure } from '../core/failure.ts'
import type { Tool } from './pins.ts'
import { ensureTools, type ToolOptions } from './start.ts'
import { executables } from './path.ts'
import { currentPlatform } from './platform.ts'
import { askVersion, suits } from './version.ts'

export type Engine = 'tofu' | 'terraform'

export interface EnvironmentOptions extends ToolOptions {
  /** Which program applies the stacks. A Terraform is never provided, only used if it is on PATH. @default 'tofu' */
  readonly engine?: Engine | undefined
}

export interface PreparedEnvironment {
  readonly engine: { readonly name: Engine; readonly version: string; readonly path: string }
  /** Folder with `packer` and the engine, to be put in front of PATH. */
  readonly binDir: string
  /** What else to set. No secret among it. */
  readonly variables: Readonly<Record<string, string>>
}

/** The oldest Terraform that has what the stacks use (`terraform_data` came with 1.4, provider functions with 1.8). */
const OLDEST_TERRAFORM = '1.8.0'

/** Both engines' names of the provider: a bare `bpg/proxmox` means the first to Terraform, the second to OpenTofu. */
const PROVIDERS = ['registry.terraform.io/bpg/proxmox', 'registry.opentofu.org/bpg/proxmox'] as const

/**
 * Provides Packer, its plugin, the engine and the provider, and a folder in the cache that ties them together: Packer's
 * plugin is installed there, the provider lies in a file system mirror, and a CLI configuration file points to that.
 * @throws Failure
 */
export async function prepareEnvironment(options: EnvironmentOptions = {}): Promise<PreparedEnvironment> {
  const cache = options.cacheDir ?? toolCache()
  const name = options.engine ?? 'tofu'
  const found = name === 'terraform' ? await findTerraform(options.searchPath ?? process.env.PATH ?? '', cache) : undefined
  const tools = await ensureTools(['packer', 'packer-plugin-proxmox', 'terraform-provider-proxmox', ...(found ? [] : ['tofu' as const])], {
    ...options,
    cacheDir: cache,
  })
  const engine = found ?? { path: tools.tofu.path, version: tools.tofu.version }
  const parts = {
    packer: tools.packer.path,
    plugin: tools['packer-plugin-proxmox'].path,
    provider: tools['terraform-provider-proxmox'].path,
    engine: engine.path,
  }
  const entry: Entry = { root: cache, name: 'environment', key: keyOf({ layout: '1', name, ...(await identities(parts)) }) }
  const folder = entryFolder(entry)
  await obtain(
    entry,
    async (target) => {
      await mkdir(join(target, 'bin'))
      await symlink(tools.packer.path, join(target, 'bin', 'packer'))
      await symlink(engine.path, join(target, 'bin', name))
      await installPlugin(tools.packer, tools['packer-plugin-proxmox'], join(target, 'packer-plugins'))
      for (const provider of PROVIDERS) await mirror(tools['terraform-provider-proxmox'], join(target, 'providers', provider))
      // The final path: the folder is renamed into place after this.
      await writeFile(join(target, 'cli.tfrc'), cliConfiguration(join(folder, 'providers')))
      return parts
    },
    { signal: options.signal },
  )
  return {
    engine: { name, ...engine },
    binDir: join(folder, 'bin'),
    variables: {
      PACKER_PLUGIN_PATH: join(folder, 'packer-plugins'),
      TF_CLI_CONFIG_FILE: join(folder, 'cli.tfrc'),
      TERRAFORM_BINARY_NAME: name,
      // Neither Packer nor Terraform shall ask HashiCorp for newer versions.
      CHECKPOINT_DISABLE: '1',
    },
  }
}

/**
 * The same as variables for a child process: `{ ...process.env, ...(await toolEnvironment()) }`. PATH is complete.
 * @throws Failure
 */
export async function toolEnvironment(options: EnvironmentOptions = {}): Promise<Record<string, string>> {
  const { binDir, variables } = await prepareEnvironment(options)
  return { ...variables, PATH: `${binDir}:${options.searchPath ?? process.env.PATH ?? ''}` }
}

/**
 * A provider comes from the mirror or not at all, others as usual. Credentials in a user's own CLI configuration are not
 * read then (`TF_TOKEN_…` variables are): see "CLI Configuration File" in either engine's documentation.
 */
export function cliConfiguration(mirrorFolder: string): string {
  const ours = JSON.stringify(PROVIDERS)
  return `provider_installation {
  filesystem_mirror {
    path    = ${JSON.stringify(mirrorFolder)}
    include = ${ours}
  }
  direct {
    exclude = ${ours}
  }
}
`
}

/** @throws Failure `terraform-missing` */
export async function findTerraform(path: string, cache: string): Promise<{ path: string; version: string }> {
  const ask = { args: ['version'], pattern: /^Terraform v(\S+)/m }
  const refused: string[] = []
  for (const file of await executables('terraform', path, cache)) {
    const version = await askVersion(file, ask)
    if (version !== undefined && suits(OLDEST_TERRAFORM, version, 'major')) return { path: file, version }
    refused.push(`${file} is ${version ?? 'unusable'}`)
  }
  throw new Failure(
    'terraform-missing',
    `the site asks for Terraform, but none from ${OLDEST_TERRAFORM} on is on PATH${refused.length === 0 ? '' : ` (${refused.join(', ')})`}`,
    'Install Terraform, or use OpenTofu, which comes by itself.',
  )
}

async function installPlugin(packer: Tool, plugin: Tool, folder: string): Promise<void> {
  await mkdir(folder)
  const env = { ...childEnvironment(process.env), PACKER_PLUGIN_PATH: folder, CHECKPOINT_DISABLE: '1' }
  const argv = ['plugins', 'install', '--path', plugin.path, 'github.com/hashicorp/proxmox']
  await run(packer.path, argv, { env, timeoutMs: 120_000, label: 'packer plugins install' }).catch((error: unknown) => {
    if (!(error instanceof ChildFailure)) throw error
    throw new Failure(
      'plugin-not-installable',
      `packer refuses its Proxmox plugin ${plugin.version}: ${error.message}`,
      'Take other programs of these names off PATH.',
      { cause: error },
    )
  })
}

/** The unpacked layout of a file system mirror: HOST/NAMESPACE/TYPE/VERSION/TARGET/terraform-provider-TYPE_vVERSION. */
async function mirror(provider: Tool, folder: string): Promise<void> {
  const target = join(folder, provider.version, currentPlatform(), `terraform-provider-proxmox_v${provider.version}`)
  await mkdir(dirname(target), { recursive: true })
  // A second name for the same file where that is possible; from PATH it may be on another file system.
  await link(provider.path, target).catch(() => copyFile(provider.path, target))
}

/** Programs on PATH can be exchanged without another path: size and time tell. */
async function identities(paths: Readonly<Record<string, string>>): Promise<Record<string, string>> {
  const pairs = Object.entries(paths).map(async ([name, path]) => {
    const { size, mtimeMs } = await stat(path)
    return [name, `${path} ${size} ${mtimeMs}`] as const
  })
  return Object.fromEntries(await Promise.all(pairs))
}
