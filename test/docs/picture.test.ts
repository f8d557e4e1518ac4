/** The README's picture: what the flow table has and nothing else, in letters that fit. */
import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { drawAll, pictureFile } from '../../docs/picture/draw.ts'
import { picture } from '../../docs/picture/picture.ts'
import { size, type Box } from '../../docs/picture/shapes.ts'
import { widthOf } from '../../docs/picture/text.ts'
import { languages } from '../../docs/picture/words.ts'
import { vmFlows } from '../../releases/flows.ts'
import { parseSite, slotNames, type Site, type SiteInput } from '../../settings/site.ts'
import { elementsOf, readXml, type Element } from './xml.ts'

const example = (await import('../../site.example.ts')).default as SiteInput

function siteWith(change: (input: SiteInput) => void): Site {
  const input = structuredClone(example)
  change(input)
  const parsed = parseSite(input)
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems))
  return parsed.site
}
const ordinary = siteWith(() => {})
const reachingOut = siteWith((input) => {
  input.network.ntp = ['192.168.1.3']
  input.network.outgoing = [
    { to: '203.0.113.7/32', port: 443 },
    { to: '198.51.100.0/24', port: 9418 },
  ]
  input.logging = { port: 9443 }
})
const sites = { ordinary, reachingOut }

interface DrawnArrow {
  readonly from: string
  readonly to: string
  readonly ports: readonly string[]
  /** Beside the line. */
  readonly words: string
}

const arrowsIn = (svg: string): DrawnArrow[] =>
  elementsOf(readXml(svg))
    .filter(({ attributes }) => attributes.class === 'arrow')
    .map((one) => ({
      from: one.attributes['data-from'] ?? '',
      to: one.attributes['data-to'] ?? '',
      ports: (one.attributes['data-ports'] ?? '').split(' '),
      words: one.children
        .filter(({ name }) => name === 'text')
        .map(({ text }) => text)
        .join(' '),
    }))

/** Of these sites, by heart: whose addresses begin so. */
const owners: Readonly<Record<string, string>> = {
  '192.168.1.0/24': 'network.admin',
  '192.168.1.1': 'network.nameservers',
  '192.168.1.3': 'network.ntp',
  '192.168.1.50': 'serena',
  '192.168.1.51': 'serena',
  '192.168.1.52': 'serena',
  '192.168.1.60': 'logging',
  '192.168.1.61': 'logging',
  '192.168.1.62': 'logging',
  '203.0.113.7/32': 'network.outgoing',
  '198.51.100.0/24': 'network.outgoing',
}

/** Every row of the table, address by address and port by port. */
const rowsOf = (site: Site): { from: string; to: string; port: string }[] =>
  Object.keys(site.groups).flatMap((group) =>
    slotNames.flatMap((slot) =>
      vmFlows(site, group, slot).flows.flatMap(({ direction, remote, protocol, ports, steered }) =>
        (remote.length === 0 ? ['the internet'] : remote.map((address) => owners[address] ?? expect.fail(`whose is ${address}?`))).flatMap(
          (who) =>
            ports.map((port) => {
              const [from, to] = steered ? [group, group] : direction === 'in' ? [who, group] : [group, who]
              return { from, to, port: `${protocol}/${port}` }
            }),
        ),
      ),
    ),
  )

describe.each(languages)('in %s', (language) => {
  it('is the file beside the pages (npm run picture draws it)', async () => {
    expect(await readFile(pictureFile(language), 'utf8')).toBe((await drawAll()).get(language))
  })

  describe.each(Object.entries(sites))('of the site %s', (_, site) => {
    const svg = picture(site, language)

    it('has every row of the flow table as an arrow, with its port beside it', () => {
      const drawn = arrowsIn(svg)
      expect(rowsOf(site).length).toBeGreaterThan(30)
      for (const { from, to, port } of rowsOf(site)) {
        const arrow = drawn.find((one) => one.from === from && one.to === to)
        expect(arrow?.ports, `${from} → ${to} ${port}`).toContain(port)
        expect(arrow?.words.match(/\d+/g), `${from} → ${to} ${port}`).toContain(port.split('/')[1])
      }
    })

    it('has no arrow, no port and no line besides', () => {
      const rows = rowsOf(site)
      for (const { from, to, ports, words } of arrowsIn(svg)) {
        for (const port of ports) expect(rows).toContainEqual({ from, to, port })
        for (const number of words.match(/\d+/g) ?? []) expect(ports.map((port) => port.split('/')[1])).toContain(number)
      }
      const all = elementsOf(readXml(svg)).filter(({ attributes }) => attributes.class === 'line')
      expect(all.length).toBe(arrowsIn(svg).length)
    })

    it('is one image without a word to load, in light and dark', () => {
      expect(svg).toContain('prefers-color-scheme: dark')
      expect(svg.replace('http://www.w3.org/2000/svg', '')).not.toMatch(/https?:|url\(|href|<script|<image|@import/)
      expect(Number(readXml(svg).attributes.width)).toBeLessThanOrEqual(420)
    })

    it('has letters that stay in their boxes, and on no others', () => {
      const all = elementsOf(readXml(svg))
      const whole = boxOf(readXml(svg), 0)
      const words = all.filter(({ name }) => name === 'text').map((one) => ({ text: one.text, box: textBox(one) }))
      for (const { text, box } of words) expect(isWithin(box, whole), text).toBe(true)
      for (const group of all.filter(({ attributes }) => attributes.class === 'box')) {
        const frame = boxOf(group.children.find(({ name }) => name === 'rect') ?? expect.fail('a box without a frame'), 2)
        for (const one of group.children.filter(({ name }) => name === 'text')) expect(isWithin(textBox(one), frame), one.text).toBe(true)
      }
      const overlapping = words.flatMap((one, index) =>
        words.slice(index + 1).flatMap((other) => (overlap(one.box, other.box) ? [`${one.text} lies on ${other.text}`] : [])),
      )
      expect(overlapping).toEqual([])
      // Boxes lie on the lines that lead through them.
      const inBoxes = new Set(all.filter(({ attributes }) => attributes.class === 'box').flatMap(({ children }) => children))
      const bare = all.filter((one) => one.name === 'text' && !inBoxes.has(one))
      const crossed = all
        .filter(({ attributes }) => attributes.class === 'line')
        .flatMap((line) => bare.filter((one) => segmentsOf(line).some((segment) => overlap(segment, textBox(one)))))
      expect(crossed.map(({ text }) => text)).toEqual([])
    })
  })
})

it('says it of every slip of an arrow: what has no way fails, and so does a site of another shape', () => {
  const oneVm = siteWith((input) => {
    input.groups = { serena: { ...input.groups.serena!, roles: ['serena', 'logging'] } }
  })
  expect(() => picture(oneVm, 'en')).toThrow(/the role serena alone/)
  const third = siteWith((input) => {
    input.groups.spare = {
      roles: ['logging'],
      service: '192.168.1.70',
      depot: 9400,
      slots: { blue: { vmid: 9401, address: '192.168.1.71' }, green: { vmid: 9402, address: '192.168.1.72' } },
    }
    delete input.groups.logging
  })
  expect(arrowsIn(picture(third, 'en')).map(({ to }) => to)).toContain('spare')
})

it('would be seen to overflow, overlap, or be no XML', () => {
  expect(widthOf('Logging VM', 13, true)).toBeGreaterThan(80)
  expect(widthOf('ログ', 12)).toBe(24)
  expect(isWithin({ x: 0, y: 0, width: 11, height: 4 }, { x: 0, y: 0, width: 10, height: 10 })).toBe(false)
  expect(overlap({ x: 0, y: 0, width: 5, height: 5 }, { x: 4, y: 4, width: 5, height: 5 })).toBe(true)
  for (const wrong of ['<a><b></a></b>', '<a', '<a>', '<a/><b/>', '<a b=c/>', '<a>&</a>', '<a>&nbsp;</a>', '<a b="" b=""/>', '<a/>x'])
    expect(() => readXml(wrong), wrong).toThrow()
})

const number = (one: Element, name: string): number => Number(one.attributes[name] ?? 0)

const boxOf = (one: Element, margin: number): Box => ({
  x: number(one, 'x') + margin,
  y: number(one, 'y') + margin,
  width: number(one, 'width') - 2 * margin,
  height: number(one, 'height') - 2 * margin,
})

function textBox(one: Element): Box {
  const kind = one.attributes.class
  const points = kind === 'title' ? size.title : size.text
  const width = widthOf(one.text, points, kind === 'title' || kind === 'port')
  const left = { start: 0, middle: width / 2, end: width }[one.attributes['text-anchor'] ?? 'start'] ?? 0
  return { x: number(one, 'x') - left, y: number(one, 'y') - points * 0.8, width, height: points }
}

/** Those of a line, which go up or down, left or right: boxes without a width or height. */
function segmentsOf(line: Element): Box[] {
  const points = [...(line.attributes.d ?? '').matchAll(/[ML]([\d.]+) ([\d.]+)/g)].map(([, x, y]) => [Number(x), Number(y)] as const)
  return points.slice(1).map(([x, y], index) => {
    const [fromX, fromY] = points[index] ?? [x, y]
    return { x: Math.min(x, fromX), y: Math.min(y, fromY), width: Math.abs(x - fromX), height: Math.abs(y - fromY) }
  })
}

const isWithin = (inner: Box, outer: Box): boolean =>
  inner.x >= outer.x &&
  inner.y >= outer.y &&
  inner.x + inner.width <= outer.x + outer.width &&
  inner.y + inner.height <= outer.y + outer.height

const overlap = (a: Box, b: Box): boolean => a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height
