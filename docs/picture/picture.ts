/** The picture of the README: places and VMs of a site, and every arrow of its flow table. It fits a telephone's width. */
import type { Site } from '../../settings/site.ts'
import { arrowsOf, outsiders, type Outsider } from './arrows.ts'
import { below, columns, inColumn, rows, width, type Column } from './layout.ts'
import { box, document, leading, text, type Box } from './shapes.ts'
import { wayOf } from './ways.ts'
import { wordsOf, type Language, type Words } from './words.ts'

/**
 * @param site with two VMs, one for Serena and one for the logs
 * @returns SVG; the same for the same site
 * @throws Error for a site of another shape, and for an arrow that there is no way for: none is left out
 */
export function picture(site: Site, language: Language): string {
  const words = wordsOf[language]
  const groups = groupsOf(site)
  const arrows = arrowsOf(site)
  const used = outsiders.filter((one) => arrows.some(({ from, to }) => from === one || to === one))
  const deep = used.filter((one) => one !== 'the internet' && one !== 'network.admin')
  const end = rows.below + deep.length * (below.height + below.gap) - 8
  const height = end + words.legend.length * leading + 6
  return document(width, height, { ...words, language }, [
    `<rect class="paper" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="10"/>`,
    `<rect class="frame" x="6" y="${rows.host}" width="${width - 12}" height="${rows.hostEnd - rows.host}" rx="10"/>`,
    text(words.host, [width / 2, rows.hostEnd - 9], { anchor: 'middle', kind: 'title' }),
    ...columnNames.map((column) => groupBox(site, words, column, groups[column])),
    ...used.map((one) => placeBox(site, words, one, deep)),
    ...arrows.map((arrow) => wayOf(arrow, { groups, deep, words, loggingPort: site.logging.port })),
    // The way in leads through it.
    box('place', inColumn('serena', rows.router, 26), [words.router]),
    ...words.legend.map((one, index) => text(one, [width / 2, end + 8 + index * leading], { anchor: 'middle', kind: 'quiet' })),
  ])
}

const columnNames = Object.keys(columns) as Column[]

function groupsOf(site: Site): Readonly<Record<Column, string>> {
  const named = (role: Column): string => {
    const found = Object.entries(site.groups).find(([, { roles }]) => roles.join() === role)
    if (found === undefined) throw new Error(`no group of the site has the role ${role} alone`)
    return found[0]
  }
  return { serena: named('serena'), logging: named('logging') }
}

function groupBox(site: Site, words: Words, column: Column, name: string): string {
  const [title, ...lines] = words[column]
  const inset = ({ x, y, width: whole, height }: Box): Box => ({ x: x + 8, y, width: whole - 16, height })
  const { x, width: wide } = columns[column]
  return [
    `<rect class="frame" x="${x}" y="${rows.group}" width="${wide}" height="${rows.groupEnd - rows.group}" rx="8"/>`,
    box('vm', inset(inColumn(column, rows.vm, rows.vmEnd - rows.vm)), [title, words.service(site.groups[name]?.service ?? ''), ...lines]),
    box('next', inset(inColumn(column, rows.next, rows.groupEnd - 8 - rows.next)), words.standby),
  ].join('\n')
}

function placeBox({ network }: Site, words: Words, one: Outsider, deep: readonly Outsider[]): string {
  const [title, ...lines] = words.places[one]
  const named: Readonly<Partial<Record<Outsider, readonly string[]>>> = {
    'network.nameservers': network.nameservers,
    'network.ntp': network.ntp,
    'network.outgoing': network.outgoing.map(({ to }) => to),
  }
  const [first, ...more] = named[one] ?? []
  const label = first === undefined ? title : `${title} ${first}${more.length === 0 ? '' : ' …'}`
  return box('place', placeOf(one, deep), [label, ...lines])
}

function placeOf(one: Outsider, deep: readonly Outsider[]): Box {
  const height = rows.placesEnd - rows.places
  if (one === 'the internet') return inColumn('serena', rows.places, height)
  if (one === 'network.admin') return inColumn('logging', rows.places, height)
  const row = deep.indexOf(one)
  const side = 12 + below.step * (deep.length - 1 - row)
  return { x: side, y: rows.below + row * (below.height + below.gap), width: width - 2 * side, height: below.height }
}
