/** The mark of an image whose rollout was taken back. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { asReason, parseRecord, reasonProblem } from '../../images/record.ts'
import { refuse } from '../../images/refuse.ts'
import { anImage } from './any-image.ts'
import { exampleSite } from './example.ts'
import { now, oneTemplate } from './one-template.ts'

// Signatures have tests of their own (signature.test.ts).
const site = exampleSite((input) => {
  input.image.signed = false
})

it('is kept with the image, for people too, and the first reason stays', async () => {
  const image = anImage(9001)
  const one = oneTemplate(9001, image.record)
  const options = { proxmox: one.proxmox, site, folder: '/nonexistent', by: 'ann@desk', pauseMs: 1 }
  expect(await refuse(options, image, 'slot green does not serve:\nno answer\u001b[0m')).toBe(true)
  const parsed = parseRecord(one.config.description)
  expect(parsed.ok && parsed.record).toMatchObject({
    refused: { at: now, by: 'ann@desk', reason: 'slot green does not serve: no answer [0m' },
  })
  expect(one.config.description).toContain('its rollout was taken back 2026-11-25 01:00 UTC')
  expect(await refuse(options, image, 'another')).toBe(false)
  expect(one.writes).toBe(1)
})

it('any words become a reason that a record takes', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (text) => {
      expect(reasonProblem(asReason(text))).toBe(undefined)
    }),
  )
})
