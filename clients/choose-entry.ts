/** What becomes of a client's servers when Serena joins them: a new one, the same one as it is by now, or nothing. Pure. */
import { isDeepStrictEqual } from 'node:util'
import { Failure } from '../core/failure.ts'
import { isCredential, variable } from './credential.ts'
import type { Entry } from './known.ts'

export interface Joining {
  readonly entry: Entry
  readonly url: string
  /** What people want it to be called. @default serena, or what it is called there already */
  readonly name?: string
  /** Whether it may take the place of another server. @default false */
  readonly replace?: boolean
}

export interface Chosen {
  readonly name: string
  readonly value: Entry
  /** Its credential was there already, and was kept. */
  readonly keptCredential: boolean
  readonly changed: boolean
}

/** @throws Failure `client-entry-taken` */
export function chooseEntry(servers: Readonly<Record<string, unknown>>, { entry, url, name: wanted, replace = false }: Joining): Chosen {
  // Twice the same server would be all its tools twice.
  const known = Object.keys(servers).find((one) => urlOf(servers[one]) === url)
  const name = wanted ?? known ?? 'serena'
  const there = Object.hasOwn(servers, name) ? servers[name] : undefined
  if (there === undefined || (replace && urlOf(there) !== url))
    return { name, value: entry, keptCredential: false, changed: !isDeepStrictEqual(there, entry) }
  if (urlOf(there) !== url)
    throw new Failure(
      'client-entry-taken',
      `there is another server "${name}" already${urlOf(there) === undefined ? '' : ` (${urlOf(there)})`}`,
      '--name NAME puts this one beside it, --replace in its place.',
    )
  const keptCredential = !hasCredential(entry) && hasCredential(there)
  const value = joined(there as Entry, entry, keptCredential)
  return { name, value, keptCredential, changed: !isDeepStrictEqual(there, value) }
}

/** Where a credential may be, by client. */
const keepers = ['headers', 'http_headers', 'env_http_headers', 'env'] as const

/** What people have added stays: switched off, tools that are always allowed, headers of their own. */
function joined(there: Entry, entry: Entry, keptCredential: boolean): Entry {
  const value: Record<string, unknown> = { ...there, ...entry }
  for (const key of keepers) {
    const [before, now] = [recordOf(there[key]), recordOf(entry[key])]
    const all = keptCredential ? { ...now, ...before } : { ...before, ...now }
    // One way only: a literal header, or one from the environment.
    if (key === 'env_http_headers' && (keptCredential || now.Authorization === undefined)) delete all.Authorization
    if (key === 'http_headers' && !keptCredential && now.Authorization === undefined) delete all.Authorization
    if (Object.keys(all).length > 0) value[key] = all
    else delete value[key]
  }
  return value
}

const hasCredential = (entry: unknown): boolean =>
  keepers.some((key) => {
    const kept = recordOf(recordOf(entry)[key])
    return isCredential(kept.Authorization) || isCredential(kept[variable])
  })

/** Each client has another key for it; a program is given it as an argument. */
function urlOf(entry: unknown): string | undefined {
  const { url, httpUrl, serverUrl, args } = recordOf(entry)
  const named = [url, httpUrl, serverUrl].find((one) => typeof one === 'string')
  const given = Array.isArray(args) ? args.find((one) => typeof one === 'string' && /^https?:\/\//.test(one)) : undefined
  return (named ?? given) as string | undefined
}

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const recordOf = (value: unknown): Record<string, unknown> => (isRecord(value) ? value : {})
