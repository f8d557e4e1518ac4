/** What the calls of a time add up to, and as lines for people. */
import { duration } from '../../scripts/render.ts'
import type { Call } from './call.ts'

export interface ClientSummary {
  readonly client: string
  readonly calls: number
  readonly failed: number
  /** Of those that succeeded and of those that failed. */
  readonly longest: Call
  /** Different sessions' ids. More than one: it had to open another. */
  readonly sessions: number
}

/** In the order in which the clients were first heard. */
export function summarize(calls: readonly Call[]): ClientSummary[] {
  const names = [...new Set(calls.map(({ client }) => client))]
  return names.flatMap((client) => {
    const own = calls.filter((call) => call.client === client)
    const longest = longestOf(own)
    if (longest === undefined) return []
    return [
      {
        client,
        calls: own.length,
        failed: own.filter(({ error }) => error !== undefined).length,
        longest,
        sessions: new Set(own.flatMap(({ session }) => session ?? [])).size,
      },
    ]
  })
}

const longestOf = (calls: readonly Call[]): Call | undefined => calls.toSorted((one, other) => other.ms - one.ms)[0]

/** In UTC, as in logs. */
export const clock = (ms: number): string => new Date(ms).toISOString().slice(11, 19)

export const summaryLines = (calls: readonly Call[]): string[] =>
  summarize(calls).map(
    ({ client, calls: count, failed, longest, sessions }) =>
      `${client}: ${count} calls, ${failed} failed, the longest ${duration(longest.ms)} from ${clock(longest.began)}${sessions > 1 ? `, ${sessions} sessions` : ''}`,
  )

/** The longest pause that anybody has noticed. */
export function longestLine(calls: readonly Call[]): string {
  const longest = longestOf(calls)
  return longest === undefined
    ? 'no call was made'
    : `the longest call: ${duration(longest.ms)} from ${clock(longest.began)}, ${longest.client}`
}

/** @throws Error naming who had to open another: what a client holds has to survive */
export function expectOneSession(calls: readonly Call[]): void {
  const others = summarize(calls).filter(({ sessions }) => sessions > 1)
  if (others.length > 0) throw new Error(others.map(({ client, sessions }) => `${client} had ${sessions} sessions`).join('; '))
}

/** So many tell what is wrong; the rest is counted. */
const shownFailures = 10

/** @throws Error with the failures, when there are any */
export function expectNoFailure(calls: readonly Call[]): void {
  const failed = calls.filter(({ error }) => error !== undefined)
  if (failed.length === 0) return
  const lines = failed
    .slice(0, shownFailures)
    .map(({ client, began, ms, error }) => `${clock(began)} ${client}, after ${duration(ms)}: ${error}`)
  if (failed.length > shownFailures) lines.push(`and ${failed.length - shownFailures} more`)
  throw new Error(`${failed.length} of ${calls.length} calls failed:\n${lines.join('\n')}`)
}
