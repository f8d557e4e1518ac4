/** Each arrow's way through the picture, and its words beside it. */
import type { Arrow, Outsider, Port } from './arrows.ts'
import { below, columns, rows, width, type Column } from './layout.ts'
import { leading, line, text, type Point } from './shapes.ts'
import { escaped } from './text.ts'
import type { Words } from './words.ts'

interface Ground {
  readonly groups: Readonly<Record<Column, string>>
  /** Places below the host, from the nearest on. */
  readonly deep: readonly Outsider[]
  readonly words: Words
  readonly loggingPort: number
}

/** @throws Error for one that nobody has thought of */
export function wayOf(arrow: Arrow, ground: Ground): string {
  const { from, to, ports, purposes } = arrow
  const what = `${from} → ${to}: ${ports.map(({ protocol, port }) => `${protocol} ${port}`).join(', ')} (${purposes.join('; ')})`
  const data = `data-from="${escaped(from)}" data-to="${escaped(to)}" data-ports="${ports.map(({ protocol, port }) => `${protocol}/${port}`).join(' ')}"`
  return `<g class="arrow" ${data}><title>${escaped(what)}</title>${drawn(arrow, ground)}</g>`
}

function drawn({ from, to, ports }: Arrow, { groups, deep, words, loggingPort }: Ground): string {
  const columnOf = (name: string): Column | undefined => (['serena', 'logging'] as const).find((column) => groups[column] === name)
  const [source, target] = [columnOf(from), columnOf(to)]
  const numbers = joined(ports)
  const named = ports.map((port) => [joined([port]), { 22: 'SSH', [loggingPort]: 'Grafana' }[port.port] ?? ''].join(' ').trimEnd())
  if (from === 'the internet' && target === 'serena') return down(columns.serena.x + 92, rows.vm, [numbers])
  if (from === 'network.admin' && target === 'logging') return down(columns.logging.x + 58, rows.group, named)
  if (from === 'network.admin' && target === 'serena') return acrossTheTop(named)
  if (source !== undefined && source === target) return betweenSlots(source, numbers, words.handover)
  if (source === 'serena' && target === 'logging') return acrossTheGap(numbers, words.logs)
  const row = deep.indexOf(to as Outsider)
  if (source !== undefined && row >= 0) return downBelow(source, deep.length - 1 - row, row, numbers)
  throw new Error(`there is no way in the picture for ${from} → ${to}`)
}

/** From a place above, with words to the right of it, right above the host. */
function down(x: number, bottom: number, words: readonly string[]): string {
  const y = rows.host - 9 - (words.length - 1) * leading
  return (
    line([
      [x, rows.placesEnd],
      [x, bottom],
    ]) + lines(words, [x + 7, y])
  )
}

function acrossTheTop(words: readonly string[]): string {
  const [fromX, toX, y] = [columns.logging.x + 16, columns.serena.x + columns.serena.width - 12, rows.router + 40]
  return (
    line([
      [fromX, rows.placesEnd],
      [fromX, y],
      [toX, y],
      [toX, rows.group],
    ]) + lines(words, [toX + 16, y - 7 - (words.length - 1) * leading])
  )
}

/** What one hands on to the other goes either way. */
function betweenSlots(column: Column, numbers: string, word: string): string {
  const x = columns[column].x + 32
  const middle = (rows.vmEnd + rows.next) / 2
  return (
    line(
      [
        [x, rows.vmEnd + 1],
        [x, rows.next - 1],
      ],
      true,
    ) +
    text(numbers, [x + 10, middle - 3], { kind: 'port' }) +
    text(word, [x + 10, middle + 13], { kind: 'quiet' })
  )
}

function acrossTheGap(numbers: string, word: string): string {
  const [left, right, y] = [columns.serena.x + columns.serena.width, columns.logging.x, (rows.vm + rows.vmEnd) / 2]
  const middle = (left + right) / 2
  return (
    line([
      [left, y],
      [right, y],
    ]) +
    text(numbers, [middle, y - 9], { anchor: 'middle', kind: 'port' }) +
    text(word, [middle, y + 19], { anchor: 'middle', kind: 'quiet' })
  )
}

function downBelow(column: Column, passes: number, row: number, numbers: string): string {
  const side = 30 + below.step * passes
  const isLeft = column === 'serena'
  const x = isLeft ? side : width - side
  const y = rows.below + row * (below.height + below.gap)
  const way = line([
    [x, rows.groupEnd],
    [x, y],
  ])
  return way + text(numbers, [x + (isLeft ? 7 : -7), y - 10], { anchor: isLeft ? 'start' : 'end', kind: 'port' })
}

const lines = (words: readonly string[], [x, y]: Point): string =>
  words.map((one, index) => text(one, [x, y + index * leading], { kind: 'port' })).join('')

/** `80, 443`, `53 TCP/UDP`; what is said of none is TCP. */
function joined(ports: readonly Port[]): string {
  return [...new Set(ports.map(({ port }) => port))]
    .map((number) => {
      const protocols = ports.flatMap(({ port, protocol }) => (port === number ? [protocol.toUpperCase()] : [])).sort()
      return protocols.join() === 'TCP' ? String(number) : `${number} ${protocols.join('/')}`
    })
    .join(', ')
}
