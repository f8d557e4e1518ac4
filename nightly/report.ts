/** What there is to tell of a night, in one language: blocks, which the page and the Markdown show each in its way. Pure. */
import { sizeText } from '../core/quantity.ts'
import type { HeldNight } from './hold-night.ts'
import { localText } from './local-time.ts'
import type { Delivered, News } from './night.ts'
import { nightsToPlot, type PlottedNight } from './plot.ts'
import type { Words } from './words.ts'

export type Tone = 'good' | 'bad' | 'plain'

export interface Cell {
  readonly text: string
  readonly tone?: Tone
  /** Shown as code: an image, a digest. */
  readonly code?: true
}

export type Block =
  | { readonly kind: 'lines'; readonly lines: readonly string[]; readonly tone: Tone }
  | { readonly kind: 'text'; readonly text: string }
  /** `open`: so many rows are seen at once. */
  | { readonly kind: 'table'; readonly head: readonly string[]; readonly rows: readonly (readonly Cell[])[]; readonly open: number }
  | { readonly kind: 'plot'; readonly nights: readonly PlottedNight[] }

export interface Section {
  readonly title: string
  readonly blocks: readonly Block[]
}

export interface Report {
  readonly words: Words
  readonly title: string
  readonly outcome: string
  readonly tone: Tone
  readonly headline: string
  readonly sections: readonly Section[]
  readonly footer: string
}

/** What `noCertificate` of the words says. */
const certificateDays = 30
const seenAtOnce = 30

/** @param zone of the site */
export function reportOf(night: HeldNight, words: Words, zone?: string): Report {
  const { record } = night
  const time = (iso: string): string => localText(new Date(iso), zone)
  return {
    words,
    title: words.title(record.site, time(record.began).slice(0, 10)),
    outcome: words.outcome[record.outcome],
    tone: record.outcome === 'failed' ? 'bad' : record.outcome === 'new' ? 'good' : 'plain',
    headline: headlineOf(night, words),
    sections: [
      attention(night, words, zone),
      changes(night, words),
      checks(night, words),
      deeds(night, words, zone),
      durations(night, words, zone),
      images(night, words, zone),
      certificates(night, words),
    ].filter(({ blocks }) => blocks.length > 0),
    footer: words.footer(record.by, time(record.began), time(record.ended)),
  }
}

function headlineOf({ record }: HeldNight, { headline, done, step }: Words): string {
  const { outcome, steps, failure, baked, verified, promoted, rolledOut } = record
  if (outcome === 'stopped') return headline.stopped
  if (outcome === 'nothing') return headline.nothing
  if (failure !== null) {
    const failed = steps.find(({ ok }) => !ok)
    return failed === undefined ? (failure.message.split('\n')[0] ?? '') : headline.failedAt(step[failed.step])
  }
  if (outcome === 'failed') return headline.complaint
  const name = rolledOut.at(-1)?.to ?? promoted.at(-1)?.name ?? verified?.image.name ?? baked?.name ?? ''
  return headline.image(name, [
    ...(baked?.name === name ? [done.baked] : []),
    ...(verified?.image.name === name ? [done.verified] : []),
    ...(promoted.some((image) => image.name === name) ? [done.promoted] : []),
    ...(rolledOut.some(({ to }) => to === name) ? [done.rolledOut] : []),
  ])
}

function attention({ record, before }: HeldNight, words: Words, zone: string | undefined): Section {
  const { failure, complaints, warnings, survey } = record
  const last = before.at(-1)
  const bad = [...(failure === null ? [] : [failure]), ...complaints].map(({ code, message, hint }) => `${code}: ${message} → ${hint}`)
  const warned = [
    ...(last?.outcome === 'killed'
      ? [words.killedBefore(localText(new Date(last.began), zone), last.steps[0] && words.step[last.steps[0].step])]
      : []),
    ...warnings,
    ...(survey?.certificates ?? []).flatMap(({ group, name, ends, daysLeft, due }) => {
      if (ends === null || daysLeft === null) return [words.certificateUnknown(group, name)]
      return due ? [words.certificate(group, name, ends.slice(0, 10), daysLeft)] : []
    }),
    ...(survey?.warnings ?? []),
  ]
  return {
    title: words.section.attention,
    blocks: [
      ...(bad.length === 0 ? [] : [{ kind: 'lines', lines: bad, tone: 'bad' } as const]),
      ...(warned.length === 0 ? [] : [{ kind: 'lines', lines: warned, tone: 'plain' } as const]),
    ],
  }
}

/** Digests are told by their beginning. */
const shortened = (text: string): string => text.replaceAll(/(sha256:)?([0-9a-f]{12})[0-9a-f]{20,}/g, '$1$2…')

/** What decides most comes first, packages last: there may be hundreds. */
const order = ['base', 'container', 'language server', 'tool', 'file', 'archive', 'package']
const rank = ({ what }: News): number => (order.includes(what) ? order.indexOf(what) : order.length)

function changes({ record }: HeldNight, words: Words): Section {
  const compared = record.survey?.differences ?? null
  const news = [...(compared?.news ?? record.news)].sort((a, b) => rank(a) - rank(b))
  const { what, name, before, after } = words.column
  const value = (text: string | null, other: string): Cell => (text === null ? { text: other } : { text: shortened(text), code: true })
  const table: Block = {
    kind: 'table',
    head: [what, name, before, after],
    rows: news.map((one) => [
      { text: words.kind[one.what] ?? one.what },
      { text: one.name, code: true },
      value(one.from, words.isNew),
      value(one.to, words.isGone),
    ]),
    open: seenAtOnce,
  }
  return {
    title: words.section.changes,
    blocks: [
      ...(compared === null ? [] : [{ kind: 'text', text: words.comparedWith(compared.from, compared.to) } as const]),
      news.length === 0 ? { kind: 'text', text: words.nothingNew } : table,
      ...(compared === null || compared.unknown.length === 0 ? [] : [{ kind: 'lines', lines: compared.unknown, tone: 'plain' } as const]),
    ],
  }
}

function checks({ record: { verified } }: HeldNight, words: Words): Section {
  const { check, result, detail } = words.column
  if (verified === null) return { title: words.section.checks, blocks: [] }
  return {
    title: words.section.checks,
    blocks: [
      {
        kind: 'table',
        head: [check, result, detail],
        // What failed comes first.
        rows: [...verified.checks]
          .sort((a, b) => Number(a.ok) - Number(b.ok))
          .map((one) => [
            { text: one.name },
            { text: one.ok ? words.ok : words.notOk, tone: one.ok ? 'good' : 'bad' },
            { text: one.detail ?? '' },
          ]),
        open: seenAtOnce,
      },
    ],
  }
}

const deliveredText = ({ to, branch, commit, pushed, asked = false }: Delivered, { deed }: Words): string =>
  deed.delivered[to](branch, commit.slice(0, 10), pushed, asked)

function deeds({ record }: HeldNight, words: Words, zone: string | undefined): Section {
  const { baked, promoted, rolledOut, refused, removed, delivered, notes } = record
  const { deed } = words
  const lines = [
    ...(baked === null ? [] : [deed.baked(baked.name)]),
    ...promoted.map(({ name }) => deed.promoted(name)),
    ...rolledOut.map(({ group, from, to, ms }) => deed.rolledOut(group, from, to, words.duration(ms))),
    ...(refused === null ? [] : [deed.refused(refused.image.name, refused.reason)]),
    ...removed.map(({ what, name, bytes }) => deed.removed(words.kind[what] ?? what, name, bytes === null ? undefined : sizeText(bytes))),
    ...(delivered === null ? [] : [deliveredText(delivered, words)]),
    ...notes.map((note) => words.note(note, zone)),
  ]
  return {
    title: words.section.done,
    blocks: [lines.length === 0 ? { kind: 'text', text: deed.none } : { kind: 'lines', lines, tone: 'plain' }],
  }
}

function durations(night: HeldNight, words: Words, zone: string | undefined): Section {
  const { step, time, result } = words.column
  const { steps } = night.record
  return {
    title: words.section.durations,
    blocks: [
      { kind: 'plot', nights: nightsToPlot(night, words, zone) },
      {
        kind: 'table',
        head: [step, time, result],
        rows: steps.map((one) => [
          { text: words.step[one.step] },
          { text: words.duration(one.ms) },
          { text: one.ok ? words.went.well : words.went.wrong, tone: one.ok ? 'good' : 'bad' },
        ]),
        open: seenAtOnce,
      },
    ],
  }
}

function images({ record: { survey } }: HeldNight, words: Words, zone: string | undefined): Section {
  if (survey === null || (survey.images.length === 0 && survey.storage === null)) return { title: words.section.images, blocks: [] }
  const { image, built, channel, verified, size, usedBy } = words.column
  const { storage } = survey
  return {
    title: words.section.images,
    blocks: [
      ...(storage === null
        ? []
        : [
            {
              kind: 'text',
              text: words.storage(
                storage.name,
                sizeText(storage.usedBytes),
                sizeText(storage.totalBytes),
                storage.totalBytes === 0 ? 0 : Math.round((storage.usedBytes / storage.totalBytes) * 100),
              ),
            } as const,
          ]),
      ...(survey.images.length === 0
        ? []
        : [
            {
              kind: 'table',
              head: [image, built, channel, verified, size, usedBy],
              rows: survey.images.map((one): readonly Cell[] => [
                { text: one.name, code: true },
                { text: localText(new Date(one.built), zone) },
                { text: one.channel ?? '–' },
                one.revoked
                  ? { text: words.revoked, tone: 'bad' }
                  : {
                      text: words.verification[one.verification],
                      tone: one.verification === 'failed' ? 'bad' : one.verification === 'passed' ? 'good' : 'plain',
                    },
                { text: one.bytes === null ? '–' : sizeText(one.bytes) },
                { text: one.usedBy.join(', ') },
              ]),
              open: 10,
            } as const,
          ]),
    ],
  }
}

function certificates({ record: { survey } }: HeldNight, words: Words): Section {
  // First those of which nobody knows.
  const left = ({ daysLeft }: { readonly daysLeft: number | null }): number => daysLeft ?? -Number.MAX_VALUE
  const all = [...(survey?.certificates ?? [])].sort((a, b) => left(a) - left(b))
  const { group, name, ends, left: column } = words.column
  if (all.length === 0) return { title: words.section.certificates, blocks: [] }
  const isSoon = all.some((one) => left(one) <= certificateDays)
  return {
    title: words.section.certificates,
    blocks: [
      ...(isSoon ? [] : [{ kind: 'text', text: words.noCertificate } as const]),
      {
        kind: 'table',
        head: [group, name, ends, column],
        rows: all.map((one) => [
          { text: one.group },
          { text: one.name },
          { text: one.ends?.slice(0, 10) ?? words.unknown },
          { text: one.daysLeft === null ? words.unknown : words.days(one.daysLeft), tone: one.due ? 'bad' : 'plain' },
        ]),
        open: isSoon ? 10 : 3,
      },
    ],
  }
}
