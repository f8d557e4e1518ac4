/**
 * When the ACME server is asked, and when again after a failure. Kept on the data disk, so that a rollout, a restart or a new
 * VM asks no more often. Pure, but for the two that read and write it.
 */
import { join } from 'node:path'
import type { Files } from './machine.ts'
import { acmeFolder } from './places.ts'
import { replaceFile } from './replace-file.ts'

/** Times are milliseconds since 1970. */
export interface AcmeState {
  /** The release that tried last: another one may have other settings, and tries at once. */
  readonly release: string
  readonly lastTry: number
  /** Of the last try, if it failed. */
  readonly lastError?: string
  /** When tries failed, the newest last: since one that did not, but no more than are needed. */
  readonly failures: readonly number[]
  readonly nextTry: number
}

const minute = 60_000
const hour = 60 * minute
const day = 24 * hour
const usual = day / 2
const firstWait = 15 * minute
const longestWait = day
/** Let's Encrypt lets five tries for a name fail in an hour (letsencrypt.org/docs/rate-limits); somebody else may be at it, too. */
const mostAnHour = 4
/** A server that names a time far away is not believed beyond this. */
const longestAsked = 8 * day
const mostKept = 24
const mostOfError = 500

/** @param chance of 0 to 1: not everybody asks at the same minute */
const spread = (ms: number, share: number, chance: number): number => Math.round(ms * (1 - share + 2 * share * chance))

export const succeeded = (release: string, now: number, chance: number): AcmeState => ({
  release,
  lastTry: now,
  failures: [],
  nextTry: now + spread(usual, 0.25, chance),
})

export function failed(before: AcmeState | undefined, release: string, now: number, error: string, chance: number): AcmeState {
  const failures = [...(before?.failures ?? []), now].slice(-mostKept)
  const wait = Math.min(firstWait * 2 ** Math.min(failures.length - 1, 10), longestWait)
  const nextTry = Math.max(now + spread(wait, 0.1, chance), allowedAt(failures, now), askedFor(error, now) ?? 0)
  return { release, lastTry: now, lastError: error.slice(0, mostOfError), failures, nextTry }
}

/** Not before: so many failures an hour, and no more. */
const allowedAt = (failures: readonly number[], now: number): number => {
  const oldest = failures.at(-mostAnHour)
  return oldest === undefined ? now : Math.max(now, oldest + hour)
}

/** What the server says of when to come again: "retry after 2026-11-30 12:00:00 UTC", or with a T and a Z. */
function askedFor(error: string, now: number): number | undefined {
  const [, date, time] = /retry after (\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}:\d{2})/i.exec(error) ?? []
  const at = date === undefined ? Number.NaN : Date.parse(`${date}T${time}Z`)
  return Number.isNaN(at) ? undefined : Math.min(at, now + longestAsked)
}

/** When the next try is due. */
export function dueAt(state: AcmeState | undefined, release: string): number {
  if (state === undefined) return 0
  return state.release === release ? state.nextTry : Math.min(state.nextTry, allowedAt(state.failures, 0))
}

/** When somebody who asks for a try at once may have one, whatever `nextTry` says. */
export const freeAt = (state: AcmeState | undefined): number => allowedAt(state?.failures ?? [], 0)

const stateFile = join(acmeFolder, 'state.json')

/** Undefined: there was no try, or nobody can tell. */
export function readAcmeState(files: Files): AcmeState | undefined {
  if (!files.exists(stateFile)) return undefined
  try {
    const state = JSON.parse(files.read(stateFile)) as AcmeState
    return typeof state.nextTry === 'number' && Array.isArray(state.failures) ? state : undefined
  } catch {
    return undefined
  }
}

export const writeAcmeState = (files: Files, state: AcmeState): void => replaceFile(files, stateFile, JSON.stringify(state), 0o600)
