import type { Report } from './events.ts'
import type { Platform, ToolName } from './pins.ts'
import type { EngineName } from './registry.ts'
import type { Keys } from './signed-sums.ts'
import type { Sources } from './sources.ts'

/** The program that fetches providers, and for which. */
export interface EngineAt {
  readonly name: EngineName
  readonly path: string
}

/** Where tools come from and go to. */
export interface Surroundings {
  readonly cache: string
  /** A PATH variable. */
  readonly path: string
  readonly platform: Platform
  readonly sources: Sources
  /** Of those who sign releases. */
  readonly keys: Keys
  readonly engineName: EngineName
  /** The engine, once it is there. */
  readonly engine: () => Promise<EngineAt>
  /** The site's lock of providers, as it stands. */
  readonly lock?: string | undefined
  readonly report: Report
  readonly signal?: AbortSignal | undefined
}

/** Tells that another process is at it. */
export function waiting(name: ToolName, around: Surroundings): { onWait(pid: number): void; signal: AbortSignal | undefined } {
  let since: number | undefined
  return {
    signal: around.signal,
    onWait(pid) {
      if (since === undefined) {
        since = performance.now()
        around.report({ type: 'began', tool: name, action: 'wait', text: `process ${pid} is providing it already, waiting for that` })
      } else {
        around.report({ type: 'progress', tool: name, text: `waiting for process ${pid}`, elapsedMs: performance.now() - since })
      }
    },
  }
}
