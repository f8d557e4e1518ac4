import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { channels } from '../../images/channels.ts'
import { services } from '../../images/contract/record.ts'
import {
  descriptionLimit,
  finished,
  parseRecord,
  renderRecord,
  replaceRecord,
  type Record as AnyRecord,
  type TemplateRecord,
} from '../../images/record.ts'
import { hash } from './example.ts'

const hex = fc.stringMatching(/^[0-9a-f]{64}$/)
const time = fc.integer({ min: 0, max: 4_000_000_000 }).map((seconds) => new Date(seconds * 1000).toISOString())
const word = fc.string({ minLength: 1, maxLength: 60, unit: 'grapheme' })
const making = { unfinished: fc.constant(true as const), run: fc.stringMatching(/^[0-9a-f]{12}$/) }
const base = fc.record({ os: word, sha256: hex })
const stamp = { at: time, by: word }
const revoked = fc.record({ ...stamp, reason: fc.string({ minLength: 1, maxLength: 256 }) })
const life = {
  manifest: hex,
  channel: fc.record({ name: fc.constantFrom(...channels), ...stamp }),
  verify: fc.record(
    { passed: fc.boolean(), ...stamp, failed: fc.array(fc.string({ minLength: 1, maxLength: 64 }), { maxLength: 16 }) },
    { requiredKeys: ['passed', 'at', 'by'] },
  ),
  revoked,
}
const image = fc.record(
  {
    schema: fc.constant(1 as const),
    kind: fc.constant('image' as const),
    site: word,
    fingerprint: hex,
    lock: hex,
    base,
    built: time,
    services: fc.dictionary(fc.constantFrom(...services), fc.string({ minLength: 1, maxLength: 200 })),
    ...life,
    ...making,
  },
  { requiredKeys: ['schema', 'kind', 'site', 'fingerprint', 'lock', 'base', 'built', 'services'] },
)
const baseTemplate = fc.record(
  {
    schema: fc.constant(1 as const),
    kind: fc.constant('base' as const),
    site: word,
    fingerprint: hex,
    base,
    built: time,
    revoked,
    ...making,
  },
  { requiredKeys: ['schema', 'kind', 'site', 'fingerprint', 'base', 'built'] },
)

const example: TemplateRecord = {
  schema: 1,
  kind: 'image',
  site: 'home',
  fingerprint: hash('f'),
  lock: hash('b'),
  base: { os: 'debian-13', sha256: hash('a') },
  built: '2026-11-24T01:02:03.000Z',
  services: { serena: `ghcr.io/oraios/serena@sha256:${hash('c')}` },
}

describe("a template's record", () => {
  it("comes back as it went, within Proxmox's limit, also after Proxmox has cut trailing newlines", () => {
    fc.assert(
      fc.property(fc.oneof(image, baseTemplate), (record) => {
        const text = renderRecord(record as AnyRecord)
        expect(text.length).toBeLessThanOrEqual(descriptionLimit)
        expect(parseRecord(`${text}\n\n`.trimEnd())).toEqual({ ok: true, record })
      }),
    )
  })

  it('says nothing of its making once it is made', () => {
    expect(finished({ ...example, unfinished: true, run: '6925a0000001' })).toEqual(example)
  })

  it('begins with a line for people', () => {
    expect(renderRecord(example).split('\n')[0]).toBe(
      'Golden image ffffffffffff of home: debian-13 with serena; baked 2026-11-24 01:02 UTC.',
    )
  })

  it('is still read when somebody writes notes around it', () => {
    expect(parseRecord(`do not delete!\n\n${renderRecord(example)}\n\nasked Ann on Monday`)).toEqual({ ok: true, record: example })
  })

  it('takes the place of the one before, and of nothing that people have written', () => {
    fc.assert(
      fc.property(image, image, fc.string(), fc.string(), (before, after, above, below) => {
        fc.pre(!`${above}${below}`.includes('```') && !/^(Golden image|Base of)/m.test(above))
        const notes = `${above}\n\n${renderRecord(before as AnyRecord)}\n\n${below}`
        expect(replaceRecord(notes, after as AnyRecord)).toBe(
          `${above}\n\n${renderRecord(after as AnyRecord)}\n\n${below}`.replaceAll('\r\n', '\n'),
        )
      }),
    )
  })

  it('takes its place also when a reason has a line separator in it', () => {
    const reason = 'two\u2028lines\u2029of it'
    const revoked = { at: example.built, by: 'me', reason }
    const before = renderRecord({ ...example, revoked } as AnyRecord)
    expect(replaceRecord(`${before}\n\nnotes`, example)).toBe(`${renderRecord(example)}\n\nnotes`)
  })

  it('says so when the notes of people leave no room for it', () => {
    const notes = `${'x'.repeat(descriptionLimit - renderRecord(example).length - 1)}\n${renderRecord(example)}`
    expect(replaceRecord(notes, example)).toBe(notes)
    expect(() => replaceRecord(notes, { ...example, manifest: hash('1') })).toThrow(expect.objectContaining({ code: 'notes-full' }))
  })

  it('tells people how far the image has come', () => {
    const stamp = { at: '2026-11-25T01:02:03.000Z', by: 'ann@desk' }
    const record: TemplateRecord = {
      ...example,
      verify: { passed: false, ...stamp },
      channel: { name: 'stable', ...stamp },
      revoked: { ...stamp, reason: 'CVE-2026-1' },
    }
    expect(renderRecord(record).split('\n')[0]).toMatch(
      /; baked .* UTC; verification FAILED 2026-11-25 01:02 UTC; stable since 2026-11-25 01:02 UTC\. REVOKED 2026-11-25 01:02 UTC: CVE-2026-1$/,
    )
  })

  it.each([
    [undefined, 'has no description'],
    [' ', 'has no description'],
    ['Packer ephemeral build VM', 'has no record in its description'],
    ['```json\n{"schema":1\n```', 'has a record that is not JSON'],
    ['```json\n{"schema":1,"kind":"other"}\n```', /not valid/],
    [renderRecord(example).replace('"schema": 1', '"schema": 2'), /not valid \(schema/],
  ])('says why %j is none', (text, reason) => {
    const parsed = parseRecord(text)
    expect(parsed.ok).toBe(false)
    expect(!parsed.ok && parsed.reason).toEqual(typeof reason === 'string' ? reason : expect.stringMatching(reason))
  })

  it('never throws for any description', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (a, b) => {
        parseRecord(`${a}\`\`\`json\n${b}\n\`\`\``)
      }),
    )
  })
})
