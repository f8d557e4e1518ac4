/** What host and guest say to each other: the guest takes types only, so that what it says is held against the schemas here. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { imageRecordSchema, renderImageRecord } from '../../images/contract/record.ts'
import { seedSchema } from '../../images/contract/seed.ts'
import { statusSchema } from '../../images/contract/status.ts'
import { wantedContainers } from '../../images/guest/places.ts'
import { parseSeed } from '../../images/guest/render.ts'
import { describe as describeSlot, type Observation } from '../../images/guest/status.ts'
import { image, imageWithoutGrafana, seeds } from './seed.ts'

const disks = ['absent', 'blank', 'foreign', 'ready', 'mounted'] as const
const names = wantedContainers(seeds.both).map(({ name }) => name)
const words = fc.array(fc.string(), { maxLength: 2 })

/** Whatever a look at a machine can find. */
const anyObservation: fc.Arbitrary<Observation> = fc.record(
  {
    disk: fc.constantFrom(...disks),
    containers: fc.option(
      fc.array(
        fc.record({ id: fc.string(), name: fc.constantFrom(...names), state: fc.constantFrom('running', 'exited', 'restarting', 'dead') }),
      ),
      { nil: undefined },
    ),
    answering: fc.subarray(names).map((list) => new Set<string>(list)),
    reasons: fc.constantFrom(new Map([['loki', 'status 500']]), new Map<string, string>()),
    addresses: fc.subarray([seeds.both.service, seeds.both.address]),
    cloneProblems: words,
    warnings: words,
    full: fc.subarray(['root', 'data'] as ('root' | 'data')[]),
    fullForLoki: fc.boolean(),
    addressProblems: words,
    frontProblems: words,
    restarted: fc.subarray(names).map((list) => new Set<string>(list)),
    handover: fc.constantFrom('parking', 'forwarding', 'left'),
    sseClients: fc.nat(),
  },
  { requiredKeys: ['disk', 'containers', 'answering', 'addresses', 'cloneProblems', 'addressProblems', 'restarted'] },
)

describe('the status', () => {
  it('is what its schema says, with nothing else in it', () => {
    const states = new Set<string>()
    fc.assert(
      fc.property(
        fc.constantFrom(...Object.values(seeds)),
        fc.constantFrom(image, imageWithoutGrafana),
        anyObservation,
        (seed, record, seen) => {
          const said: unknown = JSON.parse(JSON.stringify(describeSlot({ seed, image: record }, seen)))
          // Parsing leaves out what the schema does not have.
          expect(statusSchema.parse(said)).toEqual(said)
          for (const { state } of Object.values(statusSchema.parse(said).services)) states.add(state)
        },
      ),
    )
    expect([...states].sort()).toEqual(['absent', 'running', 'starting', 'stopped', 'unhealthy'])
  })

  it('of an image of before may have more, not less', () => {
    const said = { ...describeSlot({ seed: seeds.serena, image }, fc.sample(anyObservation, 1)[0]!), more: true }
    expect(statusSchema.safeParse(said).success).toBe(true)
    for (const field of Object.keys(statusSchema.shape).filter((name) => name !== 'handover' && name !== 'serves'))
      expect(statusSchema.safeParse({ ...said, [field]: undefined }).success, field).toBe(false)
    // From before there were any.
    const { handover: _handover, serves: _serves, more: _more, ...older } = said
    expect(statusSchema.parse(older)).toEqual(older)
  })
})

describe('the seed', () => {
  it('that the tests of the guest use is one', () => {
    for (const seed of Object.values(seeds)) expect(parseSeed(JSON.stringify(seedSchema.parse(seed)))).toEqual(seed)
  })

  it('without a field is none for the guest only where it is none for who renders it', () => {
    const refuses = (read: () => unknown): boolean => {
      try {
        read()
        return false
      } catch {
        return true
      }
    }
    const refused = Object.keys(seedSchema.shape).filter((field) => {
      const { [field as 'schema']: _, ...rest } = seeds.both
      const byGuest = refuses(() => parseSeed(JSON.stringify(rest)))
      if (byGuest)
        expect(
          refuses(() => seedSchema.parse(rest)),
          field,
        ).toBe(true)
      return byGuest
    })
    expect(refused.length).toBeGreaterThan(10)
  })
})

it('the record of an image is what the guest reads', () => {
  for (const one of [image, imageWithoutGrafana]) expect(JSON.parse(renderImageRecord(one))).toEqual(imageRecordSchema.parse(one))
  expect(() => renderImageRecord({ ...image, built: 'today' })).toThrow(/built/)
})
