/** What the picture is made of, each as SVG. */
import { escaped } from './text.ts'

export interface Box {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}
export type Point = readonly [x: number, y: number]

export const size = { title: 13, text: 12 } as const
/** From line to line. */
export const leading = 16

const style = `
svg { color-scheme: light dark; font-family: system-ui, -apple-system, 'Segoe UI', 'Noto Sans', 'Hiragino Sans', 'Yu Gothic UI', 'Noto Sans JP', sans-serif }
text { font-size: ${size.text}px; fill: #1f2328 }
.title { font-size: ${size.title}px; font-weight: 600 }
.quiet { fill: #59636e }
.paper { fill: #ffffff; stroke: #d1d9e0 }
.frame { fill: #f6f8fa; stroke: #d1d9e0 }
.place { fill: #ffffff; stroke: #818b98 }
.vm { fill: #ddf4ff; stroke: #0969da }
.next { fill: none; stroke: #0969da; stroke-dasharray: 4 3 }
.line { fill: none; stroke: #0969da; stroke-width: 1.6 }
.head { fill: #0969da }
.port { fill: #0550ae; font-weight: 600 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .quiet { fill: #9198a1 }
  .paper { fill: #0d1117; stroke: #3d444d }
  .frame { fill: #151b23; stroke: #3d444d }
  .place { fill: #0d1117; stroke: #9198a1 }
  .vm { fill: #121d2f; stroke: #4493f8 }
  .next { stroke: #4493f8 }
  .line { stroke: #4493f8 }
  .head { fill: #4493f8 }
  .port { fill: #79c0ff }
}
`

/** A rounded box with its lines in the middle, the first one larger; what is beyond the height is the caller's affair. */
export function box(kind: string, { x, y, width, height }: Box, [title, ...lines]: readonly string[] = []): string {
  const all = title === undefined ? [] : [title, ...lines]
  const first = y + height / 2 - ((all.length - 1) * leading) / 2 + size.text * 0.36
  const words = all.map((line, index) =>
    text(line, [x + width / 2, first + index * leading], { anchor: 'middle', kind: index === 0 ? 'title' : 'quiet' }),
  )
  return `<g class="box"><rect class="${kind}" x="${x}" y="${y}" width="${width}" height="${height}" rx="8"/>${words.join('')}</g>`
}

export function text(
  words: string,
  [x, y]: Point,
  { anchor = 'start', kind }: { readonly anchor?: 'start' | 'middle' | 'end'; readonly kind?: string } = {},
): string {
  const more = `${anchor === 'start' ? '' : ` text-anchor="${anchor}"`}${kind === undefined ? '' : ` class="${kind}"`}`
  return `<text x="${round(x)}" y="${round(y)}"${more}>${escaped(words)}</text>`
}

/** A line through some points, with a head at its end, or at both. */
export function line(points: readonly Point[], isBothWays = false): string {
  const path = points.map(([x, y], index) => `${index === 0 ? 'M' : 'L'}${round(x)} ${round(y)}`).join(' ')
  const ends = isBothWays ? [points.slice(-2), points.slice(0, 2).reverse()] : [points.slice(-2)]
  return `<path class="line" d="${path}"/>${ends.map(head).join('')}`
}

/** The triangle at the second of two points. */
function head(points: readonly Point[]): string {
  const [[fromX, fromY] = [0, 0], [x, y] = [0, 0]] = points
  const length = Math.hypot(x - fromX, y - fromY)
  const [dx, dy] = [(x - fromX) / length, (y - fromY) / length]
  const at = (back: number, side: number): string => `${round(x - dx * back - dy * side)} ${round(y - dy * back + dx * side)}`
  return `<path class="head" d="M${at(-1, 0)} L${at(8, 4.5)} L${at(8, -4.5)} Z"/>`
}

/** An image of its own: what is in it needs no other file. */
export const document = (
  width: number,
  height: number,
  words: { readonly title: string; readonly description: string; readonly language: string },
  parts: readonly string[],
): string =>
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title about" xml:lang="${words.language}">
<title id="title">${escaped(words.title)}</title>
<desc id="about">${escaped(words.description)}</desc>
<style>${style}</style>
${parts.join('\n')}
</svg>
`

const round = (value: number): number => Math.round(value * 10) / 10
