/**
 * What a template says about itself in its description on the Proxmox host: a line for people, then JSON in a code
 * block. There is no other database of images.
 */
import { z } from 'zod'
import { Failure } from '../core/failure.ts'
import { channels } from '../settings/names.ts'
import { hash, imageFacts } from './contract/record.ts'

const line = z.string().min(1).max(256)
/** People's own words, shown in terminals: without what those would obey. */
const sentence = z.string().regex(/^\P{C}{1,256}$/u, 'must be one line of 256 characters at most')
/** When somebody did something with it, and who: USER@COMPUTER. */
const stamp = { at: z.iso.datetime(), by: line }
const revoked = z.strictObject({ ...stamp, reason: sentence }).optional()
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
  /** SHA-256 of its manifest, which the site folder has (images/manifest.ts). */
  manifest: hash.optional(),
  /** SHA-256 of its SBOM, which the site folder and the image have (images/sbom). */
  sbom: hash.optional(),
  /**
   * Its disk, as Proxmox has it: what it is called, its size in bytes, and the time of its making in seconds, where the
   * storage tells. No digest: the API gives nobody the contents of a disk.
   */
  disk: z.strictObject({ volume: line, bytes: z.int().min(0), made: z.int().optional() }).optional(),
  /** Where it was promoted to; without, it is a candidate. */
  channel: z.strictObject({ name: z.enum(channels), ...stamp }).optional(),
  /** How its verification ended, and by name what of it failed. */
  verify: z.strictObject({ passed: z.boolean(), ...stamp, failed: z.array(z.string().min(1).max(64)).max(16).optional() }).optional(),
  /** A rollout of it was taken back: nothing tries it again by itself. */
  refused: z.strictObject({ ...stamp, reason: sentence }).optional(),
  /** Never to be deployed again. */
  revoked,
  /** Of all the rest (images/signature.ts), in base64. */
  signature: z
    .string()
    .regex(/^[A-Za-z0-9+/=]{1,3000}$/)
    .optional(),
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
  /** Nor is any image made from it. */
  revoked,
  unfinished,
  run,
})

const schema = z.discriminatedUnion('kind', [image, base])

export type TemplateRecord = z.output<typeof image>
export type BaseRecord = z.output<typeof base>
export type Record = z.output<typeof schema>
export type Stamp = z.output<z.ZodObject<typeof stamp>>
export type Verification = NonNullable<TemplateRecord['verify']>

/** A reason as a record takes it, made of whatever was said. */
export const asReason = (text: string): string =>
  text
    .toWellFormed()
    .replaceAll(/\p{C}+/gu, ' ')
    .trim()
    .slice(0, 250)
    .toWellFormed()
    .replaceAll('\ufffd', '') || 'unknown'

/** Why a reason is none that a record takes; undefined: it takes it. */
export const reasonProblem = (text: string): string | undefined => sentence.safeParse(text).error?.issues[0]?.message

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

const minute = (time: string): string => time.slice(0, 16).replace('T', ' ')

function headline(record: Record): string {
  const about =
    record.kind === 'image'
      ? `Golden image ${record.fingerprint.slice(0, 12)} of ${record.site}: ${record.base.os} with ${Object.keys(record.services).join(', ')}; baked ${minute(record.built)} UTC${lifeOf(record)}.`
      : `Base of golden images of ${record.site}: ${record.base.os}, ${record.unfinished ? 'being made since' : 'imported'} ${minute(record.built)} UTC.`
  return record.revoked === undefined ? about : `${about} REVOKED ${minute(record.revoked.at)} UTC: ${record.revoked.reason}`
}

const lifeOf = ({ channel, verify, refused }: TemplateRecord): string =>
  (verify === undefined ? '' : `; verification ${verify.passed ? 'passed' : 'FAILED'} ${minute(verify.at)} UTC`) +
  (channel === undefined ? '' : `; ${channel.name} since ${minute(channel.at)} UTC`) +
  (refused === undefined ? '' : `; its rollout was taken back ${minute(refused.at)} UTC`)

/** The record as `renderRecord` writes it, with its line for people if that is still there: to Unicode some others end lines, too. */
const block = /(?:^(?:Golden image|Base of golden images)\b[^\n]*\n\n)?^```json\n[\s\S]*?\n```$/m

/**
 * Puts a record in the place of the one in a description; what people have written around it stays.
 * @throws Failure `notes-full`
 */
export function replaceRecord(description: string, record: Record): string {
  const text = renderRecord(record)
  const notes = description.replaceAll('\r\n', '\n')
  const changed = block.test(notes) ? notes.replace(block, () => text) : text
  if (changed.length <= descriptionLimit) return changed
  throw new Failure(
    'notes-full',
    `the notes of the template of ${record.fingerprint.slice(0, 12)} would be ${changed.length} characters long, Proxmox takes ${descriptionLimit}`,
    'Shorten in Proxmox what people have written there beside the record; then run the same command again.',
  )
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
