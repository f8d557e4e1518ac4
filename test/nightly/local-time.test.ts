import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isWithin, localText, nightsBetween, opensInMs } from '../../nightly/local-time.ts'

const zones = fc.constantFrom('UTC', 'Asia/Tokyo', 'America/St_Johns', 'Europe/Berlin', 'Pacific/Apia', 'Australia/Lord_Howe')
const clock = fc
  .integer({ min: 0, max: 1439 })
  .map((minute) => `${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`)
const moments = fc.date({ min: new Date('2020-01-01'), max: new Date('2040-01-01'), noInvalidDate: true })

it.each([
  ['2026-11-29T01:59:59Z', false],
  ['2026-11-29T02:00:00Z', true],
  ['2026-11-29T04:59:59Z', true],
  ['2026-11-29T05:00:00Z', false],
])('%s is within 02:00–05:00: %s', (date, isIn) => {
  expect(isWithin({ from: '02:00', to: '05:00' }, new Date(date), 'UTC')).toBe(isIn)
})

it('a window over midnight is open on both sides of it', () => {
  const window = { from: '23:00', to: '01:00' }
  expect(['22:59', '23:00', '00:59', '01:00'].map((at) => isWithin(window, new Date(`2026-11-29T${at}:00Z`), 'UTC'))).toEqual([
    false,
    true,
    true,
    false,
  ])
})

it('is read off the clock of its zone', () => {
  const date = new Date('2026-11-29T17:30:00Z')
  expect(isWithin({ from: '02:00', to: '05:00' }, date, 'Asia/Tokyo')).toBe(true)
  expect(localText(date, 'Asia/Tokyo')).toBe('2026-11-30 02:30')
  expect(nightsBetween(new Date('2026-11-29T14:59:00Z'), new Date('2026-11-29T15:01:00Z'), 'Asia/Tokyo')).toBe(1)
  expect(nightsBetween(new Date('2026-11-29T14:59:00Z'), new Date('2026-11-29T15:01:00Z'), 'UTC')).toBe(0)
})

describe('the time until it opens', () => {
  it('leads to an open window where no clock is changed meanwhile', () => {
    fc.assert(
      fc.property(clock, clock, moments, fc.constantFrom('UTC', 'Asia/Tokyo'), (from, to, date, zone) => {
        fc.pre(from !== to)
        const wait = opensInMs({ from, to }, date, zone)
        expect(wait).toBeLessThanOrEqual(86_400_000)
        expect(isWithin({ from, to }, new Date(date.getTime() + wait), zone)).toBe(true)
        if (wait > 0) expect(isWithin({ from, to }, new Date(date.getTime() + wait - 1), zone)).toBe(false)
      }),
    )
  })

  it('is 0 exactly while it is open, also over changes of the clock', () => {
    fc.assert(
      fc.property(clock, clock, moments, zones, (from, to, date, zone) => {
        fc.pre(from !== to)
        expect(opensInMs({ from, to }, date, zone) === 0).toBe(isWithin({ from, to }, date, zone))
      }),
    )
  })
})
