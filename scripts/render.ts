/** Shows progress: live on a terminal, plain lines elsewhere, always on standard error. */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Progress } from '../core/progress.ts'

export interface Screen {
  readonly isTTY: boolean
  /** Width of the terminal at this moment. @default 80 */
  columns?(): number | undefined
  write(text: string): void
}

/** `0.4 s`, `12 s`, `3 min 05 s` */
export function duration(ms: number): string {
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.round(ms / 1000)
  return seconds < 120 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`
}

const heartbeatMs = 15_000

/** As many characters as fit, those of East Asia being two wide. Control characters would move the cursor. */
function cut(text: string, columns: number): string {
  let left = columns
  let end = ''
  for (const character of text.replaceAll(/\p{Cc}/gu, ' ')) {
    left -= /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Extended_Pictographic}/u.test(
      character,
    )
      ? 2
      : 1
    if (left < 0) break
    end += character
  }
  return end
}

/** A step that is at work; what it says is on the screen as long as none within it is. */
interface ActiveStep {
  readonly title: string
  readonly depth: number
  readonly began: number
  readonly within: ActiveStep | undefined
  latest: string
  /** When a line of it was last written, where lines are not changed. */
  shown: number
}

/**
 * Steps may be side by side: each line stands where its own step is, and the line that changes tells of all of them.
 * @param now milliseconds, monotonic
 */
export function renderer(screen: Screen, now: () => number = () => performance.now()): Progress {
  const current = new AsyncLocalStorage<ActiveStep>()
  const active = new Set<ActiveStep>()
  const line = (text: string, depth = current.getStore()?.depth ?? 0): void =>
    screen.write(`${screen.isTTY ? '\r\x1b[K' : ''}${'  '.repeat(depth)}${text}\n`)
  const innermost = (): ActiveStep[] => [...active].filter((step) => ![...active].some(({ within }) => within === step))
  const said = ({ began, latest }: ActiveStep): string => `${duration(now() - began)}${latest === '' ? '' : ` · ${latest}`}`
  const show = (): void => {
    const steps = innermost()
    if (screen.isTTY) {
      const text = steps.map((step) => (steps.length === 1 ? said(step) : `${step.title}: ${said(step)}`)).join(' | ')
      // A line that wraps can't be taken back.
      screen.write(`\r\x1b[K${cut(`${'  '.repeat(steps[0]?.depth ?? 0)}${text}`, (screen.columns?.() ?? 80) - 1)}`)
      return
    }
    // Those outside of it, too: they take long together.
    for (const step of active) {
      if (now() - step.shown < heartbeatMs) continue
      step.shown = now()
      line(`${step.title}: ${said(step)}`, step.depth)
    }
  }
  let beat: NodeJS.Timeout | undefined
  return {
    async step(title, work) {
      const within = current.getStore()
      const depth = within?.depth ?? 0
      line(`${title} …`)
      const step: ActiveStep = { title, depth: depth + 1, began: now(), within, latest: '', shown: now() }
      active.add(step)
      beat ??= setInterval(show, screen.isTTY ? 500 : 1000).unref()
      const end = (mark: string): void => {
        active.delete(step)
        if (active.size === 0) {
          clearInterval(beat)
          beat = undefined
        }
        line(`${mark} ${title} (${duration(now() - step.began)})`, depth)
      }
      try {
        const value = await current.run(step, () =>
          work((note) => {
            step.latest = note.split('\n')[0] ?? ''
            show()
          }),
        )
        end('✓')
        return value
      } catch (error) {
        end('✗')
        throw error
      }
    },
    info: (text) => line(text),
    warn: (text) => line(`warning: ${text}`),
  }
}
