/** The site (without one: the example) and its pins become stacks. Pure: no network, no secret. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { App } from 'cdktn'
import { readPins } from '../releases/pins.ts'
import { checkSiteName } from '../releases/deployment.ts'
import { ensureBindings } from './generate.ts'
import { loadSite, loadSiteFile, siteFolder } from '../settings/load.ts'

/** @param project the clone's folder. @throws Failure for a site or pins that can't be used */
export async function synth(project: string): Promise<void> {
  await ensureBindings()
  // Only now: it imports the bindings.
  const { addStacks } = await import('./app.ts')
  const folder = siteFolder(process.env)
  const site =
    existsSync(join(folder, 'site.ts')) || process.env.GOLDEN_SITE !== undefined
      ? await loadSite(folder)
      : await loadSiteFile(join(project, 'site.example.ts'))
  const deployment = await readPins(folder)
  // By another name the stacks would have an empty state, and know nothing of the VMs that run.
  for (const [group, pins] of Object.entries(deployment.groups)) if (site.groups[group] !== undefined) checkSiteName(site, group, pins)
  // The library's checks ask a program named `terraform` for its version; a fresh clone has none, and OpenTofu may be the only one.
  const app = new App({ skipValidation: true })
  addStacks(app, { site, deployment, folder, project, node: process.execPath })
  app.synth()
}
