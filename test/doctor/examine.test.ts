/** Who waits for whom, for how long, and how it is told. */
import { expect, it } from 'vitest'
import { Failure } from '../../core/failure.ts'
import { allChecks } from '../../doctor/all.ts'
import type { Check } from '../../doctor/check.ts'
import { examine } from '../../doctor/examine.ts'
import type { Facts } from '../../doctor/facts.ts'
import { bad, fine, sections, unknown, warn, type Line } from '../../doctor/line.ts'
import { exitCodeOf, renderLines } from '../../doctor/render.ts'

const pace = { apiMs: 60_000, atOnce: 2 }
const factsWith = (signal = new AbortController().signal): Facts => ({ signal }) as unknown as Facts
const check = (id: string, run: Check['run'], more: Partial<Check> = {}): Check => ({
  id,
  section: 'Proxmox',
  looks: '',
  mends: '',
  limit: 'api',
  run,
  ...more,
})

it('each check needs others that there are, and in the end none that needs it', () => {
  const needsOf = new Map(allChecks.map(({ id, needs = [] }) => [id, needs]))
  expect(needsOf.size).toBe(allChecks.length)
  for (const { id, section } of allChecks) {
    expect(sections).toContain(section)
    const before = new Set(needsOf.get(id))
    for (const one of before) {
      expect([...needsOf.keys()], `${id} needs ${one}`).toContain(one)
      for (const need of needsOf.get(one) ?? []) before.add(need)
    }
    expect([...before], `${id} waits for itself`).not.toContain(id)
  }
})

it('what needs a line that is not fine is not looked at, nor what needs that; warnings are in nobody’s way', async () => {
  const looked: string[] = []
  const say = (id: string, outcome = fine('')) =>
    check(id, async () => {
      looked.push(id)
      return outcome
    })
  const lines = await examine(
    [
      say('wrong', bad('it is', 'mend it')),
      { ...say('after'), needs: ['wrong'] },
      { ...say('later'), needs: ['after', 'warned'] },
      say('warned', warn('perhaps', 'do')),
      { ...say('goes-on'), needs: ['warned', 'not-among-these'] },
    ],
    factsWith(),
    pace,
  )
  expect(looked.sort()).toEqual(['goes-on', 'warned', 'wrong'])
  expect(lines.map(({ id, state, waits }) => [id, state, waits])).toEqual([
    ['wrong', 'bad', undefined],
    ['after', 'unknown', ['wrong']],
    ['later', 'unknown', ['wrong']],
    ['warned', 'warn', undefined],
    ['goes-on', 'fine', undefined],
  ])
})

it('so many at once, and no more', async () => {
  let now = 0
  let most = 0
  const go = Promise.withResolvers<void>()
  const held = (id: string) =>
    check(id, async () => {
      most = Math.max(most, ++now)
      if (now === pace.atOnce) go.resolve()
      await go.promise
      now -= 1
      return fine(id)
    })
  expect(await examine(['a', 'b', 'c', 'd', 'e'].map(held), factsWith(), pace)).toHaveLength(5)
  expect(most).toBe(pace.atOnce)
})

it('a look that does not end is given up, and the others are told', async () => {
  const never = check('never', () => new Promise(() => {}))
  const ends = check('ends', async () => fine('there'))
  const lines = await examine([never, ends, { ...check('local', () => new Promise(() => {})), limit: 1 }], factsWith(), {
    apiMs: 1,
    atOnce: 9,
  })
  expect(lines).toMatchObject([
    { id: 'never', state: 'unknown', note: expect.stringContaining('no answer within'), mend: expect.stringContaining('again') },
    { id: 'ends' },
    { id: 'local', state: 'unknown' },
  ])
})

it('whatever is thrown becomes a line, with its code and what mends it', async () => {
  const lines = await examine(
    [
      check('known', async () => Promise.reject(new Failure('no-image', 'there is none', 'Bake.'))),
      check('system', async () => Promise.reject(Object.assign(new Error('EACCES'), { code: 'EACCES', path: '/x', syscall: 'open' }))),
      check('strange', async () => Promise.reject(new TypeError('x is not a function'))),
    ],
    factsWith(),
    pace,
  )
  expect(lines).toMatchObject([
    { state: 'bad', code: 'no-image', note: 'there is none', mend: 'Bake.' },
    { state: 'bad', code: 'file-not-allowed' },
    { state: 'bad', code: 'bug', mend: expect.stringContaining('report') },
  ])
})

it('stopped, it ends with the reason', async () => {
  const stop = new AbortController()
  const begun = check('begun', async () => {
    stop.abort(new Failure('cancelled', 'stopped by you', 'Again.'))
    return new Promise(() => {})
  })
  await expect(examine([begun], factsWith(stop.signal), pace)).rejects.toMatchObject({ code: 'cancelled' })
})

it('the table: a section after another, what mends below, and what waits for the same in one line', () => {
  const line = (section: Line['section'], id: string, outcome: Omit<Line, 'section' | 'id'>): Line => ({ section, id, ...outcome })
  const wait = { ...unknown('not looked at: needs token'), waits: ['token'] }
  const lines = [
    line('Proxmox', 'api', fine('answers')),
    line('Proxmox', 'token', bad('it is refused\nby Proxmox', 'Run "npx golden setup --new-token".')),
    line('Proxmox', 'disks', wait),
    line('Proxmox', 'iso', wait),
    line('this computer', 'tools', warn('to come', 'do')),
    line('outside', 'depots', fine('VM 9010', 'serena')),
  ]
  expect(renderLines(lines)).toBe(
    [
      'this computer:',
      '  ! tools         to come',
      '                  → do',
      'Proxmox:',
      '  ✓ api           answers',
      '  ✗ token         it is refused',
      '                  by Proxmox',
      '                  → Run "npx golden setup --new-token".',
      '  – not looked at before token is fine: disks, iso',
      'outside:',
      '  ✓ depots serena VM 9010',
      '',
      '2 fine, 1 to know of, 1 to mend, 2 not looked at.',
    ].join('\n'),
  )
  expect(exitCodeOf(lines)).toBe(1)
  expect(exitCodeOf(lines.filter(({ state }) => state !== 'bad'))).toBe(0)
})
