/** Restore points of the services' state: made before another image uses it, put back when asked for, whatever is killed. */
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { thisMachine } from '../../images/guest/machine.ts'
import { due, readUsedBy, restorePointProblems, restorePointsStatus, type RestorePoint } from '../../images/guest/restore-points.ts'
import { statePaths } from '../../images/guest/state.ts'
import { Killed, stateDisk, type StateDisk } from './state-disk.ts'

let folder = ''
let disk: StateDisk
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'golden-state-'))
  disk = stateDisk(folder)
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const files = () => ({
  ...thisMachine.files,
  exists: (path: string) => thisMachine.files.exists(disk.path(path)),
  read: (path: string) => thisMachine.files.read(disk.path(path)),
  list: (path: string) => thisMachine.files.list(disk.path(path)),
})
const status = () => restorePointsStatus(files())
const usedBy = () => readUsedBy(files())

/** What the services of an image leave, all of it with the same mark. */
const state = (mark: string): Record<string, string> => ({
  'serena/memories/global/note.md': mark,
  'serena/.hidden': mark,
  'grafana/grafana.db': mark,
  'loki/chunks/index/index_1/one.tsdb.gz': mark,
  'loki/tsdb-shipper-active/wal/1': mark,
})
const others = {
  'serena/language_servers/static/large': 'x',
  'serena/logs/2026-11-29/log.txt': 'x',
  'grafana/plugins/one': 'x',
  'loki/chunks/fake/abc': 'x',
  'loki/wal/0001': 'x',
  'projects/playground/main.py': 'x',
}
const leave = (mark: string): void => {
  for (const [path, content] of Object.entries({ ...state(mark), ...others })) disk.write(path, content)
}
const now = () => ({ ...disk.tree('serena'), ...disk.tree('grafana'), ...disk.tree('loki'), ...disk.tree('projects') })
/** The mark that all of the state has. */
const mark = (): string | undefined => {
  const marks = Object.keys(state('')).map((path) => now()[path])
  return marks.every((one) => one === marks[0]) ? marks[0] : `mixed: ${marks.join()}`
}

it('a new disk has nothing to keep, and a slot of the same image makes none', async () => {
  await disk.use('a')
  expect([status(), usedBy()]).toEqual([[], { image: 'a' }])
  leave('1')
  disk.ran()
  await disk.use('a')
  expect([status(), disk.ran()]).toEqual([[], []])
})

it('before another image uses it, the state is kept, and nothing else is', async () => {
  await disk.use('a')
  leave('1')
  await disk.use('b')
  const { 'restore-points/000001/about.json': about, ...kept } = disk.tree('restore-points/000001')
  expect(kept).toEqual(Object.fromEntries(Object.entries(state('1')).map(([path, content]) => [`restore-points/000001/${path}`, content])))
  expect(JSON.parse(about ?? '')).toEqual({ made: expect.any(String), image: 'a', bytes: expect.any(Number) })
  expect(now()).toEqual({ ...state('1'), ...others })
  expect(status()).toEqual([{ made: expect.any(String), image: 'a', bytes: expect.any(Number), last: true }])
})

it('of a disk on which nobody has noted who used it, too', async () => {
  leave('1')
  await disk.use('b')
  expect(status()).toMatchObject([{ image: 'unknown', last: true }])
})

it('the last two are kept', async () => {
  for (const image of ['a', 'b', 'c', 'd']) {
    await disk.use(image)
    leave(image)
  }
  expect(status().map(({ image, last }) => [image, last])).toEqual([
    ['b', false],
    ['c', true],
  ])
})

it.each([
  ['bytes', { bavail: 1 }, 'no room for 1 MiB'],
  ['files', { files: 1_000_000, ffree: 50_000 }, /no room for \d+ files/],
])('without room for it (%s) none is made, which is told, and the services start', async (_what, space, said) => {
  await disk.use('a')
  leave('1')
  disk.space = space
  await disk.use('b')
  expect([status(), usedBy()]).toEqual([[], { image: 'b', problem: expect.stringMatching(said) }])
  expect(restorePointProblems(files(), 'b')).toEqual([expect.stringMatching(said)])
  expect(restorePointProblems(files(), 'a')).toEqual([])
  // What another image has left before that one is not mistaken for it.
  disk.space = {}
  leave('2')
  await disk.use('a', { wish: 'before' })
  expect([mark(), usedBy()?.problem]).toEqual(['2', expect.stringContaining('no restore point has it')])
})

it('on a disk that takes not even a note the services start, but not with half a state', async () => {
  await disk.use('a')
  leave('1')
  disk.full = true
  await disk.use('b')
  expect([status(), usedBy(), mark()]).toEqual([[], { image: 'a' }, '1'])
  disk.full = false
  await disk.use('b')
  leave('2')
  // It has begun: the note is written.
  await expect(disk.use('a', { wish: 'before', killAt: 6 })).rejects.toThrow(Killed)
  disk.full = true
  await expect(disk.use('a', { wish: 'before' })).rejects.toThrow('ENOSPC')
  disk.full = false
  await disk.use('a', { wish: 'before' })
  expect(mark()).toBe('1')
})

describe('asked for the state of before', () => {
  beforeEach(async () => {
    await disk.use('a')
    leave('1')
    await disk.use('b')
    leave('2')
    disk.write('grafana/grafana.db-journal', 'of 2')
    disk.write('serena/new-in-b', 'of 2')
    disk.write('loki/tsdb-shipper-cache/index_1', 'of 2')
  })

  it('its own image has it, the other one’s is kept, and the rest is as it was', async () => {
    await disk.use('a', { wish: 'before' })
    expect(now()).toEqual({ ...state('1'), ...others })
    expect(status()).toMatchObject([{ image: 'b', last: true }])
    expect(disk.tree('restore-points/000002')).toMatchObject({
      'restore-points/000002/grafana/grafana.db-journal': 'of 2',
      'restore-points/000002/serena/new-in-b': 'of 2',
    })
  })

  it('again: nothing is put back over what is newer', async () => {
    await disk.use('a', { wish: 'before' })
    leave('3')
    await disk.use('a', { wish: 'before' })
    expect(mark()).toBe('3')
    await disk.use('a')
    expect(mark()).toBe('3')
  })

  it('a mistake is undone in the same way', async () => {
    await disk.use('a', { wish: 'before' })
    leave('3')
    await disk.use('b', { wish: 'before' })
    expect(now()).toMatchObject({ ...state('2'), 'grafana/grafana.db-journal': 'of 2', 'serena/new-in-b': 'of 2' })
    expect(status()).toMatchObject([{ image: 'a', last: true }])
  })

  it('a slot of a third image gets what is there, and says that it is not what was asked for', async () => {
    await disk.use('c', { wish: 'before' })
    expect(mark()).toBe('2')
    expect(restorePointProblems(files(), 'c')).toEqual([expect.stringContaining('was asked for')])
  })
})

describe('killed before any change', () => {
  /** @returns whether it came to its end before so many changes */
  const killed = async (image: string, wish: 'now' | 'before', killAt: number): Promise<boolean> => {
    try {
      await disk.use(image, { wish, killAt })
      return false
    } catch (error) {
      if (!(error instanceof Killed)) throw error
      return true
    }
  }
  const prepare = async (): Promise<void> => {
    rmSync(folder, { recursive: true, force: true })
    disk = stateDisk(folder)
    disk.modelled = true
    await disk.use('a')
    leave('1')
    await disk.use('b')
    leave('2')
  }

  it('a restore point is made once by the next run', async () => {
    for (let at = 0, went = true; went; at++) {
      await prepare()
      went = await killed('c', 'now', at)
      await disk.use('c')
      expect(status().map(({ image, last }) => [image, last])).toEqual([
        ['a', false],
        ['b', true],
      ])
      const kept = disk.tree('restore-points')
      expect(Object.keys(kept).filter((path) => /\.new|restoring/.test(path))).toEqual([])
      expect(Object.keys(state('')).map((path) => kept[`restore-points/000002/${path}`])).toEqual(Object.values(state('2')))
      expect(mark()).toBe('2')
    }
  })

  it('the state of before is put back by the next run', async () => {
    for (let at = 0, went = true; went; at++) {
      await prepare()
      went = await killed('a', 'before', at)
      await disk.use('a', { wish: 'before' })
      expect(now()).toEqual({ ...state('1'), ...others })
      expect(status().map(({ image, last }) => [image, last])).toEqual([['b', true]])
    }
  })

  it('where the other slot comes next, it has a whole state, and its own if it asks for that', async () => {
    for (let at = 0, went = true; went; at++) {
      await prepare()
      went = await killed('a', 'before', at)
      await disk.use('b')
      expect(['1', '2']).toContain(mark())
      await prepare()
      await killed('a', 'before', at)
      await disk.use('b', { wish: 'before' })
      expect(mark()).toBe('2')
    }
  })
})

it('what its owners have turned into links leads nowhere', async () => {
  const outside = mkdtempSync(join(tmpdir(), 'golden-outside-'))
  try {
    await disk.use('a')
    disk.write('serena/memories/one', '1')
    disk.write('loki/tsdb-shipper-active/1', '1')
    thisMachine.files.mkdir(join(outside, 'index'))
    thisMachine.files.write(join(outside, 'index', 'secret'), 'root only')
    thisMachine.files.mkdir(disk.path('/srv/golden/grafana'))
    symlinkSync(join(outside, 'index', 'secret'), disk.path('/srv/golden/grafana/grafana.db'))
    symlinkSync(outside, disk.path('/srv/golden/loki/chunks'))
    symlinkSync(outside, disk.path('/srv/golden/serena/-t'))
    await disk.use('b')
    expect(Object.values(disk.tree('restore-points')).join()).not.toContain('root only')
    expect(disk.tree('restore-points/000001/loki')).toEqual({ 'restore-points/000001/loki/tsdb-shipper-active/1': '1' })
    await disk.use('a', { wish: 'before' })
    expect(thisMachine.files.read(join(outside, 'index', 'secret'))).toBe('root only')
    expect(disk.tree('serena')).toEqual({ 'serena/-t': `→ ${outside}`, 'serena/memories/one': '1' })
    expect(disk.tree('grafana')).toEqual({ 'grafana/grafana.db': `→ ${join(outside, 'index', 'secret')}` })
    // A whole folder of a service, too.
    rmSync(disk.path('/srv/golden/grafana'), { recursive: true })
    symlinkSync(outside, disk.path('/srv/golden/grafana'))
    expect(statePaths(thisMachine.files, disk.path('/srv/golden')).filter((path) => path.startsWith('grafana'))).toEqual([])
  } finally {
    rmSync(outside, { recursive: true, force: true })
  }
})

it('whatever slots come one after another, killed or not, each has what its image may expect', async () => {
  const visit = fc.record({
    image: fc.constantFrom('a', 'b', 'c'),
    wish: fc.constantFrom('now' as const, 'now' as const, 'before' as const),
    killAt: fc.oneof(fc.constant(Infinity), fc.integer({ min: 0, max: 25 })),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(visit, { maxLength: 6 }), async (visits) => {
      rmSync(folder, { recursive: true, force: true })
      disk = stateDisk(folder)
      disk.modelled = true
      let used: { image: string; state: string } | undefined
      let last: { image: string; state: string } | undefined
      for (const [at, { image, wish, killAt }] of visits.entries()) {
        await disk.use(image, { wish, killAt }).catch((error: unknown) => {
          if (!(error instanceof Killed)) throw error
          return disk.use(image, { wish })
        })
        if (used === undefined) used = { image, state: '' }
        else if (used.image !== image) {
          const puts: string = wish === 'before' && last?.image === image ? last.state : used.state
          last = used
          used = { image, state: puts }
        }
        if (used.state !== '') expect(mark()).toBe(used.state)
        expect(
          status()
            .filter((point) => point.last)
            .map((point) => point.image),
        ).toEqual(last === undefined ? [] : [last.image])
        expect(status().length).toBeLessThanOrEqual(2)
        leave(String(at))
        used = { image, state: String(at) }
      }
    }),
    { numRuns: 40 },
  )
})

it('a state is put back only over that of another image, and only from what its own has left', () => {
  const image = fc.constantFrom('a', 'b', 'c')
  const id = fc.constantFrom('000001', '000002', '000003')
  const point: fc.Arbitrary<RestorePoint> = fc.record({ id, image, made: fc.constant('2026-11-29T00:00:00.000Z'), bytes: fc.nat() })
  const anyUsedBy = fc.option(fc.record({ image, restorePoint: id }, { requiredKeys: ['image'] }), { nil: undefined })
  fc.assert(
    fc.property(image, fc.constantFrom('now', 'before'), anyUsedBy, fc.boolean(), fc.array(point), (own, wish, by, hasState, points) => {
      const next = due(own, wish, by, hasState, points)
      if (by?.image === own) expect(next).toEqual({ do: 'nothing' })
      else if (next.do === 'put-back') expect([wish, next.point.image, next.point.id]).toEqual(['before', own, by?.restorePoint])
      else expect(next.do).toBe(hasState ? 'make' : 'note')
    }),
  )
})
