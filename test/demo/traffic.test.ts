/** What the demo's clients write down of a server that fails in every way; real clients of all kinds are in test/guest/keeper.test.ts. */
import { afterEach, beforeEach, expect, it } from 'vitest'
import { ended, type Call } from '../../demo/traffic/call.ts'
import type { TrafficClient } from '../../demo/traffic/client.ts'
import { keptConnection } from '../../demo/traffic/kept-connection.ts'
import { countNumbers, wrongNumbers } from '../../demo/traffic/numbers.ts'
import { sdkClient } from '../../demo/traffic/sdk-client.ts'
import { expectNoFailure, expectOneSession, longestLine, summarize, summaryLines } from '../../demo/traffic/summary.ts'
import { startTraffic, type Traffic } from '../../demo/traffic/traffic.ts'
import { startMcpServer, type McpServer } from './mcp-server.ts'

let server: McpServer
let traffic: Traffic | undefined
beforeEach(async () => {
  server = await startMcpServer('what was written before')
})
afterEach(async () => {
  await traffic?.stop()
  traffic = undefined
  await server.close()
})

const sdk = (): TrafficClient =>
  sdkClient(
    {
      url: server.url,
      user: 'me',
      password: 'right',
      caPem: server.caPem,
      call: { tool: 'read_file', arguments: {}, expected: 'written before' },
    },
    'sdk',
    1,
  )

function start(...clients: TrafficClient[]): Traffic {
  traffic = startTraffic(clients, new AbortController().signal)
  return traffic
}

const errorsOf = (calls: readonly Call[]): string[] => calls.flatMap(({ error }) => error ?? [])

it('calls until it is told to stop, in one session, and writes each call down', async () => {
  const { record, round, stop } = start(sdk())
  await round()
  await round()
  await stop()
  const made = record.calls.length
  expect(made).toBeGreaterThanOrEqual(2)
  expectNoFailure(record.calls)
  expectOneSession(record.calls)
  for (const call of record.calls) {
    expect(call).toMatchObject({ client: 'sdk', session: 's1' })
    expect(ended(call)).toBeLessThanOrEqual(Date.now() + 5)
  }
  expect(summarize(record.calls)).toMatchObject([{ client: 'sdk', calls: made, failed: 0, sessions: 1 }])
})

it.each([
  ['tool-error', /read_file: no such file/],
  ['500', /out of order.*500/],
  ['reset', /fetch failed|terminated|socket|other side closed/i],
  ['other-data', /read_file answered something else: expected "written before" in "something else"/],
  ['forgotten', /Session not found/],
] as const)(
  'a call that ends in "%s" is counted as failed, with its text, and the client goes on with another session',
  async (fate, text) => {
    server.fates.push('answer', fate)
    const { record, round } = start(sdk())
    while (errorsOf(record.calls).length === 0) await round()
    await round()
    expect(errorsOf(record.calls)).toEqual([expect.stringMatching(text)])
    expect(record.calls.at(-1)).not.toHaveProperty('error')
    expect(summarize(record.calls)).toMatchObject([{ failed: 1, sessions: 2 }])
    expect(() => expectNoFailure(record.calls)).toThrow(text)
    expect(() => expectOneSession(record.calls)).toThrow('sdk had 2 sessions')
  },
)

it('a call that is kept waiting is the longest, with its time of day, and stopping waits for it', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  server.fates.push('answer', promise)
  const { record, stop } = start(sdk())
  await server.nextCall()
  await server.nextCall()
  const [arrived, count] = [Date.now(), record.calls.length]
  const stopped = stop()
  // Longer than any that this computer has been slow with.
  const until = arrived + 300 + Math.max(0, ...record.calls.map(({ ms }) => ms))
  while (Date.now() < until) await new Promise((done) => setImmediate(done))
  expect(record.calls).toHaveLength(count)
  resolve()
  await stopped
  expectNoFailure(record.calls)
  const [{ longest } = { longest: undefined }] = summarize(record.calls)
  expect(longest?.ms).toBeGreaterThan(290)
  expect(longest).toBe(record.calls.at(-1))
  const clock = new Date(longest?.began ?? 0).toISOString().slice(11, 19)
  expect(summaryLines(record.calls)).toEqual([expect.stringContaining(` from ${clock}`)])
  expect(longestLine(record.calls)).toContain(`${clock}, sdk`)
})

it('a server that is not there is a failure each time it is tried', async () => {
  const { record, round, stop } = start({ ...sdk(), open: () => Promise.reject(new Error('x', { cause: new Error('no route') })) })
  await round()
  await stop()
  expect(errorsOf(record.calls)[0]).toBe('x: no route')
})

it('a stop by the signal gives up what is in progress', async () => {
  server.fates.push(new Promise(() => {}))
  const signal = new AbortController()
  const arrived = server.nextCall()
  traffic = startTraffic([sdk()], signal.signal)
  await arrived
  signal.abort()
  await traffic.stop()
})

const connection = (everyMs = 1) =>
  keptConnection('connection', { host: 'localhost', port: server.port, caPem: server.caPem, mark: 'm', everyMs })

it('one connection carries all requests; one that an answer ends is opened again, and that is no failure', async () => {
  const kept = connection()
  const { record, round, stop } = start(kept)
  await round()
  await round()
  expect(kept).toMatchObject({ opened: 1, closedByAnswer: 0, closedIdle: 0 })
  server.closesAfterAnswer = true
  await round()
  server.closesAfterAnswer = false
  await round()
  await stop()
  expectNoFailure(record.calls)
  expect(kept.closedByAnswer).toBeGreaterThan(0)
  expect(kept.opened).toBe(kept.closedByAnswer + 1)
  expect(kept.answered).toEqual(Array.from({ length: record.calls.length }, (_, index) => index + 1))
})

it('between two requests an end in order is counted apart, and a reset is a failure', async () => {
  const kept = connection()
  const open = await kept.open()
  await open.call()
  const closed = (socket: import('node:net').Socket) => new Promise((done) => socket.once('close', done))
  for (const socket of server.sockets) {
    const gone = closed(socket)
    socket.end()
    await gone
  }
  await open.call()
  expect(kept).toMatchObject({ opened: 2, closedIdle: 1, answered: [1, 2] })
  for (const socket of server.raw) {
    const gone = closed(socket)
    socket.resetAndDestroy()
    await gone
  }
  await expect(untilItFails(open)).resolves.toThrow(/the connection broke between two requests|ECONNRESET/)
  await open.call()
  await open.close()
  expect(kept).toMatchObject({ opened: 3, closedIdle: 1 })
})

/** The reset is on its way. */
async function untilItFails(open: { call(): Promise<void> }): Promise<() => void> {
  for (;;) {
    try {
      await open.call()
    } catch (error) {
      return () => {
        throw error
      }
    }
  }
}

it('numbers are found in whatever the lines look like, and what is missing or there twice is named', () => {
  const kept = connection()
  const lines = [1, 2, 3, 5, 5, 12].map((number) => `{"time":"x","path":"${kept.path(number)}","status":404}`)
  const counts = countNumbers([...lines, '{"path":"/golden-number-other/4."}', '{"path":"/golden-number-m/"}'], kept)
  expect([...counts]).toEqual([
    [1, 1],
    [2, 1],
    [3, 1],
    [5, 2],
    [12, 1],
  ])
  expect(wrongNumbers([1, 2, 3, 4, 5], counts)).toBe('of 5 numbered lines missing: 1 (4); more than once: 1 (5)')
  counts.delete(5)
  expect(wrongNumbers([1, 2, 3], counts)).toBeUndefined()
})
