/** A slot with an ACME server: what it shows, what it keeps, when it asks, and what it says where there is no certificate. */
import fc from 'fast-check'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { statusSchema } from '../../images/contract/status.ts'
import { acme, readLog } from '../../images/guest/acme.ts'
import { dueAt, failed, readAcmeState, succeeded, type AcmeState } from '../../images/guest/acme-state.ts'
import { pairProblem, showPair, shownCertificate, storedPair, type Pair } from '../../images/guest/certificate.ts'
import { certificateStatus, certificateWarnings } from '../../images/guest/certificate-status.ts'
import { keepCertificate, newKeeping } from '../../images/guest/keep-certificate.ts'
import { certificateId, legoConfiguration } from '../../images/guest/lego.ts'
import { slotctl } from '../../images/guest/slotctl.ts'
import { acmeFolder, claimFile, handoverFile, legoFolder, tlsFolder } from '../../images/guest/places.ts'
import { makeAuthority, makeServerCertificate } from '../../settings/secrets/certificates.ts'
import { seeds } from './seed.ts'
import { acmeImage, acmeSeed, acmeSlot, leave, nothing, type AcmeSlot } from './acme-rig.ts'

const host = acmeSeed.public.host
const id = certificateId(acmeSeed.acme!, host)
const minute = 60_000
const hour = 60 * minute
const day = 24 * hour
const slotOf = { seed: acmeSeed, image: acmeImage }

let folder: string
const pairs: Pair[] = []
let other: Pair
let slot: AcmeSlot

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'golden-acme-'))
  const now = new Date('2026-11-30T12:00:00Z')
  const authority = await makeAuthority('Pebble', now)
  for (let made = 0; made < 4; made++) pairs.push(await makeServerCertificate(authority, [host], now))
  other = await makeServerCertificate(authority, ['other.example.org'], now)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))
beforeEach(() => {
  slot = acmeSlot(mkdtempSync(join(folder, 'slot-')))
})

const shown = (one: AcmeSlot): string | undefined => {
  const name = one.read(`${tlsFolder}/current`)?.trim()
  return name === undefined ? undefined : one.read(`${tlsFolder}/${name}.pem`)
}
const gets = (pair: Pair) => async () => {
  leave(slot, id, pair)
  return { ...nothing, stdout: '{"time":"x","level":"INFO","msg":"Server responded with a certificate."}\n' }
}
const refuses = (error: string) => async () => ({
  ...nothing,
  status: 1,
  stdout: `${JSON.stringify({ time: 'x', level: 'INFO', msg: 'Obtaining' })}\n${JSON.stringify({ time: 'x', level: 'ERROR', msg: 'Error', error })}\n`,
})

describe('a certificate', () => {
  it('is kept on the data disk and shown, and asked for again half a day later', async () => {
    slot.lego = gets(pairs[0]!)
    expect(await acme(slot.machine, () => 0.5)).toBe(0)
    expect(slot.ran).toEqual(['/usr/local/sbin/golden-compose run --rm --no-deps -T --name acme acme'])
    expect(storedPair(slot.machine.files)).toEqual(pairs[0])
    expect(shown(slot)).toBe(pairs[0]!.certificate)
    expect(readAcmeState(slot.machine.files)).toEqual({ release: 'r1', lastTry: slot.now, failures: [], nextTry: slot.now + day / 2 })
    expect(slot.said.at(-1)).toMatch(/^a certificate by CN=Pebble, until 20/)
    // lego's copy of its settings, an account's key among them, is not kept.
    expect(slot.machine.files.look(join(legoFolder, '.lego.bck.yaml')).kind).toBe('other')
  })

  it('that is new takes the place of the one of before, whose files stay for who is reading them', async () => {
    for (const pair of pairs.slice(0, 3)) {
      slot.lego = gets(pair)
      await acme(slot.machine)
      expect(shown(slot)).toBe(pair.certificate)
    }
    const kept = slot.machine.files.list(tlsFolder).filter((name) => /^acme-.*\.pem$/.test(name))
    expect(kept.map((name) => slot.read(`${tlsFolder}/${name}`)).sort()).toEqual([pairs[1]!.certificate, pairs[2]!.certificate].sort())
  })

  it('goes with the data disk to the next VM, which shows it without a question, before it may have the address', async () => {
    slot.lego = gets(pairs[0]!)
    await acme(slot.machine)
    const state = slot.read(`${acmeFolder}/state.json`)
    slot.anew()
    slot.machine.files.remove(claimFile)
    expect(shown(slot)).toBeUndefined()
    await keepCertificate(slot.machine, slotOf, newKeeping())
    expect(shown(slot)).toBe(pairs[0]!.certificate)
    expect(slot.read(`${acmeFolder}/state.json`)).toBe(state)
    expect(slot.ran).toHaveLength(1)
  })

  it.each<[string, () => Pair, RegExp]>([
    ['for another name', () => other, /not for serena\.example\.org, but for DNS:other/],
    ["with another one's key", () => ({ ...pairs[0]!, key: other.key }), /not that of the certificate/],
    ['that is none', () => ({ certificate: 'x', key: 'y' }), /no certificate/],
  ])('%s is not shown, and nothing that is there is lost', async (_, pair, why) => {
    slot.lego = gets(pairs[0]!)
    await acme(slot.machine)
    slot.lego = gets(pair())
    await acme(slot.machine)
    expect(shown(slot)).toBe(pairs[0]!.certificate)
    expect(storedPair(slot.machine.files)).toEqual(pairs[0])
    expect(readAcmeState(slot.machine.files)?.lastError).toMatch(why)
  })

  it('that has ended, or does not fit the name of today, is left where it is', async () => {
    slot.lego = gets(pairs[0]!)
    await acme(slot.machine)
    slot.anew()
    slot.now += 1000 * day
    await keepCertificate(slot.machine, slotOf, newKeeping())
    expect(shown(slot)).toBeUndefined()
    expect(pairProblem(pairs[0]!, host, new Date(slot.now))).toMatch(/it ended/)
  })

  it('is not written to a disk that has left meanwhile', async () => {
    slot.lego = async () => {
      slot.mounted = false
      return { ...nothing, status: null, error: 'golden-compose was ended by SIGTERM' }
    }
    expect(await acme(slot.machine)).toBe(0)
    expect(readAcmeState(slot.machine.files)).toBeUndefined()
  })

  it('is asked for by the slot that has the data and the address, when it is due, and not while the group moves', async () => {
    const memory = newKeeping()
    const starts = async (): Promise<number> => {
      slot.ran.length = 0
      await keepCertificate(slot.machine, slotOf, memory)
      return slot.ran.filter((line) => line === 'systemctl start --no-block golden-acme.service').length
    }
    expect(await starts()).toBe(1)
    slot.now += 5000
    // It is at it.
    expect(await starts()).toBe(0)
    slot.lego = gets(pairs[0]!)
    await acme(slot.machine, () => 0.5)
    slot.now += day / 2 - minute
    expect(await starts()).toBe(0)
    slot.now += 2 * minute
    slot.machine.files.write(handoverFile, '{"state":"parking","since":0}')
    expect(await starts()).toBe(0)
    slot.machine.files.remove(handoverFile)
    slot.machine.files.remove(claimFile)
    expect(await starts()).toBe(0)
    slot.machine.files.write(claimFile, '')
    expect(await starts()).toBe(1)
  })

  it('can come from an image that has lego alone', async () => {
    await keepCertificate(slot.machine, { seed: acmeSeed, image: { ...acmeImage, services: {} } }, newKeeping())
    expect(slot.ran).toEqual([])
  })
})

describe('the idle slot', () => {
  const answers = (status: number, body: string) => async () => ({ status, body, headers: {} })

  it('shows what its peer has, before it has the data, and asks again for what is new there', async () => {
    const memory = newKeeping()
    slot.mounted = false
    const asked: unknown[] = []
    slot.peer = async (question) => {
      asked.push(question)
      return { status: 200, body: JSON.stringify(pairs[0]), headers: {} }
    }
    expect(certificateStatus(slot.machine.files, acmeSeed, false)).toEqual({})
    await keepCertificate(slot.machine, slotOf, memory)
    expect(shown(slot)).toBe(pairs[0]!.certificate)
    expect(asked).toMatchObject([
      {
        to: { host: acmeSeed.peer, port: 443 },
        from: acmeSeed.address,
        tls: { name: 'golden-peer', identity: { certificate: 'pem', key: 'key' } },
        path: '/golden/certificate',
      },
    ])
    slot.now += 5000
    await keepCertificate(slot.machine, slotOf, memory)
    expect(asked).toHaveLength(1)
    slot.now += 30_000
    slot.machine.files.write(handoverFile, '{"state":"left","since":0}')
    await keepCertificate(slot.machine, slotOf, memory)
    expect(asked).toHaveLength(1)
    slot.machine.files.remove(handoverFile)
    slot.peer = answers(200, JSON.stringify(pairs[1]))
    slot.now += 30_000
    await keepCertificate(slot.machine, slotOf, memory)
    expect(shown(slot)).toBe(pairs[1]!.certificate)
    expect(storedPair(slot.machine.files)).toBeUndefined()
    // And with the disk comes what is newest.
    slot.mounted = true
    slot.lego = gets(pairs[2]!)
    await acme(slot.machine)
    expect(shown(slot)).toBe(pairs[2]!.certificate)
  })

  it.each<[string, AcmeSlot['peer']]>([
    ['is away', acmeSlotPeer('ECONNREFUSED')],
    ['has another key', acmeSlotPeer('DEPTH_ZERO_SELF_SIGNED_CERT')],
    ['has none', answers(404, '')],
    ['is of before', answers(200, '{}')],
    ['says nonsense', answers(200, 'x')],
  ])('stands by with the own certificate where the peer %s', async (_, peer) => {
    slot.mounted = false
    slot.peer = peer
    const memory = newKeeping()
    for (let round = 0; round < 3; round++) {
      await keepCertificate(slot.machine, slotOf, memory)
      slot.now += 31_000
    }
    expect(shown(slot)).toBeUndefined()
    expect(slot.complained.length).toBeLessThanOrEqual(1)
  })
})

function acmeSlotPeer(code: string): AcmeSlot['peer'] {
  return () => Promise.reject(Object.assign(new Error(code), { code }))
}

describe('failures', () => {
  it('are kept, told in the journal, and tried again later and later', async () => {
    slot.lego = refuses('could not reach the server')
    const waits: number[] = []
    for (let round = 0; round < 10; round++) {
      await acme(slot.machine, () => 0.5)
      const state = readAcmeState(slot.machine.files)!
      waits.push((state.nextTry - slot.now) / minute)
      slot.now = state.nextTry
    }
    expect(waits).toEqual([15, 30, 60, 120, 240, 480, 960, 1440, 1440, 1440])
    expect(slot.complained[0]).toBe(
      'no certificate from the ACME server: could not reach the server; the next try is at 2026-11-30T12:15:00.000Z',
    )
    expect(slot.complained).toHaveLength(10)
    slot.lego = gets(pairs[0]!)
    await acme(slot.machine)
    expect(readAcmeState(slot.machine.files)).toMatchObject({ failures: [] })
  })

  it('with a certificate that is about to end are told as that, too', async () => {
    slot.lego = gets(pairs[0]!)
    await acme(slot.machine)
    slot.lego = refuses('no')
    const end = shownCertificate(slot.machine.files)!.validToDate.getTime()
    slot.now = end - 21 * day
    await acme(slot.machine)
    expect(slot.complained).toHaveLength(1)
    slot.now = end - 20 * day
    await acme(slot.machine)
    expect(slot.complained.at(-1)).toMatch(/^the certificate ends on .*, and is not renewed$/)
    const status = certificateStatus(slot.machine.files, acmeSeed, true)!
    expect(statusSchema.shape.certificate.parse(status)).toEqual(status)
    expect(certificateWarnings(status, new Date(slot.now))).toEqual([
      expect.stringMatching(/^the certificate ends on \d{4}-\d\d-\d\d, and is not renewed: no; tried at .*, and again at /),
    ])
  })

  it('never are more than four an hour, whatever is tried and whoever begins anew', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ chance: fc.double({ min: 0, max: 1, noNaN: true }), release: fc.constantFrom('a', 'b', 'c') }), {
          maxLength: 60,
        }),
        (tries) => {
          let state: AcmeState | undefined
          let now = 1e12
          const times: number[] = []
          for (const { chance, release } of tries) {
            now = Math.max(now + 1000, dueAt(state, release))
            state = failed(state, release, now, 'x', chance)
            times.push(now)
            expect(state.nextTry).toBeLessThanOrEqual(now + 1.1 * day)
          }
          for (const [index, time] of times.entries())
            expect(times.slice(index).filter((one) => one < time + hour).length).toBeLessThanOrEqual(4)
        },
      ),
    )
  })

  it('with a time to come again wait for that, and for no longer than a week', () => {
    const now = Date.parse('2026-11-30T12:00:00Z')
    const next = (error: string): string => new Date(failed(undefined, 'r', now, error, 0.5).nextTry).toISOString()
    expect(next('429 :: too many certificates already issued, retry after 2026-12-02 03:04:05 UTC: see')).toBe('2026-12-02T03:04:05.000Z')
    expect(next('retry after 2026-12-02T03:04:05Z')).toBe('2026-12-02T03:04:05.000Z')
    expect(next('retry after 2099-01-01 00:00:00 UTC')).toBe('2026-12-08T12:00:00.000Z')
    expect(next('retry after lunch')).toBe('2026-11-30T12:15:00.000Z')
  })

  it('of a release of before do not keep a new one waiting', () => {
    const state = failed(undefined, 'old', 1e12, 'x', 0.5)
    expect(dueAt(state, 'new')).toBe(0)
    expect(dueAt(state, 'old')).toBe(1e12 + 15 * minute)
    expect(dueAt(succeeded('old', 1e12, 0.5), 'new')).toBe(0)
  })
})

describe('what is said', () => {
  const at = (ms: number): string => new Date(1e12 + ms).toISOString()
  const warnings = (life: number, left: number, more: object = {}): string[] =>
    certificateWarnings({ shown: { issuer: 'x', from: at(0), until: at(life) }, ...more }, new Date(1e12 + life - left))

  it('nothing while it is renewed in time; from 20 days before the end on that it is not', () => {
    expect(warnings(90 * day, 20.1 * day, { lastError: 'x' })).toEqual([])
    expect(warnings(90 * day, 20 * day, { lastTry: 'then', lastError: 'away', nextTry: 'soon' })).toEqual([
      'the certificate ends on 2001-12-08, and is not renewed: away; tried at then, and again at soon',
    ])
    expect(warnings(90 * day, 20 * day)[0]).toContain('no try has ended yet')
    // Of a short one when a quarter is left: a third, or a half, is when the client begins.
    expect(warnings(45 * day, 12 * day)).toEqual([])
    expect(warnings(45 * day, 11 * day)).toHaveLength(1)
    expect(warnings(6 * day, 2 * day)).toEqual([])
    expect(warnings(6 * day, 1.5 * day)).toHaveLength(1)
  })

  it('that there is none yet, once a try has failed', () => {
    expect(certificateWarnings({}, new Date())).toEqual([])
    expect(certificateWarnings({ lastTry: 'then', lastError: 'DNS', nextTry: 'soon' }, new Date())).toEqual([
      "there is no certificate of the ACME server, and people see the site's own: DNS; tried at then, and again at soon",
    ])
  })

  it('lines of lego, and of whatever else came out', () => {
    const output = [
      JSON.stringify({ time: 'x', level: 'INFO', msg: 'Registering', accountID: 'golden' }),
      'Error response from daemon: no such image',
      JSON.stringify({ time: 'x', level: 'ERROR', msg: 'Error', error: 'one\n\ttwo' }),
      ' Network golden-serena Created',
      '',
    ].join('\n')
    expect(readLog(output)).toEqual({
      lines: [
        'Registering; accountID: golden',
        'Error response from daemon: no such image',
        'Error; error: one two',
        'Network golden-serena Created',
      ],
      error: 'one two',
    })
    expect(readLog('{"level":"ERROR","msg":"Error","error":"load environment variables: unexpected near s3cret"}')).toEqual({
      lines: [],
      error: "lego can't read what public.certificate.dns.environment says",
    })
    expect(readLog('Error response from daemon: gone\n').error).toBe('Error response from daemon: gone')
  })
})

it("lego's certificate is another one with another server, name or profile, and its settings have no more than they need", () => {
  const ids = [
    certificateId({ server: 'https://a/dir' }, 'x'),
    certificateId({ server: 'https://b/dir' }, 'x'),
    certificateId({ server: 'https://a/dir' }, 'y'),
    certificateId({ server: 'https://a/dir', profile: 'shortlived' }, 'x'),
  ]
  expect(new Set(ids).size).toBe(4)
  const seed = { ...acmeSeed, acme: { server: 'https://a/dir', externalAccount: 'kid', dns: { provider: 'exec', waitSeconds: 30 } } }
  expect(JSON.parse(legoConfiguration(seed, 'hmac'))).toMatchObject({
    accounts: { golden: { eab: { kid: 'kid', hmacKey: 'hmac' } } },
    challenges: {
      golden: {
        dns: { provider: 'exec', envFile: '/etc/golden/acme/environment', resolvers: ['10.77.0.1:53'], propagation: { wait: '30s' } },
      },
    },
  })
  expect(JSON.parse(legoConfiguration({ ...acmeSeed, acme: acmeSeed.acme! }, undefined))).toMatchObject({
    challenges: { golden: { http: { webroot: '/var/lib/webroot' } } },
  })
})

describe('slotctl certificate', () => {
  const ask = async (): Promise<{ code: number; said: any }> => {
    slot.said.length = 0
    const code = await slotctl(slot.machine, ['certificate'])
    return { code, said: JSON.parse(slot.said.at(-1) ?? '') }
  }

  it('has the server asked at once, and says how that ended', async () => {
    expect(await ask()).toEqual({ code: 0, said: { schema: 1, certificate: {} } })
    expect(slot.ran).toEqual(['systemctl start golden-acme.service'])
    slot.lego = refuses('no')
    await acme(slot.machine)
    expect(await ask()).toMatchObject({ code: 1, said: { certificate: { lastError: 'no' } } })
  })

  it('is refused without the data, and when too many tries have failed', async () => {
    slot.lego = refuses('no')
    for (let round = 0; round < 4; round++) await acme(slot.machine)
    expect((await ask()).said.error).toEqual({
      code: 'too-soon',
      message: 'too many tries have failed within an hour: the next may be at 2026-11-30T13:00:00.000Z',
    })
    slot.mounted = false
    expect((await ask()).said.error.code).toBe('not-active')
    const plain = acmeSlot(mkdtempSync(join(folder, 'slot-')), undefined, seeds.serena)
    expect(await slotctl(plain.machine, ['certificate'])).toBe(1)
    expect(plain.said.at(-1)).toContain('no-acme')
  })
})

it('what is shown already is left as it is', () => {
  expect(showPair(slot.machine, pairs[0]!)).toBe(true)
  expect(showPair(slot.machine, pairs[0]!)).toBe(false)
  expect(shown(slot)).toBe(pairs[0]!.certificate)
})
