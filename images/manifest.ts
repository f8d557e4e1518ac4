/**
 * What an image holds, item by item: packages, container images, the project's own files. Proxmox's notes have no room for
 * it, so the bake writes it to `records/` in the site folder, beside the lock, where it belongs in git; the record in the
 * template's notes has its digest, by which anybody can tell whether it is that image's.
 */
import { join } from 'node:path'
import { z } from 'zod'
import { sha256 } from '../core/canonical.ts'
import type { DeepReadonly } from '../core/deep-readonly.ts'
import { hash, imageFacts, services } from './contract/record.ts'
import { keepFile, readKept, type NotKept } from './kept-file.ts'

const bytes = z.int().min(0)

const schema = z.strictObject({
  schema: z.literal(1),
  fingerprint: imageFacts.fingerprint,
  built: imageFacts.built,
  base: z.strictObject({ os: z.string(), sha256: hash }),
  /** Installed ones by name, with their versions. */
  packages: z.record(z.string(), z.string()),
  /** What they take, installed. */
  packagesBytes: bytes,
  /** By service: digest reference, and what it takes unpacked. */
  containers: z.partialRecord(z.enum(services), z.strictObject({ reference: z.string(), bytes })),
  /** The project's own, by path: mode and SHA-256. */
  files: z.record(z.string(), z.string()),
  /** Of the language servers and their Node; absent: none are in it. */
  languageServers: hash.optional(),
})

export type Manifest = DeepReadonly<z.infer<typeof schema>>

/** The name of its file below the site folder. @param image the image's name */
export const manifestFile = (image: string): string => join('records', `${image}.manifest.json`)

const sorted = <T>(entries: Readonly<Record<string, T>>): Record<string, T> =>
  Object.fromEntries(Object.entries(entries).sort(([a], [b]) => (a < b ? -1 : 1)))

/** The same manifest, the same text; an item a line, for reviews. @throws ZodError (a bug) when it is not valid */
export function renderManifest(manifest: Manifest): string {
  const { packages, files, ...rest } = schema.parse(manifest)
  return `${JSON.stringify({ ...rest, packages: sorted(packages), files: sorted(files) }, null, 1)}\n`
}

/** @returns its digest */
export async function writeManifest(folder: string, image: string, manifest: Manifest): Promise<string> {
  const text = renderManifest(manifest)
  await keepFile(folder, manifestFile(image), text)
  return sha256(text)
}

export type FoundManifest = { readonly ok: true; readonly manifest: Manifest; readonly digest: string } | NotKept

/** As `readKept`. */
export async function readManifest(folder: string, image: string, digest?: string): Promise<FoundManifest> {
  const found = await readKept(folder, manifestFile(image), schema, digest)
  return found.ok ? { ok: true, manifest: found.content, digest: found.digest } : found
}
