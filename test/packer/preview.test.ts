import { expect, it } from 'vitest'
import type { Image, RangeVm } from '../../images/catalog.ts'
import { sortRange } from '../../images/catalog.ts'
import { renderRecord, type TemplateRecord } from '../../images/record.ts'
import { imageName } from '../../packer/names.ts'
import { planBake } from '../../packer/plan.ts'
import { bakeLines, previewBake } from '../../packer/preview.ts'
import { exampleSite, hash } from '../images/example.ts'

const site = exampleSite()
const fingerprint = hash('f')
const inputs = { base: { os: 'debian-13', sha256: hash('a') }, lock: hash('b') }
const image = (vmid: number, change: Partial<TemplateRecord> = {}, tags = 'golden;golden-candidate'): RangeVm => {
  const record: TemplateRecord = {
    schema: 1,
    kind: 'image',
    site: 'home',
    fingerprint: hash('e'),
    ...inputs,
    built: '2026-11-24T01:00:00Z',
    services: {},
    ...change,
  }
  const name = imageName(site, record.fingerprint)
  return { vmid, node: 'pve', config: { name, description: renderRecord(record), tags, template: 1 } }
}
const preview = (range: readonly RangeVm[]) => {
  const images: readonly Image[] = sortRange(range).images
  return previewBake(planBake(site, fingerprint, range), inputs, fingerprint, images)
}

it('says what is new since the newest image that may be used', () => {
  const old = image(9001, { lock: hash('c'), built: '2026-11-20T01:00:00Z' })
  expect(preview([])).toMatchObject({ plan: { kind: 'bake' }, changed: [] })
  expect(preview([])).not.toHaveProperty('newest')
  expect(preview([old, image(9002)])).toMatchObject({ newest: { vmid: 9002 }, changed: ['files'] })
  expect(preview([old])).toMatchObject({ newest: { vmid: 9001 }, changed: ['lock'] })
  expect(preview([old, image(9002, {}, 'golden;golden-revoked')])).toMatchObject({ newest: { vmid: 9001 } })
  expect(preview([image(9001, { base: { os: 'debian-13', sha256: hash('d') }, lock: hash('c') })]).changed).toEqual(['base', 'lock'])
})

it('says for people what would be done, and that nothing would be', () => {
  expect(bakeLines(site, preview([])).join('\n')).toMatch(
    /^make the base template .*\nbake golden-home-ffffffffffff .*\n {2}there is no image yet$/,
  )
  expect(bakeLines(site, preview([image(9001, { lock: hash('c') })])).at(-1)).toBe(
    `  changed since ${imageName(site, hash('e'))} (9001): images.lock.json (container images, the state of the archives)`,
  )
  expect(bakeLines(site, preview([image(9001, { fingerprint })]))).toEqual([
    `nothing to bake: ${imageName(site, fingerprint)} (9001) was baked from the same inputs (fingerprint ffffffffffff)`,
  ])
  expect(bakeLines(site, preview([image(9001, { fingerprint }, 'golden;golden-revoked')]))[0]).toMatch(/^refuse: .*revoked/)
})
