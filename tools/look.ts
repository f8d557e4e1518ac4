/** Whether programs are there, and how those that are not would come. Nothing is loaded or made. */
import { join } from 'node:path'
import { Failure } from '../core/failure.ts'
import { MODULES } from './build.ts'
import { findGo } from './go.ts'
import { PINS, type ToolName } from './pins.ts'
import { provideFromHere } from './provide.ts'
import type { EngineName } from './registry.ts'
import { nothingFetched, surroundings, type ToolOptions } from './start.ts'
import type { Surroundings } from './surroundings.ts'
import { findTerraform } from './terraform.ts'

export type ProgramSeen =
  | { readonly name: string; readonly is: 'there'; readonly version: string }
  /** The first verb that needs it fetches or builds it. */
  | { readonly name: string; readonly is: 'to-come'; readonly how: string }
  | { readonly name: string; readonly is: 'missing'; readonly failure: Failure }

/**
 * Of all that bake and deploy run.
 * @throws Failure `unsupported-platform`
 */
export async function lookForPrograms(engine: EngineName, options: ToolOptions = {}): Promise<ProgramSeen[]> {
  const around = surroundings(options, nothingFetched)
  const names = ['packer', 'packer-plugin-proxmox', 'terraform-provider-proxmox'] as const
  return Promise.all([
    ...names.map((name) => lookFor(name, around)),
    engine === 'tofu' ? lookFor('tofu', around) : orMissing('terraform', () => findTerraform(around.path, around.cache)),
  ])
}

async function lookFor(name: ToolName, around: Surroundings): Promise<ProgramSeen> {
  const pin = PINS[name]
  const here = await provideFromHere(name, pin, around)
  if (here !== undefined) return { name, is: 'there', version: here.version }
  if (pin.registry !== undefined) return { name, is: 'to-come', how: `${pin.version} comes out of its registry` }
  const release = pin.releases[around.platform]
  if (release !== undefined) return { name, is: 'to-come', how: `${release.version ?? pin.version} is downloaded` }
  try {
    const { family } = await findGo(join(MODULES, pin.go.module))
    return { name, is: 'to-come', how: `${pin.version} is built with ${family}` }
  } catch (failure) {
    if (!(failure instanceof Failure)) throw failure
    return { name, is: 'missing', failure }
  }
}

async function orMissing(name: string, look: () => Promise<{ readonly version: string }>): Promise<ProgramSeen> {
  try {
    return { name, is: 'there', version: (await look()).version }
  } catch (failure) {
    if (!(failure instanceof Failure)) throw failure
    return { name, is: 'missing', failure }
  }
}
