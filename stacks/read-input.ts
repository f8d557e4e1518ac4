/** The site folder's own site and pins, for whoever runs the CDKTF app by hand. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { loadLeanZod } from '../core/lean-zod.ts'
import type { StackInput } from '../releases/stack-input.ts'

/** @param project the clone's folder, where the example is. @throws Failure as loadSite and readPins */
export async function readStackInput(project: string): Promise<StackInput> {
  await loadLeanZod()
  const { loadSite, loadSiteFile, siteFolder } = await import('../settings/load.ts')
  const { readPins } = await import('../releases/pins.ts')
  const folder = siteFolder(process.env)
  const site =
    existsSync(join(folder, 'site.ts')) || process.env.GOLDEN_SITE !== undefined
      ? await loadSite(folder)
      : await loadSiteFile(join(project, 'site.example.ts'))
  return { site, deployment: await readPins(folder), folder }
}
