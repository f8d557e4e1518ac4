/** Vulnerabilities as osv.dev exports them: a JSON file each, in folders and archives (`all.zip`) of whatever layout. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { Failure } from '../../core/failure.ts'
import { readZip } from '../../core/formats/zip-files.ts'

const text = z.string()
const affected = z.object({
  package: z.object({ ecosystem: text, name: text }).optional(),
  ranges: z
    .array(
      z.object({
        type: text,
        events: z.array(z.object({ introduced: text.optional(), fixed: text.optional(), last_affected: text.optional() })),
      }),
    )
    .optional(),
  versions: z.array(text).optional(),
  ecosystem_specific: z.object({ urgency: text.optional(), severity: text.optional() }).nullish(),
})
const schema = z.object({
  id: text,
  modified: text,
  withdrawn: text.optional(),
  aliases: z.array(text).nullish(),
  upstream: z.array(text).nullish(),
  summary: text.optional(),
  affected: z.array(affected).nullish(),
  database_specific: z.object({ severity: text.nullish() }).nullish(),
})

export type Vulnerability = z.infer<typeof schema>

export interface EcosystemData {
  /** How many there are. */
  readonly records: number
  /** When the newest was changed, ISO 8601. */
  readonly newest: string
}

export interface OsvData {
  /** By ecosystem, with its release: what there is at all. */
  readonly ecosystems: ReadonlyMap<string, EcosystemData>
  /** Those of the packages that were asked for, by ecosystem and name. */
  readonly byPackage: ReadonlyMap<string, readonly Vulnerability[]>
  /** Files that are none. */
  readonly unreadable: number
}

export const packageKey = (ecosystem: string, name: string): string => `${ecosystem} ${name}`

/**
 * @param wanted keys of packages: what is of others is counted and forgotten
 * @throws Failure `osv-missing`
 */
export async function readOsv(folder: string, wanted: ReadonlySet<string>, signal: AbortSignal): Promise<OsvData> {
  const ecosystems = new Map<string, { records: number; newest: string }>()
  const byPackage = new Map<string, Vulnerability[]>()
  let unreadable = 0
  for await (const content of recordsIn(folder)) {
    signal.throwIfAborted()
    const found = parsed(content)
    if (found === undefined) {
      unreadable++
      continue
    }
    const packages = (found.affected ?? []).flatMap((one) => one.package ?? [])
    for (const ecosystem of new Set(packages.map((one) => one.ecosystem))) {
      const { records = 0, newest = '' } = ecosystems.get(ecosystem) ?? {}
      ecosystems.set(ecosystem, { records: records + 1, newest: later(newest, found.modified) })
    }
    if (found.withdrawn !== undefined) continue
    for (const key of new Set(packages.map(({ ecosystem, name }) => packageKey(ecosystem, name))))
      if (wanted.has(key)) byPackage.set(key, [...(byPackage.get(key) ?? []), found])
  }
  if (ecosystems.size === 0)
    throw new Failure(
      'osv-missing',
      `there are no vulnerabilities as osv.dev exports them in ${folder}`,
      'Unpack the archives of osv.dev there (all.zip of Debian, PyPI, …), or have them fetched with --download.',
    )
  return { ecosystems, byPackage, unreadable }
}

/** Of two times of ISO 8601. */
const later = (a: string, b: string): string => (Date.parse(b) > Date.parse(a) || a === '' ? b : a)

function parsed(content: Buffer): Vulnerability | undefined {
  try {
    const { success, data } = schema.safeParse(JSON.parse(content.toString('utf8')))
    return success ? data : undefined
  } catch {
    return undefined
  }
}

async function* recordsIn(folder: string): AsyncGenerator<Buffer> {
  let entries
  try {
    entries = await readdir(folder, { withFileTypes: true })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error
    throw new Failure(
      'osv-missing',
      `there is no folder ${folder}`,
      'Name the one with the data of osv.dev after --osv, or add --download.',
    )
  }
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) yield* recordsIn(path)
    else if (entry.name.endsWith('.json')) yield await readFile(path)
    else if (entry.name === 'all.zip') yield* archived(path)
  }
}

async function* archived(path: string): AsyncGenerator<Buffer> {
  const archive = await readFile(path)
  try {
    for (const { name, content } of readZip(archive)) if (name.endsWith('.json')) yield content
  } catch (error) {
    throw new Failure(
      'osv-missing',
      `${path} can't be read: ${error instanceof Error ? error.message : String(error)}`,
      'Remove it, and fetch it again (--download).',
      { cause: error },
    )
  }
}
