/** The text of a client's file with Serena in it. Nothing else of the text changes. */
import { isDeepStrictEqual } from 'node:util'
import { Failure } from '../core/failure.ts'
import { chooseEntry, isRecord, type Chosen, type Joining } from './choose-entry.ts'
import { clients, type ClientName, type Entry, type Wanted } from './known.ts'
import { jsonText } from './json-text.ts'
import { tomlText } from './toml-text.ts'

/** How a syntax is read and changed. */
export interface ConfigText {
  /** @throws Error that says where it is not in order */
  parse(text: string): unknown
  /** Sets one value; what is an object there already is changed key by key. */
  set(text: string, path: readonly string[], value: Entry | readonly Entry[]): string
}

export interface Merged extends Chosen {
  readonly text: string
}

export type MergeOptions = Omit<Joining, 'entry' | 'url'> & {
  /** For messages. */
  readonly file: string
}

/** @param text undefined: there is no file yet. @throws Failure `client-file-unfit`, `client-entry-taken` */
export function mergeClient(text: string | undefined, client: ClientName, wanted: Wanted, { file, ...joining }: MergeOptions): Merged {
  const { servers, syntax, entry, inputs } = clients[client]
  const config = syntax === 'toml' ? tomlText : jsonText
  const unfit = (why: string): Failure =>
    new Failure(
      'client-file-unfit',
      `${file}: ${why}`,
      'Nothing was changed. Mend it there, or put in by hand what the command prints without --write.',
    )
  const before = text ?? ''
  const parse = (what: string): Record<string, unknown> => {
    let document: unknown
    try {
      document = config.parse(what)
    } catch (error) {
      throw unfit(error instanceof Error ? error.message : String(error))
    }
    if (!isRecord(document)) throw unfit('it is no object')
    return document
  }
  const document = parse(before)
  const there = document[servers] ?? {}
  if (!isRecord(there)) throw unfit(`"${servers}" is no object`)
  const chosen = chooseEntry(there, { ...joining, entry: entry(wanted), url: wanted.url })
  const asked = chosen.keptCredential ? [] : (inputs?.(wanted) ?? [])
  const askedBefore = document.inputs ?? []
  if (asked.length > 0 && !Array.isArray(askedBefore)) throw unfit('"inputs" is no list')
  const missing = asked.filter(({ id }) => !(askedBefore as unknown[]).some((one) => isRecord(one) && one.id === id))
  const expected = {
    ...document,
    ...(missing.length === 0 ? {} : { inputs: [...(askedBefore as Entry[]), ...missing] }),
    [servers]: { ...there, [chosen.name]: chosen.value },
  }
  if (!chosen.changed && missing.length === 0) return { ...chosen, text: before }
  let after = missing.length === 0 ? before : config.set(before, ['inputs'], expected.inputs as Entry[])
  after = chosen.changed ? config.set(after, [servers, chosen.name], chosen.value) : after
  // Whatever a file has in it that was not thought of: it is left alone.
  if (!isDeepStrictEqual(parse(after), expected)) throw unfit("it is written in a way that can't be changed with care")
  return { ...chosen, changed: true, text: after }
}
