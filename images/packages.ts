/** What a bake installs and does to units, as this project has it (packages.json). */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

export interface Packages {
  readonly common: readonly string[]
  /** Always, whether they are there or not. */
  readonly masked: readonly string[]
  /** See packer/provision/unwanted.sh. */
  readonly unwanted: readonly string[]
  readonly timers: readonly string[]
  readonly [os: string]: readonly string[]
}

export const readPackages = async (): Promise<Packages> =>
  JSON.parse(await readFile(join(import.meta.dirname, 'packages.json'), 'utf8')) as Packages

/** What is asked of apt on this base. */
export const askedOf = (packages: Packages, os: string): string[] => [...packages.common, ...(packages[os] ?? [])]
