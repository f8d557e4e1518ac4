/** A client's configuration as it would be in a file of its own. Pure. */
import { clients, type ClientName, type Wanted } from './known.ts'
import { tomlTable } from './toml.ts'

export interface Rendered {
  readonly text: string
  /** The same for programs. */
  readonly document: Readonly<Record<string, unknown>>
}

export function renderClient(name: ClientName, wanted: Wanted, server = 'serena'): Rendered {
  const { servers, syntax, entry, inputs } = clients[name]
  const one = entry(wanted)
  const asked = inputs?.(wanted) ?? []
  const document = { ...(asked.length === 0 ? {} : { inputs: asked }), [servers]: { [server]: one } }
  return { document, text: syntax === 'toml' ? tomlTable([servers, server], one) : JSON.stringify(document, null, 2) }
}
