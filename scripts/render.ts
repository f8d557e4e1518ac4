/** Shows progress: live on a terminal, plain lines elsewhere, always on standard error. */
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

/**
 * @param now milliseconds, monotonic
 */
export function renderer(screen: Screen, now: () => number = () => performance.now()): Progress {
  let depth = 0
  const line = (text: string): void => screen.write(`${screen.isTTY ? '\r\x1b[K' : ''}${'  '.repeat(depth)}${text}\n`)
  return {
    async step(title, work) {
      const began = now()
      let latest = ''
      let shown = began
      line(`${title} …`)
      depth += 1
      const show = (): void => {
        // A line that wraps can't be taken back.
        if (screen.isTTY)
          screen.write(
            `\r\x1b[K${cut(`${'  '.repeat(depth)}${duration(now() - began)}${latest === '' ? '' : ` · ${latest}`}`, (screen.columns?.() ?? 80) - 1)}`,
          )
        else if (now() - shown >= heartbeatMs) {
          shown = now()
          line(`${title}: ${duration(now() - began)}${latest === '' ? '' : ` · ${latest}`}`)
        }
      }
      const beat = setInterval(show, screen.isTTY ? 500 : 1000)
      beat.unref()
      const end = (mark: string): void => {
        clearInterval(beat)
        depth -= 1
        line(`${mark} ${title} (${duration(now() - began)})`)
      }
      try {
        const value = await work((note) => {
          latest = note.split('\n')[0] ?? ''
          show()
        })
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
