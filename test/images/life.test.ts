/** What an image goes through: into a channel, out of use, and who takes it meanwhile. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { sortRange, templateNamed } from '../../images/catalog.ts'
import { changeRecord } from '../../images/change-record.ts'
import { channels, newestFit, splitTags, tagsOf, unfitFor } from '../../images/channels.ts'
import { promote, promoted } from '../../images/promote.ts'
import { parseRecord, reasonProblem, renderRecord, replaceRecord, type TemplateRecord } from '../../images/record.ts'
import { planRevocation, revoke } from '../../images/revoke.ts'
import { aBase, anImage, newestFirst } from './any-image.ts'
import { exampleSite, hash } from './example.ts'
import { now, oneTemplate } from './one-template.ts'

// Signatures have tests of their own (signature.test.ts).
const site = exampleSite((input) => {
  input.image.signed = false
})
const folder = '/nonexistent'
const stamp = { at: now, by: 'ann@desk' }

const anyImage = fc
  .record({
    vmid: fc.integer({ min: 9000, max: 9099 }),
    hour: fc.integer({ min: 0, max: 20 }),
    channel: fc.constantFrom(undefined, ...channels),
    verification: fc.constantFrom('passed' as const, 'failed' as const, 'none' as const),
    revoked: fc.boolean(),
    base: fc.constantFrom(hash('a'), hash('9')),
  })
  .map(({ vmid, hour, base, ...more }) =>
    anImage(vmid, { ...more, record: { built: new Date(hour * 3_600_000).toISOString(), base: { os: 'debian-13', sha256: base } } }),
  )
const anyWish = fc.record({ channel: fc.constantFrom(...channels), onlyVerified: fc.boolean(), base: fc.constant({ sha256: hash('a') }) })

it('what is taken is never revoked, nor of another base, nor failed, nor worse than what is asked for; and nothing that is newer is better', () => {
  fc.assert(
    fc.property(fc.uniqueArray(anyImage, { selector: ({ vmid }) => vmid }), anyWish, (images, wish) => {
      const fits = images.filter(
        ({ revoked, verification, channel, record }) =>
          !revoked &&
          record.base.sha256 === wish.base.sha256 &&
          (verification === 'passed' || (verification === 'none' && !wish.onlyVerified)) &&
          (channel === 'stable' || (channel === 'candidate' && wish.channel === 'candidate')),
      )
      expect(newestFit(wish, images)).toBe(newestFirst(fits)[0])
      for (const image of images) expect(unfitFor(wish, image) === undefined).toBe(fits.includes(image))
    }),
  )
})

it('to promote twice is to promote once, and nothing bad is promoted', () => {
  fc.assert(
    fc.property(anyImage, fc.constantFrom(...channels), fc.boolean(), (image, channel, onlyVerified) => {
      const wanting = { ...site, image: { ...site.image, onlyVerified } }
      let record: TemplateRecord | undefined
      try {
        record = promoted(wanting, image, channel, stamp)
      } catch (error) {
        const { code } = error as { code: string }
        expect(code).toBe(image.revoked ? 'image-revoked' : 'image-not-verified')
        expect(image.revoked || image.verification === 'failed' || (onlyVerified && image.verification === 'none')).toBe(true)
        return
      }
      if (record === undefined) {
        expect(image.channel).toBe(channel)
        return
      }
      expect(image.revoked || image.verification === 'failed').toBe(false)
      const [again] = sortRange([
        {
          vmid: image.vmid,
          node: 'pve',
          config: { name: image.name, template: 1, tags: tagsOf(record, ['golden']), description: renderRecord(record) },
        },
      ]).images
      expect(again).toMatchObject({ channel, record: { channel: { name: channel, ...stamp } } })
      expect(again && promoted(wanting, again, channel, { ...stamp, at: '2026-12-01T00:00:00.000Z' })).toBeUndefined()
    }),
  )
})

it("two computers that change one record at once both have their way, and other people's tags and notes stay", async () => {
  const { record } = anImage(9001)
  const one = oneTemplate(9001, record, undefined, 'do not delete!\n\n')
  const base = { by: stamp.by, proxmox: one.proxmox, site, folder, pauseMs: 0 }
  const [seen] = sortRange([{ vmid: 9001, node: 'pve', config: one.config }]).images
  one.meanwhile.push(() => {
    // Somebody else promotes it, with the configuration of now.
    const now = sortRange([{ vmid: 9001, node: 'pve', config: one.config }]).images[0]!
    const theirs = promoted(site, now, 'stable', { at: stamp.at, by: 'bob@laptop' })!
    one.config = {
      ...one.config,
      digest: 'bob',
      tags: tagsOf(theirs, splitTags(one.config.tags)),
      description: replaceRecord(one.config.description!, theirs),
    }
  })
  expect(await changeRecord(base.proxmox, seen!, async (now) => ({ ...now.record, verify: { passed: true, ...stamp } }), base)).toBe(true)
  expect(parseRecord(one.config.description)).toMatchObject({
    record: { channel: { name: 'stable', by: 'bob@laptop' }, verify: { passed: true, by: 'ann@desk' } },
  })
  expect(splitTags(one.config.tags)).toEqual(['golden', 'golden-stable', 'golden-verified', 'mine'])
  expect(one.config.description).toMatch(/^do not delete!\n\nGolden image .*; verification passed .*; stable since .*\.\n/)
  expect(await promote(base, seen!, 'stable')).toBe(false)
})

it('what is revoked between the look and the change is not promoted', async () => {
  const one = oneTemplate(9001, anImage(9001).record)
  const [seen] = sortRange([{ vmid: 9001, node: 'pve', config: one.config }]).images
  one.meanwhile.push(() => {
    one.config = { ...one.config, digest: 'bob', tags: 'golden;golden-revoked' }
  })
  await expect(promote({ proxmox: one.proxmox, site, folder, by: stamp.by, pauseMs: 0 }, seen!, 'stable')).rejects.toMatchObject({
    code: 'image-revoked',
  })
  expect(one.writes).toBe(0)
})

it('a VMID that has become another template is left alone', async () => {
  const one = oneTemplate(9001, anImage(9001, { record: { fingerprint: hash('f') } }).record)
  await expect(promote({ proxmox: one.proxmox, site, folder, by: stamp.by }, anImage(9001), 'stable')).rejects.toMatchObject({
    code: 'image-changed',
  })
  expect(one.writes).toBe(0)
})

it('whoever is never quicker than the others is told so in the end', async () => {
  const one = oneTemplate(9001, anImage(9001).record)
  const [seen] = sortRange([{ vmid: 9001, node: 'pve', config: one.config }]).images
  one.meanwhile.push(...Array.from({ length: 99 }, (_, count) => () => void (one.config = { ...one.config, digest: `other ${count}` })))
  await expect(promote({ proxmox: one.proxmox, site, folder, by: stamp.by, pauseMs: 0 }, seen!, 'stable')).rejects.toMatchObject({
    code: 'changed-meanwhile',
  })
})

it('a revocation keeps its first reason, and the tag of one by hand counts as well', async () => {
  const one = oneTemplate(9001, anImage(9001).record)
  const see = () => sortRange([{ vmid: 9001, node: 'pve', config: one.config }]).images
  expect(await revoke({ proxmox: one.proxmox, by: stamp.by }, { templates: see() }, 'CVE-2026-1')).toMatchObject([{ outcome: 'revoked' }])
  expect(await revoke({ proxmox: one.proxmox, by: stamp.by }, { templates: see() }, 'another')).toMatchObject([{ outcome: 'already' }])
  expect(see()).toMatchObject([{ revoked: true, revokedFor: 'CVE-2026-1 (ann@desk, 2026-11-25)' }])
  expect(one.config.description).toMatch(/^Golden image .* REVOKED 2026-11-25 01:00 UTC: CVE-2026-1\n/)
  one.config = { ...one.config, description: renderRecord(anImage(9001).record) }
  expect(see()).toMatchObject([{ revoked: true }])
})

it('of a base all that was made from it is revoked, of an image every copy, and nothing else', () => {
  const other = { os: 'debian-13', sha256: hash('9') }
  const bases = [aBase(9000), aBase(9001, { node: 'pve2' }), aBase(9002, { record: { base: other } })]
  const copy = anImage(9013, { node: 'pve2', record: { fingerprint: anImage(9010).record.fingerprint } })
  const images = [anImage(9010), anImage(9011), anImage(9012, { record: { base: other } }), copy]
  const of = (template: (typeof bases)[number] | (typeof images)[number]) =>
    planRevocation(template, images, bases).templates.map(({ vmid }) => vmid)
  expect(of(bases[0]!)).toEqual([9000, 9001, 9010, 9011, 9013])
  expect(of(images[0]!)).toEqual([9010, 9013])
  expect(of(images[2]!)).toEqual([9012])
})

it('a reason is a line that a terminal can show', () => {
  expect(reasonProblem('CVE-2026-1: 鍵が漏れた')).toBeUndefined()
  for (const bad of ['', 'a\nb', '\u001b[2J', 'x'.repeat(257)]) expect(reasonProblem(bad), JSON.stringify(bad)).toBeDefined()
})

it('people name an image by name, VMID or the end of its name, and are asked when that is several', () => {
  const images = [
    anImage(9001, { name: 'golden-home-0123456789ab' }),
    anImage(9002, { name: 'golden-home-ffff56789abc' }),
    anImage(9003, { name: 'golden-home-ffff56789abc' }),
  ]
  expect(templateNamed(site, images, '9002').vmid).toBe(9002)
  expect(templateNamed(site, images, 'golden-home-0123456789ab').vmid).toBe(9001)
  expect(templateNamed(site, images, '89ab').vmid).toBe(9001)
  // Once in some 280 images its fingerprint begins with nothing but digits.
  const digits = anImage(9003, { name: 'golden-home-240783706259' })
  expect(templateNamed(site, [...images, digits], '240783706259').vmid).toBe(9003)
  expect(() => templateNamed(site, [...images, digits], '6259')).toThrow(expect.objectContaining({ code: 'image-unknown' }))
  for (const name of ['9999', 'ab', 'x', 'golden-home-ffff56789abc'])
    expect(() => templateNamed(site, images, name), name).toThrow(expect.objectContaining({ code: 'image-unknown', exitCode: 2 }))
})
