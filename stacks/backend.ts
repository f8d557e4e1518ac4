/** Where a stack's state lives, as the site says. */
import { join } from 'node:path'
import { LocalBackend, TerraformBackend, type TerraformRemoteState } from 'cdktn'
import type { Construct } from 'constructs'
import type { Site } from '../settings/site.ts'

/** The site's own spelling of a backend's settings, which is Terraform's. */
class SiteBackend extends TerraformBackend {
  readonly #config: Readonly<Record<string, unknown>>

  constructor(scope: Construct, type: string, config: Readonly<Record<string, unknown>>) {
    super(scope, 'backend', type)
    this.#config = config
  }

  protected override synthesizeAttributes(): { [name: string]: unknown } {
    return { ...this.#config }
  }

  override getRemoteStateDataSource(): TerraformRemoteState {
    throw new Error("stacks of this project do not read each other's state")
  }
}

/**
 * Every stack gets a state of its own: a file, a path below the address, a key or a schema. Credentials of remote
 * backends come from their usual environment variables (`TF_HTTP_PASSWORD`, `AWS_…`, `PG_CONN_STR`), never from here.
 * @param stateFolder absolute path for local state
 */
export function addBackend(stack: Construct, stackName: string, backend: Site['backend'], stateFolder: string): void {
  if (backend.type === 'local') new LocalBackend(stack, { path: join(stateFolder, `${stackName}.tfstate`) })
  else new SiteBackend(stack, backend.type, configFor(stackName, backend.type, backend.config))
}

function configFor(
  stackName: string,
  type: 'http' | 's3' | 'pg',
  config: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const below = (value: unknown): string => `${String(value ?? '').replace(/\/+$/, '')}/${stackName}`
  switch (type) {
    case 'http':
      return Object.fromEntries(
        Object.entries(config).map(([key, value]) => [key, /^(address|lock_address|unlock_address)$/.test(key) ? below(value) : value]),
      )
    case 's3':
      return { ...config, key: `${below(config.key ?? 'serena-golden')}.tfstate` }
    case 'pg':
      return { ...config, schema_name: `${String(config.schema_name ?? 'golden')}_${stackName.replaceAll('-', '_')}` }
  }
}
