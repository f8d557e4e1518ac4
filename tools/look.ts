/** Whether programs are there, and how those that are not would come. Nothing is loaded or made. */
import { join } from 'node:path'
import { Failure } from '../core/failure.ts'
import { MODULES } from './build.ts'
import { toolCache } from './cache.ts'
import { findTerraform, type Engine } from './environment.ts'
import { findGo } from './go.ts'
import { PINS, type ToolName } from './pins.ts'
import { currentPlatform } from './platform.ts'
import { provideFromHere, type Surroundings } from './provide.ts'
import type { ToolOptions } from './start.ts'

export type ProgramSeen =
  | { readonly name: string; readonly is: 'there'; readonly version: string }
  /** The first verb that needs it fetches or builds it. */
  | { readonly name: string; readonly is: 'to-come'; readonly how: string }
  | { readonly name: string; readonly is: 'missing'; readonly failure: Failure }

/**
 * Of all that bake and deploy run.
 * @throws Failure `unsupported-platform`
 */
export async function lookForPrograms(engine: Engine, options: ToolOptions = {}): Promise<ProgramSeen[]> {
  const around: Surroundings = {
    cache: options.cacheDir ?? toolCache(),
    path: options.searchPath ?? process.env.PATH ?? '',
    platform: currentPlatform(),
    report: () => {},
    signal: options.signal,
  }
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
  if (pin.releases[around.platform] !== undefined) return { name, is: 'to-come', how: `${pin.version} is downloaded` }
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
