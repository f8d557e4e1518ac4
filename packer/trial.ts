/**
 * How each container image is run once in the build VM: as compose.yaml runs it, but with the words of its `x-trial`,
 * which make the program say something and end. Pure.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { imageVariables, networkVariables } from '../images/guest/render.ts'
import type { Service } from '../images/contract/record.ts'

interface ComposeService {
  readonly image: string
  readonly user?: string
  readonly volumes?: readonly { readonly type: string; readonly source: string; readonly read_only?: boolean }[]
  readonly 'x-trial'?: readonly string[]
}

export interface Compose {
  readonly services: Readonly<Record<string, ComposeService>>
}

const file = join(import.meta.dirname, '../images/rootfs/opt/golden/compose/compose.yaml')

export async function readCompose(): Promise<Compose> {
  // Only now: a bake that finds its image has no use for it.
  const { parse } = await import('yaml')
  return parse(await readFile(file, 'utf8'), { merge: true }) as Compose
}

/**
 * Three of the files that trial.sh reads: `compose.env`; `trials`, a line for each image with its name in the lock, a
 * service that runs it and the words; and `trial-folders`, a line for each folder that compose.yaml mounts, with its owner.
 * Several services of one image differ in their words only: the first stands for all.
 * @param containers `network.containers` of the site: with others the build VM might lose its way to Packer
 */
export function trialFiles(
  compose: Compose,
  references: Partial<Record<Service, string>>,
  containers: string,
): [name: string, text: string][] {
  const variables = { ...imageVariables(references), ...networkVariables(containers) }
  const trials: string[] = []
  const folders = new Map<string, string>()
  for (const service of Object.keys(references)) {
    const variable = Object.keys(imageVariables({ [service]: '' }))[0] ?? ''
    const [name, spec] = Object.entries(compose.services).find(([, { image }]) => image.startsWith(`\${${variable}:-`)) ?? []
    if (name === undefined || spec === undefined) continue
    trials.push([service, name, ...(spec['x-trial'] ?? ['--version'])].join(' '))
    for (const { type, source, read_only } of spec.volumes ?? []) {
      // Secrets are read by their user alone, but here there are none; what a program writes to is its own.
      if (type === 'bind') folders.set(source, read_only === true ? (folders.get(source) ?? '0:0') : (spec.user ?? '0:0'))
    }
  }
  const text = (list: readonly string[]): string => list.map((line) => `${line}\n`).join('')
  return [
    ['compose.env', text(Object.entries(variables).map(([name, value]) => `${name}="${value}"`))],
    ['trials', text(trials)],
    ['trial-folders', text([...folders].map(([path, owner]) => `${owner} ${path}`))],
  ]
}
