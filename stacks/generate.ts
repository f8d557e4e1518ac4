/**
 * TypeScript bindings of the Proxmox provider, made from the committed `provider-schema.json`: the provider's own
 * schema, cut down to the types that the stacks use. The bindings themselves are not committed.
 *
 * `node stacks/generate.ts` makes them if they are missing or out of date (`npm ci` and `main.ts` do that too);
 * `node stacks/generate.ts --from FILE --version X.Y.Z` takes a new schema from the output of `tofu providers schema -json`.
 */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { appendFile, chmod, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

/** What the stacks use. */
export const resourceTypes = [
  'proxmox_virtual_environment_vm',
  'proxmox_virtual_environment_firewall_options',
  'proxmox_virtual_environment_firewall_rules',
] as const
const source = 'registry.terraform.io/bpg/proxmox'
const schemaFile = join(import.meta.dirname, 'provider-schema.json')
const bindingsFolder = join(import.meta.dirname, 'bindings')
/** Raised when the generator's options below change. */
const layout = '1'

export interface FilteredSchema {
  /** Version of the provider that the schema was read from. */
  readonly version: string
  readonly schema: { readonly format_version: string; readonly provider_schemas: Readonly<Record<string, unknown>> }
}

interface ProviderSchemas {
  readonly format_version: string
  readonly provider_schemas: Readonly<
    Record<string, { readonly provider: unknown; readonly resource_schemas: Readonly<Record<string, unknown>> }>
  >
}

/** @param full what `tofu providers schema -json` prints (Terraform's "JSON provider schema" format) */
export function filterSchema(full: ProviderSchemas): FilteredSchema['schema'] {
  const [proxmox] = Object.entries(full.provider_schemas)
    .filter(([name]) => name.endsWith('/bpg/proxmox'))
    .map(([, schema]) => schema)
  if (proxmox === undefined) throw new Error('the schema has no provider bpg/proxmox')
  const resource_schemas = Object.fromEntries(
    resourceTypes.map((type) => {
      const schema = proxmox.resource_schemas[type]
      if (schema === undefined) throw new Error(`the provider has no resource ${type}`)
      return [type, withoutProse(schema)]
    }),
  )
  return {
    format_version: full.format_version,
    provider_schemas: { [source]: { provider: withoutProse(proxmox.provider), resource_schemas } },
  }
}

const prose = new Set(['description', 'description_kind', 'deprecated', 'deprecation_message'])

/** Descriptions are the provider's text and not needed. An attribute may be called `description` itself: that is an object. */
function withoutProse(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutProse)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, part]) => !prose.has(key) || typeof part === 'object')
      .map(([key, part]) => [key, withoutProse(part)]),
  )
}

export const readFilteredSchema = (): FilteredSchema => JSON.parse(readFileSync(schemaFile, 'utf8')) as FilteredSchema

/** Makes the bindings unless they are there already. Safe when several processes do it at once. */
export async function ensureBindings(): Promise<void> {
  const generator = JSON.parse(readFileSync(join(import.meta.dirname, '../package.json'), 'utf8')) as {
    devDependencies: Record<string, string>
  }
  const key = createHash('sha256')
    .update(readFileSync(schemaFile))
    .update(`${layout} ${generator.devDependencies['@cdktn/provider-generator']}`)
    .digest('hex')
  const upToDate = (): boolean => existsSync(join(bindingsFolder, key))
  if (upToDate()) return
  const folder = await mkdtemp(`${bindingsFolder}-`)
  try {
    await generate(folder)
    await writeFile(join(folder, key), '')
    // Like the rest of a clone: mkdtemp makes folders for their owner only, and others may use this clone too.
    await chmod(folder, 0o755)
    rmSync(bindingsFolder, { recursive: true, force: true })
    await rename(folder, bindingsFolder)
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    // Another process was faster: its bindings are as good.
    if (!upToDate()) throw error
  }
}

async function generate(folder: string): Promise<void> {
  // Its import asks the engine for its version; it has no use for the answer, and there may be no engine yet.
  const { TERRAFORM_BINARY_NAME: engine } = process.env
  process.env.TERRAFORM_BINARY_NAME = 'true'
  // And it would tell its makers about that.
  process.env.CHECKPOINT_DISABLE ??= '1'
  const { CodeMaker, TerraformProviderConstraint, TerraformProviderGenerator } = await import('@cdktn/provider-generator')
  const { ConstructsMakerTarget, Language } = await import('@cdktn/commons')
  if (engine === undefined) delete process.env.TERRAFORM_BINARY_NAME
  else process.env.TERRAFORM_BINARY_NAME = engine
  const { schema } = readFilteredSchema()
  const generator = new TerraformProviderGenerator(new CodeMaker(), schema as never, { importExtension: '.ts' })
  generator.generate(ConstructsMakerTarget.from(new TerraformProviderConstraint('bpg/proxmox'), Language.TYPESCRIPT))
  await generator.save(folder)
  for (const entry of await readdir(folder, { recursive: true })) {
    // Not our code: the compiler's stricter rules are not its business.
    if (entry.endsWith('.ts')) {
      const file = join(folder, entry)
      const text = await readFile(file, 'utf8')
      await writeFile(file, '// @ts-nocheck\n')
      await appendFile(file, text)
    }
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { from: { type: 'string' }, version: { type: 'string' } } })
  if (values.from !== undefined) {
    if (values.version === undefined) throw new Error('--from needs --version, the version of the provider')
    const schema = filterSchema(JSON.parse(readFileSync(values.from, 'utf8')) as ProviderSchemas)
    writeFileSync(schemaFile, `${JSON.stringify({ version: values.version, schema } satisfies FilteredSchema, null, 1)}\n`)
  }
  await ensureBindings()
}

if (import.meta.main) await main()
