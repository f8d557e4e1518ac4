/** A provider out of its registry, fetched by the engine, kept in the cache with the lock that the engine has written of it. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Failure } from '../core/failure.ts'
import { entriesOf, entryFolder, keyOf, obtain, type Entry } from './cache.ts'
import { withProgress } from './events.ts'
import type { Pin, Tool, ToolName } from './pins.ts'
import { lockedProvider, type LockedProvider } from './provider-lock.ts'
import { fetchProvider, ownConfiguration, registries } from './registry.ts'
import { waiting, type Surroundings } from './surroundings.ts'

/** In an entry: the package as it was unpacked. */
const packageFolder = 'package'

/** What the site has recorded of this version; what it has of another is out of date. */
export function recorded({ registry, version }: Pin, { lock, engineName }: Surroundings): LockedProvider | undefined {
  if (registry === undefined || lock === undefined) return undefined
  const found = lockedProvider(lock, `${registries[engineName]}/${registry}`)
  return found?.version === version ? found : undefined
}

/** What the cache has of it, unless the site has recorded another. */
export async function cachedProvider(name: ToolName, pin: Pin, around: Surroundings): Promise<Tool | undefined> {
  if (pin.registry === undefined) return undefined
  const locked = recorded(pin, around)
  for (const { entry, notes } of await entriesOf(around.cache, name)) {
    const { origin, version, host, platform, hash = '' } = notes
    if (origin !== 'registry' || version !== pin.version || host !== registries[around.engineName] || platform !== around.platform) continue
    if (locked === undefined || locked.hashes.includes(hash)) return toolAt(name, pin, entry, notes)
  }
  return undefined
}

/**
 * Undefined when the registry can't be reached, or what it has is refused; that is reported.
 * @throws Failure `provider-changed` when it is not what the site has recorded
 */
export async function provideFromRegistry(name: ToolName, pin: Pin, around: Surroundings): Promise<Tool | undefined> {
  const { registry: source, version } = pin
  if (source === undefined) return undefined
  const { platform, sources, signal } = around
  const host = registries[around.engineName]
  const lock = recorded(pin, around) === undefined ? undefined : around.lock
  const entry: Entry = { root: around.cache, name, key: keyOf({ host, source, version, platform, lock: lock ?? '' }) }
  try {
    const engine = await around.engine()
    const notes = await obtain(
      entry,
      async (folder) => {
        const text = `${engine.name} fetches ${source} ${version}, as ${host} has it`
        around.report({ type: 'began', tool: name, action: 'download', text })
        const work = join(folder, 'work')
        const configuration = await ownConfiguration(process.env, around.cache)
        const got = await withProgress(
          around.report,
          name,
          () => text,
          () =>
            fetchProvider({ engine, source, version, platform, lock, sources, configuration, signal }, work, join(folder, packageFolder)),
        )
        await rm(work, { recursive: true })
        return { version, origin: 'registry', host, platform, hash: got.hash, vouched: got.vouched, lock: got.lock }
      },
      waiting(name, around),
    )
    return toolAt(name, pin, entry, notes)
  } catch (error) {
    if (signal?.aborted || !(error instanceof Failure) || error.code === 'provider-changed') throw error
    around.report({ type: 'skipped', tool: name, origin: 'registry', text: error.message })
    return undefined
  }
}

const toolAt = (name: ToolName, pin: Pin, entry: Entry, { lock = '' }: Readonly<Record<string, string>>): Tool => ({
  name,
  version: pin.version,
  path: join(entryFolder(entry), packageFolder, pin.path?.command ?? name),
  origin: 'registry',
  lock,
})
