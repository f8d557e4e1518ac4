/** The table of what was looked at, for people. Pure. */
import { sections, type Line, type State } from './line.ts'

const marks: Readonly<Record<State, string>> = { fine: '✓', warn: '!', bad: '✗', unknown: '–' }

const nameOf = ({ id, of }: Line): string => (of === undefined ? id : `${id} ${of}`)

export function renderLines(lines: readonly Line[]): string {
  const width = Math.max(...lines.map((line) => nameOf(line).length))
  const text = sections.flatMap((section) => {
    const own = lines.filter((line) => line.section === section)
    return own.length === 0
      ? []
      : [`${section}:`, ...own.filter(({ waits }) => waits === undefined).flatMap((line) => rendered(line, width)), ...waiting(own)]
  })
  return [...text, '', summary(lines)].join('\n')
}

function rendered(line: Line, width: number): string[] {
  const [first = '', ...rest] = line.note.split('\n')
  const indent = ' '.repeat(width + 5)
  return [
    `  ${marks[line.state]} ${nameOf(line).padEnd(width)} ${first}`,
    ...rest.map((part) => `${indent}${part}`),
    ...(line.mend === undefined ? [] : line.mend.split('\n').map((part, at) => `${indent}${at === 0 ? '→ ' : '  '}${part}`)),
  ]
}

/** What was not looked at, with those that it waits for: a line for all that wait for the same. */
function waiting(lines: readonly Line[]): string[] {
  const by = new Map<string, string[]>()
  for (const line of lines) {
    if (line.waits === undefined) continue
    const key = line.waits.join(', ')
    by.set(key, [...(by.get(key) ?? []), nameOf(line)])
  }
  return [...by].map(([waits, names]) => `  ${marks.unknown} not looked at before ${waits} is fine: ${names.join(', ')}`)
}

function summary(lines: readonly Line[]): string {
  const count = (state: State): number => lines.filter((line) => line.state === state).length
  const [wrong, warned, unseen] = [count('bad'), count('warn'), count('unknown')]
  const parts = [
    `${count('fine')} fine`,
    ...(warned === 0 ? [] : [`${warned} to know of`]),
    ...(wrong === 0 ? [] : [`${wrong} to mend`]),
    ...(unseen === 0 ? [] : [`${unseen} not looked at`]),
  ]
  return `${parts.join(', ')}.`
}

/** 1: something is bad. */
export const exitCodeOf = (lines: readonly Line[]): 0 | 1 => (lines.some(({ state }) => state === 'bad') ? 1 : 0)
