import type { Origin, Tool, ToolName } from './pins.ts'

/** What happens while tools are provided. Core code only reports these; progress.ts shows them. */
export type ToolEvent =
  /** Work that takes a while has begun. */
  | { readonly type: 'began'; readonly tool: ToolName; readonly action: 'download' | 'build' | 'wait'; readonly text: string }
  /** About once a second while it goes on; `elapsedMs` counts from its beginning. */
  | { readonly type: 'progress'; readonly tool: ToolName; readonly text: string; readonly elapsedMs: number }
  /** Why a way to the tool was not taken. */
  | { readonly type: 'skipped'; readonly tool: ToolName; readonly origin: Origin; readonly text: string }
  /** The tool is there. `elapsedMs` is 0 if there was nothing to do. */
  | { readonly type: 'ready'; readonly tool: Tool; readonly elapsedMs: number }

export type Report = (event: ToolEvent) => void

/**
 * Reports progress once a second while `work` runs, so that nothing is silent for long.
 * `text` is asked for each time and says what is going on right now.
 */
export async function withProgress<T>(report: Report, tool: ToolName, text: () => string, work: () => Promise<T>): Promise<T> {
  const began = performance.now()
  const timer = setInterval(() => report({ type: 'progress', tool, text: text(), elapsedMs: performance.now() - began }), 1000)
  timer.unref()
  try {
    return await work()
  } finally {
    clearInterval(timer)
  }
}
