/** An image's SBOM in `records/` of the site folder, beside its manifest, and as the image itself has it. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { keepFile, readKept, type NotKept } from '../kept-file.ts'
import type { DeepReadonly } from '../../core/deep-readonly.ts'

/** What is read of it again. Whatever else CycloneDX has may be there. */
const property = z.object({ name: z.string(), value: z.string() })
const inside = z.object({
  name: z.string(),
  version: z.string().optional(),
  purl: z.string().optional(),
  properties: z.array(property).optional(),
})
const schema = z.object({
  bomFormat: z.literal('CycloneDX'),
  metadata: z.object({ timestamp: z.string(), properties: z.array(z.object({ name: z.string(), value: z.string() })).optional() }),
  components: z.array(inside.extend({ type: z.string(), 'bom-ref': z.string(), components: z.array(inside).optional() })).optional(),
})

export type Sbom = DeepReadonly<z.infer<typeof schema>>

/** The name of its file below the site folder. @param image the image's name */
export const sbomFile = (image: string): string => join('records', `${image}.cdx.json`)

/** @param from the file that is in the image, too */
export const keepSbom = async (folder: string, image: string, from: string): Promise<void> =>
  keepFile(folder, sbomFile(image), await readFile(from))

export type FoundSbom = { readonly ok: true; readonly sbom: Sbom; readonly digest: string } | NotKept

/** As `readKept`. */
export async function readSbom(folder: string, image: string, digest?: string): Promise<FoundSbom> {
  const found = await readKept(folder, sbomFile(image), schema, digest)
  return found.ok ? { ok: true, sbom: found.content, digest: found.digest } : found
}
