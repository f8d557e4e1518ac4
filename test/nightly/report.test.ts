/** The report: what is told, that it is the same in every form, and that nothing of it gets out of its place. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { HeldNight } from '../../nightly/hold-night.ts'
import { markdownOf } from '../../nightly/markdown.ts'
import type { NightRecord } from '../../nightly/night.ts'
import { pageOf } from '../../nightly/page.ts'
import { axisOf } from '../../nightly/plot.ts'
import { reportOf } from '../../nightly/report.ts'
import { languages, wordsOf, type Language } from '../../nightly/words.ts'
import { eventful, eventfulNight } from './example-night.ts'

const markdown = (night: HeldNight, language: Language = 'en'): string => markdownOf(reportOf(night, wordsOf[language], 'Asia/Tokyo'))
const page = (night: HeldNight, first: Language = 'en'): string =>
  pageOf(
    languages.map((language) => reportOf(night, wordsOf[language], 'Asia/Tokyo')),
    first,
  )
const nightWith = (change: Partial<NightRecord>): HeldNight => ({ ...eventfulNight, record: { ...eventful, ...change } })

interface Parsed {
  readonly name: string
  readonly attributes: Readonly<Record<string, string>>
}

/** Reads it as XML, by its grammar alone. @throws Error where it is not well-formed */
function parse(text: string): { readonly elements: readonly Parsed[]; readonly texts: readonly string[] } {
  const elements: Parsed[] = []
  const texts: string[] = []
  const open: string[] = []
  const token = /<!DOCTYPE html>|<\/([a-z0-9]+)>|<([a-z0-9]+)((?: [a-zA-Z0-9:-]+="[^"<]*")*)( \/)?>|([^<]+)/y
  while (token.lastIndex < text.length) {
    const at = token.lastIndex
    const found = token.exec(text)
    if (found === null) throw new Error(`no markup at ${at}: ${text.slice(at, at + 60)}`)
    const [, end, name, attributes = '', isVoid, plain] = found
    if (end !== undefined && open.pop() !== end) throw new Error(`</${end}> ends nothing at ${at}`)
    if (name !== undefined) {
      if (!isVoid) open.push(name)
      elements.push({
        name,
        attributes: Object.fromEntries(
          [...attributes.matchAll(/ ([a-zA-Z0-9:-]+)="([^"]*)"/g)].map(([, key = '', value = '']) => [key, value]),
        ),
      })
    }
    for (const part of [plain ?? '', attributes]) {
      if (/&(?!(?:amp|lt|gt|quot|#39);)/.test(part)) throw new Error(`a bare & at ${at}: ${part.slice(0, 60)}`)
      if (/[\u0000-\u0008\u000b-\u001f\ufffe\uffff]/.test(part) || !part.isWellFormed()) throw new Error(`no character of XML at ${at}`)
    }
    if (plain !== undefined) texts.push(plain)
  }
  if (open.length > 0) throw new Error(`never ended: ${open.join(', ')}`)
  return { elements, texts }
}

describe('the page', () => {
  it('is well-formed, and shows all in both languages', () => {
    const { elements, texts } = parse(page(eventfulNight))
    const text = texts.join(' ')
    for (const told of [
      'golden-home-b7c1d0e95a21',
      '3.5.1-1+deb13u1',
      `ghcr.io/oraios/serena@sha256:${'2e'.repeat(6)}…`,
      '41 tools, 12 calls, 3.2 s',
      'Storage local-lvm: 85.0 GiB of 200.0 GiB in use (43 %).',
      'ストレージ local-lvm: 200.0 GiB のうち 85.0 GiB を使用（43 %）。',
      'serena: the public certificate ends on 2026-12-18, in 18 days',
      'Night of 2026-11-29: home',
      '2026-11-29 の夜間実行: home',
    ])
      expect(text).toContain(told.replaceAll("'", '&#39;'))
    expect(elements.filter(({ name }) => name === 'main').map(({ attributes }) => attributes.lang)).toEqual(['en', 'ja'])
    expect(elements).toContainEqual({ name: 'meta', attributes: { name: 'viewport', content: 'width=device-width, initial-scale=1' } })
  })

  it('shows the language first that the site wants', () => {
    for (const first of languages) {
      const { elements } = parse(page(eventfulNight, first))
      expect(elements.filter(({ attributes }) => attributes.checked !== undefined).map(({ attributes }) => attributes.id)).toEqual([
        `pick-${first}`,
      ])
      expect(elements[0]?.attributes.lang).toBe(first)
    }
  })

  it('loads and runs nothing', () => {
    const html = page(eventfulNight)
    const { elements } = parse(html)
    const known = [
      'xmlns',
      'class',
      'id',
      'lang',
      'for',
      'type',
      'name',
      'checked',
      'content',
      'charset',
      'http-equiv',
      'scope',
      'role',
      'viewBox',
      'aria-hidden',
      'x',
      'y',
      'x1',
      'x2',
      'y1',
      'y2',
      'width',
      'height',
      'text-anchor',
    ]
    expect([...new Set(elements.flatMap(({ attributes }) => Object.keys(attributes)))].filter((name) => !known.includes(name))).toEqual([])
    expect(elements.filter(({ name }) => ['script', 'link', 'img', 'iframe', 'object', 'a', 'use', 'image'].includes(name))).toEqual([])
    expect(html).not.toMatch(/url\(|@import|https?:\/\/(?!www\.w3\.org\/)/)
    expect(elements).toContainEqual({
      name: 'meta',
      attributes: { 'http-equiv': 'Content-Security-Policy', content: expect.stringContaining('default-src &#39;none&#39;') },
    })
  })

  it('plots ten nights and this one, and marks those that went wrong', () => {
    const { elements, texts } = parse(page(eventfulNight))
    const days = texts.filter((text) => /^\d\d-\d\d$|^tonight$/.test(text))
    expect(days).toEqual([
      '11-19',
      '11-20',
      '11-21',
      '11-22',
      '11-23',
      '11-24',
      '11-25',
      '11-26',
      '11-27',
      '11-28',
      'tonight',
      ...days.slice(11),
    ])
    expect(texts.filter((text) => text === '✗')).toHaveLength(2 * 2)
    const bars = elements.filter(({ name, attributes }) => name === 'rect' && /^bar /.test(attributes.class ?? ''))
    // In each language: tonight's seven, and those of the nights before.
    expect(bars.length).toBe(2 * (7 + 3 + 1 + 2 + 4 + 5))
    for (const { attributes } of bars) {
      expect(Number(attributes.y)).toBeGreaterThanOrEqual(0)
      expect(Number(attributes.x) + Number(attributes.width)).toBeLessThanOrEqual(640)
    }
  })

  it('folds what is long', () => {
    const news = Array.from({ length: 120 }, (_, index) => ({ what: 'package', name: `lib${index}`, from: '1', to: '2' }))
    const night = nightWith({ survey: null, news })
    expect(page(night)).toMatch(/<details><summary>… and 90 more<\/summary>/)
    expect(markdown(night)).toContain('… and 70 more')
  })
})

const hostile = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom(
    '<script>alert(1)</script>',
    '"><img src=x onerror=alert(1)>',
    "' onload='x",
    '&lt;&amp;&#0;',
    ']]>--><!--',
    '![x](https://evil.example/x.png)',
    '[x](javascript:alert(1))',
    '| a | b |',
    '`code` **bold** <b>',
    '@everyone # h',
    'a\n# b\r\n- c',
    '\u0000\u001b[31m\ud800\u202e',
    '</style></title>',
  ),
)

const hostileNight = (text: string): HeldNight => ({
  before: [{ ...(eventfulNight.before[0] as HeldNight['before'][number]), outcome: 'killed' }],
  record: {
    ...eventful,
    outcome: 'failed',
    site: text,
    by: text,
    news: [{ what: text, name: text, from: text, to: null }],
    verified: { image: { vmid: 1, name: text }, passed: false, checks: [{ name: text, ok: false, detail: text }] },
    rolledOut: [{ group: text, from: text, to: text, ms: 1 }],
    refused: { image: { vmid: 1, name: text }, reason: text },
    removed: [{ what: text, name: text, bytes: 1 }],
    delivered: { to: 'branch', branch: text, commit: text, pushed: true },
    failure: { code: 'bug', message: text, hint: text },
    warnings: [text],
    survey: {
      differences: { from: text, to: text, news: [{ what: 'file', name: text, from: null, to: text }], unknown: [text] },
      certificates: [{ group: text, name: text, ends: '2026-12-18T00:00:00.000Z', daysLeft: 1, due: true }],
      images: [
        {
          name: text,
          vmid: 1,
          built: '2026-12-18T00:00:00.000Z',
          channel: text,
          verification: 'none',
          revoked: false,
          bytes: 1,
          usedBy: [text],
        },
      ],
      storage: { name: text, usedBytes: 1, totalBytes: 0 },
      warnings: [text],
    },
  },
})

describe('what others have written', () => {
  it('stays text in the page', () => {
    const plain = parse(page(hostileNight('x'))).elements
    fc.assert(
      fc.property(hostile, (text) => {
        const { elements } = parse(page(hostileNight(text)))
        expect(elements.map(({ name }) => name)).toEqual(plain.map(({ name }) => name))
      }),
      { numRuns: 60 },
    )
  })

  it('stays text in the Markdown, in its line and its cell', () => {
    const shape = (text: string): string[] => text.split('\n').map((line) => /^(#+ |- |\| |\*\*|_|$)/.exec(line)?.[0] ?? 'text')
    const plain = markdown(hostileNight('x'))
    fc.assert(
      fc.property(hostile, (text) => {
        fc.pre(/[\p{L}\p{N}]/u.test(text))
        const shown = markdown(hostileNight(text))
        expect(shown.split('\n').length).toBe(plain.split('\n').length)
        expect(shape(shown).filter((one) => one !== 'text')).toEqual(shape(plain).filter((one) => one !== 'text'))
        expect(shown).not.toMatch(/<|(?<!\\)\]\(|(?<!\\)!\[|(^|\s)@|:\/\//m)
        for (const line of shown.split('\n').filter((one) => one.startsWith('| '))) {
          const cells = line.replaceAll(/\\./g, '').split('|').length
          expect([4, 5, 6, 8]).toContain(cells)
        }
      }),
      { numRuns: 60 },
    )
  })
})

describe('the Markdown', () => {
  it('tells a night in which much happened', () => {
    expect(markdown(eventfulNight)).toMatchInlineSnapshot(`
      "# Night of 2026-11-29: home

      **new image** – Image golden-home-b7c1d0e95a21: baked, verified, promoted, rolled out.

      ## Needs attention

      - The run of 2026-11-28 11:30 was ended from outside at this step: bake. This one went on from there.
      - serena: the public certificate ends on 2026-12-18, in 18 days

      ## What changed

      golden-home-b7c1d0e95a21, compared with golden-home-0f3a9d42c8e1:

      | what | name | before | after |
      | --- | --- | --- | --- |
      | container | \`serena\` | \`ghcr.io/oraios/serena@sha256:1f1f1f1f1f1f…\` | \`ghcr.io/oraios/serena@sha256:2e2e2e2e2e2e…\` |
      | file | \`usr/local/lib/golden/watch.js\` | \`3b5d5c3712955042\` | gone |
      | package | \`openssl\` | \`3.5.1-1\` | \`3.5.1-1+deb13u1\` |
      | package | \`libssl3t64\` | \`3.5.1-1\` | \`3.5.1-1+deb13u1\` |

      ## Checks

      | check | result | detail |
      | --- | --- | --- |
      | cloud-init ends without a complaint | ✅ passed |  |
      | a whole MCP session through nginx | ✅ passed | 41 tools, 12 calls, 3.2 s |
      | the firewall, scanned from outside and from the containers | ✅ passed | 28 ports |
      | survives a reboot | ✅ passed | 74 s |

      ## What was done

      - baked golden-home-b7c1d0e95a21
      - promoted golden-home-b7c1d0e95a21 to stable
      - rolled out to logging: golden-home-0f3a9d42c8e1 → golden-home-b7c1d0e95a21, in 7 min 01 s
      - rolled out to serena: golden-home-0f3a9d42c8e1 → golden-home-b7c1d0e95a21, in 8 min 03 s
      - removed image golden-home-77aa01be4410 (5.0 GiB)
      - removed seed seed-9011-0a1b2c3d4e5f.iso
      - pushed branch golden/nightly (7d1f3c0b8a), and asked for it to be merged

      ## How long it took

      | step | time | result |
      | --- | --- | --- |
      | look up what goes in | 2.1 s | ✅ done |
      | bake | 10 min 42 s | ✅ done |
      | verify | 25 min 18 s | ✅ done |
      | promote | 0.9 s | ✅ done |
      | roll out | 15 min 04 s | ✅ done |
      | remove | 12 s | ✅ done |
      | hand over to git | 1.5 s | ✅ done |

      ## Images and disk

      Storage local-lvm: 85.0 GiB of 200.0 GiB in use (43 %).

      | image | baked | channel | verification | size | used by |
      | --- | --- | --- | --- | --- | --- |
      | \`golden-home-b7c1d0e95a21\` | 2026-11-29 11:31 | stable | ✅ passed | 5.5 GiB | serena green, logging green |
      | \`golden-home-0f3a9d42c8e1\` | 2026-11-22 11:31 | stable | ✅ passed | 5.4 GiB | serena blue (rests) |
      | \`golden-home-deadbeef0000\` | 2026-11-15 11:31 | candidate | ❌ REVOKED | – |  |

      ## Certificates

      | group | name | ends | left |
      | --- | --- | --- | --- |
      | serena | the public certificate | 2026-12-18 | ❌ 18 days |
      | serena | the site's CA | 2036-11-20 | 3643 days |

      _runner@ci, 2026-11-29 11:30 to 2026-11-29 12:21_
      "
    `)
  })

  it('tells what to do about a failed one, first', () => {
    const text = markdown(
      nightWith({
        outcome: 'failed',
        steps: [
          { step: 'lock', ms: 2000, ok: true },
          { step: 'bake', ms: 4000, ok: false },
        ],
        verified: null,
        failure: { code: 'bake-image-pull', message: "the build VM can't pull serena", hint: 'Its way to the registry.' },
      }),
      'ja',
    )
    expect(text.split('\n').slice(2, 7)).toEqual([
      '**失敗** – 次の手順で失敗しました: ベイク。',
      '',
      '## 確認が必要なこと',
      '',
      "- ❌ bake-image-pull: the build VM can't pull serena → Its way to the registry.",
    ])
  })
})

describe('a certificate of which nobody knows when it ends', () => {
  const certificates = [
    { group: 'logging', name: 'the logging certificate', ends: '2036-11-20T00:00:00.000Z', daysLeft: 3643, due: false },
    { group: 'serena', name: 'the public certificate, of the ACME server', ends: null, daysLeft: null, due: false },
  ]
  const survey = eventful.survey && { ...eventful.survey, certificates }

  it('is told as such, in every form', () => {
    const text = markdown(nightWith({ survey }))
    expect(text).toContain(
      '- serena: nobody can tell when it ends, because its slot does not answer: the public certificate, of the ACME server',
    )
    expect(text).toContain('| serena | the public certificate, of the ACME server | unknown | unknown |\n| logging |')
    expect(text).not.toContain(wordsOf.en.noCertificate)
    expect(markdown(nightWith({ survey }), 'ja')).toContain('| serena | the public certificate, of the ACME server | 不明 | 不明 |')
    const { texts } = parse(page(nightWith({ survey })))
    expect(texts.filter((one) => ['unknown', '不明'].includes(one))).toEqual(['unknown', 'unknown', '不明', '不明'])
  })

  it('is one that somebody sees to only if it is due', () => {
    const renewed = { group: 'serena', name: 'the public certificate, by E7', ends: '2026-12-12T00:00:00.000Z', daysLeft: 12 }
    const told = (due: boolean) => markdown(nightWith({ survey: survey && { ...survey, certificates: [{ ...renewed, due }] } }))
    expect(told(true)).toContain('- serena: the public certificate, by E7 ends on 2026-12-12, in 12 days')
    expect(told(true)).toContain('❌ 12 days')
    expect(told(false)).not.toContain('ends on')
    expect(told(false)).toContain('| 12 days |')
  })
})

it('every note and outcome has words in every language', () => {
  for (const words of Object.values(wordsOf)) {
    const notes = (['promote-later', 'promote-by-hand', 'rollout-by-hand', 'rollout-outside', 'rollout-refused'] as const).map((why) =>
      words.note(
        { why, image: 'the-image', nights: 2, groups: ['serena'], opens: '2026-11-30T02:00:00Z', reason: 'the reason' } as never,
        'UTC',
      ),
    )
    expect(new Set(notes).size).toBe(5)
    for (const note of notes) expect(note).toContain('the-image')
  }
  const keys = (value: unknown, path = ''): string[] =>
    typeof value === 'object' && value !== null && path !== '.kind'
      ? Object.entries(value).flatMap(([key, inner]) => keys(inner, `${path}.${key}`))
      : [path]
  expect(keys(wordsOf.ja)).toEqual(keys(wordsOf.en))
})

it('the axis of the plot holds its highest bar, with few lines', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 200_000_000 }), (highest) => {
      const { endMs, stepMs } = axisOf(highest)
      expect(endMs).toBeGreaterThanOrEqual(Math.min(highest, endMs))
      expect(endMs % stepMs).toBe(0)
      if (highest <= 4 * 43_200_000) expect([endMs / stepMs <= 4, endMs >= highest]).toEqual([true, true])
    }),
  )
})

it('says of a request that was open already that it waits, and not that somebody was asked', () => {
  const night: HeldNight = {
    ...eventfulNight,
    record: {
      ...eventful,
      delivered: { to: 'pull-request', branch: 'golden/nightly', commit: '7d1f3c0b8a9e', pushed: true, asked: false },
    },
  }
  expect(markdownOf(reportOf(night, wordsOf.en))).toContain('pushed branch golden/nightly (7d1f3c0b8a), which waits to be merged')
  expect(markdownOf(reportOf(night, wordsOf.ja))).toContain('マージ待ちです')
})
