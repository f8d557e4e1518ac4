import { mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { ChildFailure, run } from '../core/child.ts'
import { childEnvironment } from '../core/environment.ts'
import { Failure } from '../core/failure.ts'
import { entryFolder, keyOf, obtain, toolCache, type Entry } from './cache.ts'
import type { PreparedEnvironment } from './environment.ts'
import { identities } from './identities.ts'
import type { Tool } from './pins.ts'
import { ensureTools, type ToolOptions } from './start.ts'

/** Provides Packer and its plugin, which is installed in a folder of the cache. @throws Failure */
export async function preparePacker(options: ToolOptions): Promise<PreparedEnvironment> {
  const cache = options.cacheDir ?? toolCache()
  const { packer, 'packer-plugin-proxmox': plugin } = await ensureTools(['packer', 'packer-plugin-proxmox'], options)
  const parts = { packer: packer.path, plugin: plugin.path }
  const entry: Entry = { root: cache, name: 'environment', key: keyOf({ layout: '2', ...(await identities(parts)) }) }
  await obtain(
    entry,
    async (target) => {
      await mkdir(join(target, 'bin'))
      await symlink(packer.path, join(target, 'bin', 'packer'))
      await installPlugin(packer, plugin, join(target, 'packer-plugins'))
      return parts
    },
    { signal: options.signal },
  )
  const folder = entryFolder(entry)
  return {
    binDir: join(folder, 'bin'),
    // Packer shall not ask HashiCorp for newer versions.
    variables: { PACKER_PLUGIN_PATH: join(folder, 'packer-plugins'), CHECKPOINT_DISABLE: '1' },
  }
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
