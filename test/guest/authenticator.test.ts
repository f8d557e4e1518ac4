/** Who is let in, how often that is worked out, and in which order. No time passes but the test's own. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { makeAuthenticator, tries, type Authenticator, type AuthenticatorOptions, type Verdict } from '../../images/guest/authenticator.ts'
import { hashPassword, nobody, parseUsers, verifyPassword, type PasswordHash } from '../../images/guest/password.ts'

const basic = (user: string, password: string): string => `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`

/** Stands for a hash: the password lies in its salt. */
const cheap = (password: string): PasswordHash => ({ ln: 14, r: 8, p: 5, salt: Buffer.from(password), hash: Buffer.alloc(32) })

interface Bench {
  readonly authenticator: Authenticator
  /** Passwords that are being checked. */
  readonly running: string[]
  /** All that were, in order. */
  readonly checked: { password: string; known: PasswordHash }[]
  readonly clock: { ms: number }
  /** Ends the check that has run longest. */
  finish(): Promise<void>
  /** Ends all of them, and those that follow. */
  finishAll(): Promise<void>
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

function bench(options: Partial<AuthenticatorOptions> = {}): Bench {
  const running: string[] = []
  const ends: (() => void)[] = []
  const checked: Bench['checked'] = []
  const clock = { ms: 0 }
  const authenticator = makeAuthenticator({
    realms: new Map([
      [
        'serena',
        new Map([
          ['me', cheap('right')],
          ['you', cheap('yours')],
        ]),
      ],
      ['loki', new Map([['promtail', cheap('push')]])],
    ]),
    probe: 'probe-secret',
    verify: (password, known) =>
      new Promise((resolve) => {
        running.push(password.toString())
        checked.push({ password: password.toString(), known })
        ends.push(() => {
          running.splice(running.indexOf(password.toString()), 1)
          resolve(password.equals(known.salt))
        })
      }),
    now: () => clock.ms,
    lanes: 1,
    ...options,
  })
  const finish = async (): Promise<void> => {
    ends.shift()?.()
    await settle()
  }
  return {
    authenticator,
    running,
    checked,
    clock,
    finish,
    finishAll: async () => {
      while (ends.length > 0) await finish()
    },
  }
}

async function answer(bench: Bench, asked: Promise<Verdict>): Promise<Verdict> {
  await settle()
  await bench.finishAll()
  return asked
}

it('a right password is worked out once, whoever comes with it and from wherever', async () => {
  const it = bench()
  expect(await answer(it, it.authenticator.check('serena', '10.0.0.1', basic('me', 'right')))).toEqual({ is: 'known', user: 'me' })
  for (const address of ['10.0.0.1', '10.0.0.2'])
    expect(await it.authenticator.check('serena', address, basic('me', 'right'))).toEqual({ is: 'known', user: 'me' })
  expect(it.checked).toHaveLength(1)
  expect(await answer(it, it.authenticator.check('loki', '10.0.0.1', basic('me', 'right')))).toEqual({ is: 'unknown' })
})

it('a request of one who is known costs less than a millisecond, though the hash is a strong one', async () => {
  const hash = parseUsers(`me:${await hashPassword('right')}\n`).get('me')
  if (hash === undefined) throw new Error('no hash')
  const it = bench({ realms: new Map([['serena', new Map([['me', hash]])]]), verify: verifyPassword })
  const check = (): Promise<Verdict> => it.authenticator.check('serena', '10.0.0.1', basic('me', 'right'))
  expect(await check()).toEqual({ is: 'known', user: 'me' })
  // Of the processor's time: how busy the machine is does not matter.
  const before = process.cpuUsage()
  for (let i = 0; i < 500; i++) expect((await check()).is).toBe('known')
  const { user, system } = process.cpuUsage(before)
  expect((user + system) / 1000 / 500).toBeLessThan(1)
})

it('connections that a client opens at once wait for the same check', async () => {
  const it = bench()
  const all = Promise.all(Array.from({ length: 30 }, () => it.authenticator.check('serena', '10.0.0.1', basic('me', 'right'))))
  await settle()
  await it.finishAll()
  expect(new Set((await all).map((verdict) => verdict.is))).toEqual(new Set(['known']))
  expect(it.checked).toHaveLength(1)
})

it('a user who does not exist costs what others cost', async () => {
  const it = bench()
  expect(await answer(it, it.authenticator.check('serena', '10.0.0.1', basic('nobody', 'wrong')))).toEqual({ is: 'unknown' })
  expect(await answer(it, it.authenticator.check('nowhere', '10.0.0.1', basic('me', 'right')))).toEqual({ is: 'unknown' })
  const cost = ({ ln, r, p, hash }: PasswordHash): object => ({ ln, r, p, bytes: hash.length })
  const [made] = parseUsers(`me:${await hashPassword('x')}\n`).values()
  expect(it.checked.map(({ known }) => cost(known))).toEqual([cost(made!), cost(made!)])
})

it('what is no Basic credentials is not worked on', async () => {
  const it = bench()
  for (const header of [
    undefined,
    '',
    'Bearer x',
    'Basic',
    'Basic !',
    `Basic ${Buffer.from('no colon').toString('base64')}`,
    basic('me', 'x'.repeat(2000)),
  ]) {
    expect(await it.authenticator.check('serena', '10.0.0.1', header)).toEqual({ is: 'unknown' })
  }
  expect(it.checked).toEqual([])
})

it('an address that goes on with wrong passwords has to wait; others, and who was let in, do not', async () => {
  const it = bench()
  await answer(it, it.authenticator.check('serena', '10.0.0.1', basic('me', 'right')))
  const verdicts: Verdict[] = []
  for (let at = 0; at < 50; at++) verdicts.push(await answer(it, it.authenticator.check('serena', '10.0.0.1', basic('me', `wrong${at}`))))
  expect(verdicts.filter((verdict) => verdict.is === 'unknown')).toHaveLength(tries.burst)
  expect(verdicts.at(-1)).toEqual({ is: 'busy', seconds: tries.seconds })
  expect(await it.authenticator.check('serena', '10.0.0.1', basic('me', 'right'))).toEqual({ is: 'known', user: 'me' })
  expect(await answer(it, it.authenticator.check('serena', '10.0.0.2', basic('you', 'yours')))).toEqual({ is: 'known', user: 'you' })
  it.clock.ms += tries.seconds * 1000
  expect(await answer(it, it.authenticator.check('serena', '10.0.0.1', basic('me', 'wrong')))).toEqual({ is: 'unknown' })
  expect((await answer(it, it.authenticator.check('serena', '10.0.0.1', basic('me', 'wrong again')))).is).toBe('busy')
})

it('right passwords use up nothing of what wrong ones may', async () => {
  const it = bench({
    realms: new Map([['serena', new Map(Array.from({ length: 40 }, (_, at) => [`user${at}`, cheap(`right${at}`)] as const))]]),
  })
  for (let at = 0; at < 40; at++)
    expect((await answer(it, it.authenticator.check('serena', '10.0.0.1', basic(`user${at}`, `right${at}`)))).is).toBe('known')
})

it('one at a time for each address, so many in all, and the addresses take turns', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 3 }),
      fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 30 }),
      async (lanes, from) => {
        const it = bench({ lanes })
        const asked = from.map((address, at) => it.authenticator.check('serena', `10.0.0.${address}`, basic('me', `${address}/${at}`)))
        await settle()
        const left = new Map<number, number>()
        for (const address of from) left.set(address, Math.min(tries.burst, (left.get(address) ?? 0) + 1))
        while (it.running.length > 0) {
          const now = it.running.map((password) => Number(password.split('/')[0]))
          expect(new Set(now).size).toBe(now.length)
          expect(now.length).toBeLessThanOrEqual(lanes)
          expect(now.length).toBe(Math.min(lanes, [...left.values()].filter((count) => count > 0).length))
          left.set(now[0]!, (left.get(now[0]!) ?? 0) - 1)
          await it.finish()
        }
        await Promise.all(asked)
        // Nobody's second comes before another's first.
        const firsts = it.checked.slice(0, new Set(from).size).map(({ password }) => password.split('/')[0])
        expect(new Set(firsts).size).toBe(firsts.length)
      },
    ),
  )
})

it('of very many addresses at once some are told to come back, and the queue has an end', async () => {
  const it = bench()
  const asked = Array.from({ length: 500 }, (_, at) =>
    it.authenticator.check('serena', `10.0.${at >> 8}.${at & 255}`, basic('me', `wrong${at}`)),
  )
  await settle()
  await it.finishAll()
  const verdicts = await Promise.all(asked)
  expect(it.checked.length).toBeLessThan(100)
  expect(verdicts.filter((verdict) => verdict.is === 'busy').length).toBe(500 - it.checked.length)
})

it('the health check of this host is let in from this host only', async () => {
  const it = bench()
  expect(await it.authenticator.check('serena', '127.0.0.1', basic('golden-probe', 'probe-secret'))).toEqual({
    is: 'known',
    user: 'golden-probe',
  })
  expect(await it.authenticator.check('serena', '127.0.0.1', basic('golden-probe', 'another'))).toEqual({ is: 'unknown' })
  expect(it.checked).toEqual([])
  expect(await answer(it, it.authenticator.check('serena', '10.0.0.1', basic('golden-probe', 'probe-secret')))).toEqual({ is: 'unknown' })
})

it('a check that fails is no answer, and no obstacle to the next', async () => {
  let fails = true
  const it = bench({
    verify: async (password) => {
      if (fails) throw new Error('no memory')
      return password.toString() === 'right'
    },
  })
  await expect(it.authenticator.check('serena', '10.0.0.1', basic('me', 'right'))).rejects.toThrow('no memory')
  fails = false
  expect((await it.authenticator.check('serena', '10.0.0.1', basic('me', 'right'))).is).toBe('known')
})

it('passwords of any characters are known again from their hashes, and from no other', async () => {
  const password = 'pä:ss wörd €'
  const [known] = parseUsers(`me:${await hashPassword(password)}\n`).values()
  expect(await verifyPassword(Buffer.from(password), known!)).toBe(true)
  expect(await verifyPassword(Buffer.from(`${password} `), known!)).toBe(false)
  expect(await verifyPassword(Buffer.from(password), nobody())).toBe(false)
})

it('a line that is no user and hash is named by its number, never by its text', () => {
  expect(() => parseUsers('me:$2y$10$secret\n')).toThrow(/^line 1 of the users is no user:\$scrypt\$…$/)
})
