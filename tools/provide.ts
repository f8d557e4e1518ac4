import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { build, buildKey, MODULES } from './build.ts'
import { entriesOf, entryFolder, keyOf, lookUp, obtain, type Entry } from './cache.ts'
import { withProgress } from './events.ts'
import { Failure } from '../core/failure.ts'
import { findGo, type Go } from './go.ts'
import { searchPath } from './path.ts'
import type { Origin, Pin, Tool, ToolName } from './pins.ts'
import { downloadRelease } from './release.ts'
import { cachedProvider, provideFromRegistry, recorded } from './provider.ts'
import { addressOf, fileNameOf, inFolder } from './sources.ts'
import { waiting, type Surroundings } from './surroundings.ts'
import { unavailable } from './unavailable.ts'
import { askVersion } from './version.ts'

/** The name of the executable in the cache; OpenTofu and Terraform want a provider's version in it. */
const fileName = (name: ToolName, pin: Pin): string => pin.path?.command ?? name

/** What is there already: a program on PATH, or what the cache has. Nothing is loaded or made. */
export async function provideFromHere(name: ToolName, pin: Pin, around: Surroundings): Promise<Tool | undefined> {
  const { found, refused } = await searchPath(pin, around.path, around.cache)
  for (const text of refused) around.report({ type: 'skipped', tool: name, origin: 'path', text })
  if (found !== undefined) return { name, version: found.version, path: found.path, origin: 'path' }

  const released = releaseEntryOf(name, pin, around)
  if (released !== undefined && (await lookUp(released)) !== undefined) return inCache(name, pin, released, 'release', around)

  const fetched = await cachedProvider(name, pin, around)
  if (fetched !== undefined) return fetched
  // Of a site that has recorded what its registry had, that is wanted, and a build only when there is no way to it.
  return recorded(pin, around) === undefined ? builtBefore(name, pin, around) : undefined
}

/** What was built here from the same inputs, by whichever Go that was: it takes a compiler to build, none to find. */
async function builtBefore(name: ToolName, pin: Pin, around: Surroundings): Promise<Tool | undefined> {
  if (pin.canBuild === false) return undefined
  const found: { readonly entry: Entry; readonly family: string }[] = []
  for (const { entry, notes } of await entriesOf(around.cache, name)) {
    if (notes.origin !== 'built' || notes.go === undefined) continue
    if (entry.key === (await buildKey(pin.go, around.platform, { family: notes.go }))) found.push({ entry, family: notes.go })
  }
  const [newest] = found.sort((a, b) => b.family.localeCompare(a.family, 'en', { numeric: true }))
  return newest && inCache(name, pin, newest.entry, 'built', around)
}

/** The ways that cost no compiling: what is there already, or the official release. Undefined if none leads there. */
export async function provideWithoutBuild(name: ToolName, pin: Pin, around: Surroundings): Promise<Tool | undefined> {
  const here = await provideFromHere(name, pin, around)
  if (here !== undefined) return here

  if (pin.registry !== undefined) return (await provideFromRegistry(name, pin, around)) ?? builtBefore(name, pin, around)
  const skipped = (origin: Origin, text: string): void => around.report({ type: 'skipped', tool: name, origin, text })
  const release = pin.releases[around.platform]
  const releaseEntry = releaseEntryOf(name, pin, around)
  if (release === undefined || releaseEntry === undefined) {
    skipped('release', `neither a SHA-256 nor a signing key is pinned for an official release of ${pin.version} for ${around.platform}`)
    return undefined
  }
  let arrived = 'connecting'
  try {
    await obtain(
      releaseEntry,
      async (folder) => {
        const brought = await inFolder(fileNameOf(release.url), around.sources)
        const text = brought === undefined ? `downloading ${addressOf(release.url, around.sources)}` : `taking ${brought}`
        around.report({ type: 'began', tool: name, action: 'download', text })
        const target = await binary(folder, name, pin)
        const onBytes = (received: number, total?: number): void => {
          arrived = `${megabytes(received)}${total === undefined ? '' : ` of ${megabytes(total)}`} MB downloaded`
        }
        const { sources, keys, signal } = around
        const vouched = await withProgress(
          around.report,
          name,
          () => arrived,
          () => downloadRelease(release, folder, target, keys, { sources, onBytes, signal }),
        )
        const version = release.version ?? pin.version
        await verify(name, pin, version, target)
        return { version, origin: 'release', from: release.url, sha256: vouched.sha256, vouched: vouched.by }
      },
      waiting(name, around),
    )
    return inCache(name, pin, releaseEntry, 'release', around)
  } catch (error) {
    // Whoever stops it may give a Failure as the reason.
    if (around.signal?.aborted || !(error instanceof Failure)) throw error
    // Building is as safe as the release: Go checks every module against go.sum.
    skipped('release', error.message)
    return undefined
  }
}

/**
 * The last way: compile it.
 * @param passedOver why the others did not lead there, for whoever has no Go either
 * @throws Failure
 */
export async function provideByBuild(name: ToolName, pin: Pin, passedOver: readonly string[], around: Surroundings): Promise<Tool> {
  if (pin.canBuild === false) throw unavailable(name, pin, around.platform, passedOver, undefined)
  const go = await findGo(join(MODULES, pin.go.module)).catch((error: Failure) => {
    throw unavailable(name, pin, around.platform, passedOver, error)
  })
  const entry = await buildEntry(name, pin, go, around)
  await obtain(
    entry,
    async (folder) => {
      around.report({ type: 'began', tool: name, action: 'build', text: `building ${pin.go.package} ${pin.version} with ${go.family}` })
      const target = await binary(folder, name, pin)
      let step = 'looking at its modules'
      const onStep = (text: string): void => {
        step = text
      }
      await withProgress(
        around.report,
        name,
        () => step,
        () => build(pin.go, go, target, join(folder, 'work'), { onStep, signal: around.signal }),
      )
      await verify(name, pin, pin.version, target)
      return { version: pin.version, origin: 'built', from: pin.go.package, go: go.family }
    },
    waiting(name, around),
  )
  return inCache(name, pin, entry, 'built', around)
}

function releaseEntryOf(name: ToolName, pin: Pin, around: Surroundings): Entry | undefined {
  const release = pin.releases[around.platform]
  // Without a pinned digest it is whatever its publisher has signed by that name.
  return release && { root: around.cache, name, key: keyOf({ sha256: release.sha256 ?? release.url, entry: release.entry }) }
}

async function buildEntry(name: ToolName, pin: Pin, go: Go, around: Surroundings): Promise<Entry> {
  return { root: around.cache, name, key: await buildKey(pin.go, around.platform, go) }
}

async function binary(folder: string, name: ToolName, pin: Pin): Promise<string> {
  await mkdir(join(folder, 'bin'))
  return join(folder, 'bin', fileName(name, pin))
}

const inCache = (name: ToolName, pin: Pin, entry: Entry, origin: Origin, { platform }: Surroundings): Tool => ({
  name,
  version: (origin === 'release' ? pin.releases[platform]?.version : undefined) ?? pin.version,
  path: join(entryFolder(entry), 'bin', fileName(name, pin)),
  origin,
})

/** A program that doesn't start, or is another version than its file name said, is better found out now. */
async function verify(name: ToolName, pin: Pin, wanted: string, path: string): Promise<void> {
  if (pin.ask === undefined) return
  // Ours, and perhaps still cold: it gets all the time it needs.
  const version = await askVersion(path, pin.ask, 60_000)
  if (version !== wanted) {
    throw new Failure(
      'wrong-version',
      `${name} should be ${wanted}, but says ${version ?? 'nothing'}`,
      'Correct the pins in tools/pins.ts and tools/go.',
    )
  }
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1)
