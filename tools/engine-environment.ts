import { copyFile, link, mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { entryFolder, keyOf, obtain, toolCache, type Entry } from './cache.ts'
import type { PreparedEnvironment } from './environment.ts'
import { identities } from './identities.ts'
import { PINS, type Tool } from './pins.ts'
import { currentPlatform } from './platform.ts'
import { lockFileName, packageHash, renderLock } from './provider-lock.ts'
import { ownConfiguration, registries, type EngineName } from './registry.ts'
import { keepLock, readLock } from './site-lock.ts'
import { ensureTools, type ToolOptions } from './start.ts'
import { findTerraform } from './terraform.ts'

export interface EngineOptions extends ToolOptions {
  /** Which program applies the stacks. A Terraform is never provided, only used if it is on PATH. @default 'tofu' */
  readonly engine?: EngineName | undefined
  /** The site folder, which keeps what the registry has had (`.terraform.lock.hcl`). @default none is kept */
  readonly site?: string | undefined
}

/**
 * Provides the engine and the provider, and a folder in the cache that ties them together: the provider lies in a file
 * system mirror, with a lock that says which it is, and a CLI configuration points there. Who has a CLI configuration of
 * their own (TF_CLI_CONFIG_FILE) keeps that one: then the folder is the engine's plugin cache.
 * @throws Failure
 */
export async function prepareEngine(options: EngineOptions): Promise<PreparedEnvironment> {
  const cache = options.cacheDir ?? toolCache()
  const name = options.engine ?? 'tofu'
  const found = name === 'terraform' ? (await findTerraform(options.searchPath ?? process.env.PATH ?? '', cache)).path : undefined
  const locked = options.site === undefined ? undefined : await readLock(options.site)
  const tools = await ensureTools(['terraform-provider-proxmox', ...(found ? [] : ['tofu' as const])], {
    ...options,
    cacheDir: cache,
    lock: locked,
    engineAt: found === undefined ? undefined : { name, path: found },
  })
  const provider = tools['terraform-provider-proxmox']
  const engine = found ?? tools.tofu.path
  const address = `${registries[name]}/${(options.pins ?? PINS)['terraform-provider-proxmox'].registry}`
  const parts = { engine, provider: provider.path }
  const entry: Entry = { root: cache, name: 'environment', key: keyOf({ layout: '2', name, ...(await identities(parts)) }) }
  const folder = entryFolder(entry)
  await obtain(
    entry,
    async (target) => {
      await mkdir(join(target, 'bin'))
      await symlink(engine, join(target, 'bin', name))
      const unpacked = join(target, 'providers', address, provider.version, currentPlatform())
      await unpack(provider, unpacked)
      // As the engine wrote it of what a registry has; of anything else, what lies here.
      const here = async (): Promise<string> => renderLock(address, { version: provider.version, hashes: [await packageHash(unpacked)] })
      await writeFile(join(target, lockFileName), provider.lock ?? (await here()))
      // The final path: the folder is renamed into place after this.
      await writeFile(join(target, 'cli.tfrc'), cliConfiguration(join(folder, 'providers'), address))
      return parts
    },
    { signal: options.signal },
  )
  if (options.site !== undefined && provider.lock !== undefined) await keepLock(options.site, locked, provider.lock, address)
  const own = await ownConfiguration(process.env, cache)
  return {
    binDir: join(folder, 'bin'),
    variables: {
      ...(own === undefined
        ? { TF_CLI_CONFIG_FILE: join(folder, 'cli.tfrc') }
        : { TF_CLI_CONFIG_FILE: own, TF_PLUGIN_CACHE_DIR: join(folder, 'providers') }),
      TERRAFORM_BINARY_NAME: name,
      GOLDEN_PROVIDER_LOCK: join(folder, lockFileName),
      // Terraform shall not ask HashiCorp for newer versions.
      CHECKPOINT_DISABLE: '1',
    },
  }
}

/** A provider comes from the mirror or not at all, others as usual. @param address e.g. `registry.opentofu.org/bpg/proxmox` */
export function cliConfiguration(mirrorFolder: string, address: string): string {
  const ours = JSON.stringify([address])
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

/**
 * The unpacked layout of a file system mirror, and of a plugin cache: HOST/NAMESPACE/TYPE/VERSION/TARGET. Of a package
 * that a registry has given every file, because its hash is of all of them.
 */
async function unpack(provider: Tool, target: string): Promise<void> {
  await mkdir(target, { recursive: true })
  const from = dirname(provider.path)
  const files = provider.origin === 'registry' ? await readdir(from) : [`terraform-provider-proxmox_v${provider.version}`]
  for (const name of files) {
    const source = provider.origin === 'registry' ? join(from, name) : provider.path
    // A second name for the same file where that is possible; from PATH it may be on another file system.
    await link(source, join(target, name)).catch(() => copyFile(source, join(target, name)))
  }
}
