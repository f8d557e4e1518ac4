/** What to do now: a verb's last words, right for the state that it leaves. Pure. */

export interface NextStep {
  /** As one would type it. */
  readonly command: string
  /** What that is for. */
  readonly why: string
}

export const step = (command: string, why: string): NextStep => ({ command: `npx golden ${command}`, why })

/** For people. */
export function nextLines(steps: readonly NextStep[]): string[] {
  if (steps.length === 0) return []
  const column = Math.max(...steps.map(({ command }) => command.length))
  return ['Next:', ...steps.map(({ command, why }) => `  ${command.padEnd(column)}   # ${why}`)]
}
