/** The site (without one: the example) and its pins become stacks. Pure: no network, no secret. */
import { readFile } from 'node:fs/promises'
import { App } from 'cdktn'
import { stackInputVariable, type StackInput } from '../releases/stack-input.ts'
import { checkSiteName } from '../releases/site-name.ts'
import { ensureBindings } from './generate.ts'

/** @param project the clone's folder. @throws Failure for a site or pins that can't be used */
export async function synth(project: string): Promise<void> {
  await ensureBindings()
  // Only now: it imports the bindings.
  const { addStacks } = await import('./app.ts')
  const { site, deployment, folder } = await input(project)
  // By another name the stacks would have an empty state, and know nothing of the VMs that run.
  for (const [group, pins] of Object.entries(deployment.groups)) if (site.groups[group] !== undefined) checkSiteName(site, group, pins)
  // The library's checks ask a program named `terraform` for its version; a fresh clone has none, and OpenTofu may be the only one.
  const app = new App({ skipValidation: true })
  addStacks(app, { site, deployment, folder, project, node: process.execPath })
  app.synth()
}

/** What a verb hands in it has checked. What checks it here is half of what this program needs of the processor, and is loaded only then. */
async function input(project: string): Promise<StackInput> {
  const file = process.env[stackInputVariable]
  if (file !== undefined) return JSON.parse(await readFile(file, 'utf8')) as StackInput
  const { readStackInput } = await import('./read-input.ts')
  return readStackInput(project)
}
