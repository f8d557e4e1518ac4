/** An image's SBOM in `records/` of the site folder, beside its manifest, and as the image itself has it. */
import { copyFile, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { sha256 } from '../../core/canonical.ts'
import type { DeepReadonly } from '../../core/deep-readonly.ts'
import { makeFolder } from '../../core/folders.ts'

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
export async function keepSbom(folder: string, image: string, from: string): Promise<void> {
  const file = join(folder, sbomFile(image))
  await makeFolder(join(folder, 'records'))
  const temporary = `${file}.${process.pid}.tmp`
  await copyFile(from, temporary)
  await rename(temporary, file)
}

export type FoundSbom =
  | { readonly ok: true; readonly sbom: Sbom; readonly digest: string }
  /** In words that follow "its SBOM". */
  | { readonly ok: false; readonly problem: string }

/** Never throws for what is in the file. @param digest what the image's record says; undefined: whatever is there */
export async function readSbom(folder: string, image: string, digest?: string): Promise<FoundSbom> {
  const name = sbomFile(image)
  let text: string
  try {
    text = await readFile(join(folder, name), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return { ok: false, problem: `is not in the site folder (${name}): take it from the computer that baked it, or from git` }
  }
  // git on Windows may have changed the ends of its lines.
  text = text.replaceAll('\r\n', '\n')
  const found = sha256(text)
  if (digest !== undefined && found !== digest) return { ok: false, problem: `${name} is another one than its record names` }
  try {
    return { ok: true, sbom: schema.parse(JSON.parse(text)), digest: found }
  } catch {
    return { ok: false, problem: `${name} is not as golden writes it` }
  }
}
