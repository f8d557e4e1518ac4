/**
 * Cuts Proxmox VE's API schema down to the lab's methods and to what is compared of them: names, types and bounds of
 * parameters, and permissions. No sentence of Proxmox's comes along. Run by hand, when the lab gets a method:
 *
 *     node lab/recorded/cut-schema.ts pve-api-9.1.json
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { methods } from '../api/methods.ts'

export interface SchemaParam {
  readonly type?: string
  readonly optional?: number
  readonly enum?: readonly string[]
  readonly format?: string | Readonly<Record<string, SchemaParam>>
  readonly pattern?: string
  readonly minimum?: number | string
  readonly maximum?: number | string
  readonly minLength?: number
  readonly maxLength?: number
  readonly requires?: string
  readonly default_key?: number
  readonly alias?: string
  readonly keyAlias?: string
}

export interface SchemaMethod {
  readonly parameters?: { readonly properties?: Readonly<Record<string, SchemaParam>> }
  readonly permissions?: { readonly user?: string; readonly check?: readonly unknown[] }
}

/** Methods by `VERB /path/{with}/{names}`. */
export type Schema = Readonly<Record<string, SchemaMethod>>

/** Beside this file. */
export const schemaFile = join(import.meta.dirname, 'schema.json')

const kept = [
  'type',
  'optional',
  'enum',
  'format',
  'pattern',
  'minimum',
  'maximum',
  'minLength',
  'maxLength',
  'requires',
  'default_key',
  'alias',
  'keyAlias',
] as const satisfies readonly (keyof SchemaParam)[]

function cutParams(properties: Readonly<Record<string, SchemaParam>>): Record<string, SchemaParam> {
  return Object.fromEntries(
    Object.keys(properties)
      .sort()
      .map((name) => {
        const param = properties[name] ?? {}
        const entries = kept.flatMap((key) => (param[key] === undefined ? [] : [[key, param[key]] as const]))
        const { format } = param
        return [name, { ...Object.fromEntries(entries), ...(typeof format === 'object' ? { format: cutParams(format) } : {}) }]
      }),
  )
}

/** @throws Error for a method that Proxmox VE does not have */
export function cutSchema(whole: Schema, names: readonly string[]): Schema {
  const cut = (name: string): SchemaMethod => {
    const method = whole[name]
    if (method === undefined) throw new Error(`Proxmox VE has no method ${name}`)
    const { user, check } = method.permissions ?? {}
    return {
      parameters: { properties: cutParams(method.parameters?.properties ?? {}) },
      ...(user === undefined && check === undefined
        ? {}
        : { permissions: { ...(user === undefined ? {} : { user }), ...(check === undefined ? {} : { check }) } }),
    }
  }
  return Object.fromEntries([...names].sort().map((name) => [name, cut(name)]))
}

/** A line for each method, so that a change shows as one. */
export function renderSchema(schema: Schema): string {
  return `{\n${Object.entries(schema)
    .map(([name, method]) => `${JSON.stringify(name)}: ${JSON.stringify(method)}`)
    .join(',\n')}\n}\n`
}

if (import.meta.main) {
  const [file] = process.argv.slice(2)
  if (file === undefined) throw new Error('which schema? node lab/recorded/cut-schema.ts FILE')
  const whole = JSON.parse(await readFile(file, 'utf8')) as Schema
  await writeFile(schemaFile, renderSchema(cutSchema(whole, Object.keys(methods))))
}
