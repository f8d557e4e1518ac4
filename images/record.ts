/**
 * What a template says about itself in its description on the Proxmox host: a line for people, then JSON in a code
 * block. There is no other database of images.
 */
import { z } from 'zod'
import { hash, imageFacts } from './contract/record.ts'

const line = z.string().min(1).max(256)
/** While it is being made. What still says so after its run has ended is a leftover; what does not is never removed. */
const unfinished = z.literal(true).optional()
/** Which bake makes it, while it is being made. */
const run = z
  .string()
  .regex(/^[0-9a-f]{12}$/)
  .optional()

const image = z.strictObject({
  schema: z.literal(1),
  kind: z.literal('image'),
  /** Name of the site that baked it. */
  site: line,
  fingerprint: imageFacts.fingerprint,
  /** Digest of the container images' lock. */
  lock: hash,
  base: z.strictObject({ os: line, sha256: hash }),
  built: imageFacts.built,
  /** Which form of seed it reads (`seedForm` in images/contract/seed.ts). Images of before this was written down read the first. */
  seed: z.int().min(1).optional(),
  services: imageFacts.services,
  unfinished,
  run,
})

const base = z.strictObject({
  schema: z.literal(1),
  kind: z.literal('base'),
  site: line,
  fingerprint: imageFacts.fingerprint,
  base: z.strictObject({ os: line, sha256: hash }),
  built: imageFacts.built,
  unfinished,
  run,
})

const schema = z.discriminatedUnion('kind', [image, base])

export type TemplateRecord = z.output<typeof image>
export type BaseRecord = z.output<typeof base>
export type Record = z.output<typeof schema>

/** PVE's limit of a description, in characters. */
export const descriptionLimit = 8192

/** What is said once it is made. */
export function finished<R extends Record>(record: R): R {
  const { unfinished: _unfinished, run: _run, ...rest } = record
  return rest as R
}

/** @throws Error (a bug) when the record is not valid or too long for PVE */
export function renderRecord(record: Record): string {
  const checked = schema.parse(record)
  // Packer takes two opening braces in a variable for a template of its own; in JSON they only stand inside strings.
  const json = JSON.stringify(checked, null, 1).replaceAll('{{', '{\\u007b')
  const text = `${headline(checked)}\n\n\`\`\`json\n${json}\n\`\`\``
  if (text.length > descriptionLimit)
    throw new Error(`the record of ${checked.fingerprint} is ${text.length} characters long, Proxmox takes ${descriptionLimit}`)
  return text
}

function headline(record: Record): string {
  const day = record.built.slice(0, 16).replace('T', ' ')
  return record.kind === 'image'
    ? `Golden image ${record.fingerprint.slice(0, 12)} of ${record.site}: ${record.base.os} with ${Object.keys(record.services).join(', ')}; baked ${day} UTC.`
    : `Base of golden images of ${record.site}: ${record.base.os}, ${record.unfinished ? 'being made since' : 'imported'} ${day} UTC.`
}

export type ParsedRecord = { readonly ok: true; readonly record: Record } | { readonly ok: false; readonly reason: string }

/** Reads a description, whatever people have written around the block. Never throws. */
export function parseRecord(description: string | undefined): ParsedRecord {
  if (description === undefined || description.trim() === '') return { ok: false, reason: 'has no description' }
  const block = /^```json\n([\s\S]*?)\n```$/m.exec(description.replaceAll('\r\n', '\n'))?.[1]
  if (block === undefined) return { ok: false, reason: 'has no record in its description' }
  let data: unknown
  try {
    data = JSON.parse(block)
  } catch {
    return { ok: false, reason: 'has a record that is not JSON' }
  }
  const parsed = schema.safeParse(data)
  if (parsed.success) return { ok: true, record: parsed.data }
  const [issue] = parsed.error.issues
  return { ok: false, reason: `has a record that is not valid (${issue?.path.join('.') || 'record'}: ${issue?.message})` }
}
