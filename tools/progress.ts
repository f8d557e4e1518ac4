import type { Report, ToolEvent } from './events.ts'
import type { Origin } from './pins.ts'

/** Without a terminal one line in this time is enough to see that it goes on. */
const HEARTBEAT_MS = 15_000

const ORIGINS: Readonly<Record<Origin, string>> = {
  path: 'found on PATH',
  release: 'official release',
  registry: 'from its registry',
  built: 'built from source',
}

/** One line, without its end. */
export function describe(event: ToolEvent): string {
  switch (event.type) {
    case 'began':
      return `tools: ${event.tool}: ${event.text}`
    case 'progress':
      return `tools: ${event.tool}: ${seconds(event.elapsedMs)}: ${event.text}`
    case 'skipped':
      return `tools: ${event.tool}: ${whyNot(event)}`
    case 'ready': {
      const time = event.elapsedMs < 2000 ? '' : `, ${seconds(event.elapsedMs)}`
      return `tools: ${event.tool.name} ${event.tool.version} ready (${ORIGINS[event.tool.origin]}${time})`
    }
  }
}

const ways: Readonly<Record<Origin, string>> = {
  path: 'not from PATH',
  release: 'not the release',
  registry: 'not from its registry',
  built: 'not built',
}

/** Why a way to a tool was not taken. */
export const whyNot = ({ origin, text }: Extract<ToolEvent, { type: 'skipped' }>): string => `${ways[origin]}: ${text}`

/** For logs and CI: every event but progress is a line, progress one every 15 s for each tool. */
export function plainLines(write: (line: string) => void): Report {
  const last = new Map<string, number>()
  return (event) => {
    if (event.type === 'progress') {
      if (event.elapsedMs - (last.get(event.tool) ?? 0) < HEARTBEAT_MS) return
      last.set(event.tool, event.elapsedMs)
    } else if (event.type === 'began') {
      last.delete(event.tool)
    }
    write(describe(event))
  }
}

/** For a terminal: progress overwrites its own line. */
export function terminalLines(stream: { write(text: string): unknown; readonly columns?: number }): Report {
  return (event) => {
    const text = describe(event)
    const width = stream.columns ?? 80
    stream.write(event.type === 'progress' ? `\r\x1b[2K${text.slice(0, width - 1)}` : `\r\x1b[2K${text}\n`)
  }
}

const seconds = (ms: number): string => `${Math.round(ms / 1000)} s`
