/** Starts to provide the tools that somebody needs, those that have to be built one after another. */
import { toolCache } from './cache.ts'
import type { Report } from './events.ts'
import { PINS, TOOL_NAMES, type Pin, type Tool, type ToolName } from './pins.ts'
import { currentPlatform } from './platform.ts'
import { plainLines, whyNot } from './progress.ts'
import { provideByBuild, provideFromHere, provideWithoutBuild } from './provide.ts'
import { ownKeys, type Keys } from './signed-sums.ts'
import { sourcesOf, type Sources } from './sources.ts'
import type { EngineAt, Surroundings } from './surroundings.ts'

export interface ToolOptions {
  /** Gets plain lines, at least every 15 s while something goes on. @default nothing is shown */
  readonly log?: ((line: string) => void) | undefined
  /** Gets every event, for a renderer of one's own. */
  readonly report?: Report | undefined
  /** Ends downloads and builds; nothing half made stays. */
  readonly signal?: AbortSignal | undefined
  /** @default `${XDG_CACHE_HOME:-~/.cache}/serena-golden/tools` */
  readonly cacheDir?: string | undefined
  /** Where to look for installed programs. @default this process's PATH */
  readonly searchPath?: string | undefined
  /** Where releases come from. @default what this process's GOLDEN_TOOLS_MIRROR and GOLDEN_TOOLS_FOLDER say */
  readonly sources?: Sources | undefined
  /** @default PINS */
  readonly pins?: Readonly<Record<ToolName, Pin>> | undefined
  /** @default those of tools/keys */
  readonly keys?: Keys | undefined
  /** Who fetches providers. @default the OpenTofu that is provided */
  readonly engineAt?: EngineAt | undefined
  /** The site's lock of providers, as it stands. @default none */
  readonly lock?: string | undefined
}

/**
 * Begins to provide the tools and returns a promise for each, so that a caller can go on with what is there. What needs
 * no compiling comes at once; builds go one after another, in the order of TOOL_NAMES, since each uses all cores.
 * A promise rejects with Failure.
 */
export function startTools<Name extends ToolName>(names: readonly Name[], options: ToolOptions = {}): Record<Name, Promise<Tool>> {
  const { pins = PINS, engineAt } = options
  const results: Partial<Record<ToolName, Promise<Tool>>> = {}
  const tofu = async (): Promise<EngineAt> => ({ name: 'tofu', path: (await (results.tofu ?? ensureTool('tofu', options))).path })
  const around = surroundings(options, () => (engineAt === undefined ? tofu() : Promise.resolve(engineAt)))
  let turn: Promise<unknown> = Promise.resolve()
  for (const name of TOOL_NAMES) {
    if (!(names as readonly ToolName[]).includes(name)) continue
    let began = performance.now()
    const pin = pins[name]
    const passedOver: string[] = []
    const noting = { ...around, report: noted(around.report, passedOver) }
    const easy = provideWithoutBuild(name, pin, noting)
    const previous = turn
    const own = easy.then(async (tool) => {
      if (tool !== undefined) return tool
      await previous
      began = performance.now()
      around.signal?.throwIfAborted()
      return provideByBuild(name, pin, passedOver, around)
    })
    results[name] = own.then((tool) => {
      around.report({ type: 'ready', tool, elapsedMs: performance.now() - began })
      return tool
    })
    // The next one's turn comes however this one ended; who asked for it hears of a failure through the result.
    turn = Promise.allSettled([previous, results[name]])
  }
  return results as Record<Name, Promise<Tool>>
}

/** Provides several tools. The first failure ends what else is under way. @throws Failure */
export async function ensureTools<Name extends ToolName>(names: readonly Name[], options: ToolOptions = {}): Promise<Record<Name, Tool>> {
  const stop = new AbortController()
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([stop.signal, options.signal])
  const started = startTools(names, { ...options, signal })
  try {
    const tools: readonly Tool[] = await Promise.all(names.map((name) => started[name]))
    return Object.fromEntries(tools.map((tool) => [tool.name, tool] as const)) as Record<ToolName, Tool>
  } catch (error) {
    stop.abort()
    await Promise.allSettled(Object.values(started))
    throw error
  }
}

/** Provides one tool. @throws Failure */
export async function ensureTool(name: ToolName, options: ToolOptions = {}): Promise<Tool> {
  return (await ensureTools([name], options))[name]
}

/** For whoever only looks. */
export const nothingFetched = (): Promise<never> => Promise.reject(new Error('nothing is fetched'))

/** Whether these tools are on PATH or in the cache, so that providing them costs nothing. */
export async function haveTools(names: readonly ToolName[], options: ToolOptions = {}): Promise<boolean> {
  const around = surroundings(options, nothingFetched)
  const { pins = PINS } = options
  const found = await Promise.all(names.map((name) => provideFromHere(name, pins[name], around)))
  return found.every((tool) => tool !== undefined)
}

/** For whom nothing is left in the end: each way that was passed over, and why. */
function noted(report: Report, passedOver: string[]): Report {
  return (event) => {
    if (event.type === 'skipped') passedOver.push(whyNot(event))
    report(event)
  }
}

/** @param engine gives the engine that fetches providers, once it is there */
export function surroundings(options: ToolOptions, engine: Surroundings['engine']): Surroundings {
  const lines = options.log === undefined ? undefined : plainLines(options.log)
  return {
    cache: options.cacheDir ?? toolCache(),
    path: options.searchPath ?? process.env.PATH ?? '',
    platform: currentPlatform(),
    sources: options.sources ?? sourcesOf(process.env),
    keys: options.keys ?? ownKeys,
    engineName: options.engineAt?.name ?? 'tofu',
    engine,
    lock: options.lock,
    report: (event) => {
      options.report?.(event)
      lines?.(event)
    },
    signal: options.signal,
  }
}
