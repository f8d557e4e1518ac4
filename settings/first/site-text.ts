/** The text of a new site file: only what differs from the defaults, with a comment where one helps. Pure. */
import { isDeepStrictEqual } from 'node:util'
import { parseSite, type SiteInput } from '../site.ts'

type Value = string | number | boolean | null | readonly Value[] | { readonly [key: string]: Value }
type Tree = { readonly [key: string]: Value }

/** By the path of a setting; each becomes a line above it. */
const comments: Readonly<Record<string, string>> = {
  'proxmox.templates': 'Images get VMIDs from this range.',
  'proxmox.socksProxy': 'The way from this computer to the VMs.',
  'network.admin': "Who may use SSH, Grafana and the VMs' own addresses.",
  'network.containers': "Inside of the VMs only; the usual one is somebody else's here.",
  public: "What people's MCP clients call: its name in DNS, or its address. The router forwards 443 and 80 to the service address below.",
  'image.base': '"golden lock" finds the newest build and its checksum, and keeps to it until "golden lock --base".',
  'image.build': 'Free but for the minutes of a bake.',
  'serena.users': 'Who may connect; "golden init" makes the passwords that are not there.',
  'groups.serena.service': 'The address that people and routers use: it moves between the two slots, which take turns.',
  'groups.serena.depot': 'VMID of the VM, never started, that keeps the data disk while no slot has it.',
}

/** @param input a site that `parseSite` takes */
export function siteText(input: SiteInput): string {
  const lean = withoutDefaults(input) as unknown as Tree
  const used = new Set<string>(['defineSite'])
  const body = print(lean, '', 0, used)
  return [
    '// What this site decides. All that may stand here is in settings/site.ts, with what it is without: your editor shows it.',
    '// "golden init" wrote it once, and does not change it: edit it as you like.',
    `import { ${[...used].sort().join(', ')} } from 'serena-golden'`,
    '',
    `export default defineSite(${body})`,
    '',
  ].join('\n')
}

/** The same site in fewer words: each setting that makes no difference is left out. */
export function withoutDefaults(input: SiteInput): SiteInput {
  const whole = parseSite(input)
  if (!whole.ok) return input
  const means = (tree: Tree): boolean => {
    const parsed = parseSite(tree)
    return parsed.ok && isDeepStrictEqual(parsed.site, whole.site)
  }
  /** @param put gives the whole site with this in its place; undefined: without it */
  const lean = (tree: Tree, put: (part: Tree) => Tree): Tree => {
    let rest = tree
    for (const [key, value] of Object.entries(tree)) {
      const { [key]: _, ...without } = rest
      if (means(put(without))) rest = without
      else if (isTree(value)) {
        const before = rest
        const part = lean(value, (inner) => put({ ...before, [key]: inner }))
        rest = { ...rest, [key]: part }
      }
    }
    return rest
  }
  return lean(input as unknown as Tree, (tree) => tree) as unknown as SiteInput
}

const isTree = (value: Value): value is Tree => typeof value === 'object' && value !== null && !Array.isArray(value)

const width = 140

function print(value: Value, path: string, depth: number, used: Set<string>): string {
  if (!isTree(value) && !Array.isArray(value)) return typeof value === 'string' ? quoted(value) : String(value)
  const secret = isTree(value) ? secretText(value, used) : undefined
  if (secret !== undefined) return secret
  const parts = isTree(value)
    ? Object.entries(value).map(([key, inner]) => {
        const at = path === '' ? key : `${path}.${key}`
        return { comment: comments[at], text: `${keyText(key)}: ${print(inner, at, depth + 1, used)}` }
      })
    : (value as readonly Value[]).map((inner, index) => ({ comment: undefined, text: print(inner, `${path}.${index}`, depth + 1, used) }))
  const [open, close] = isTree(value) ? ['{', '}'] : ['[', ']']
  if (parts.length === 0) return `${open}${close}`
  const gap = isTree(value) ? ' ' : ''
  const line = `${open}${gap}${parts.map(({ text }) => text).join(', ')}${gap}${close}`
  const fits = depth > 0 && !line.includes('\n') && 2 * depth + path.length + line.length < width
  if (fits && parts.every(({ comment }) => comment === undefined)) return line
  const indent = '  '.repeat(depth + 1)
  const lines = parts.flatMap(({ comment, text }) => [...(comment === undefined ? [] : [`${indent}// ${comment}`]), `${indent}${text},`])
  return [open, ...lines, `${'  '.repeat(depth)}${close}`].join('\n')
}

/** `fromFile('…')` and the like, for what such a function would have made. */
function secretText(value: Tree, used: Set<string>): string | undefined {
  const call = (name: string, ...args: string[]): string => {
    used.add(name)
    return `${name}(${args.map(quoted).join(', ')})`
  }
  const { kind, path, name, command, ...others } = value
  if (Object.keys(others).length > 0) return undefined
  if (kind === 'file' && typeof path === 'string') return call('fromFile', path)
  if (kind === 'env' && typeof name === 'string') return call('fromEnv', name)
  if (kind === 'command' && Array.isArray(command)) return call('fromCommand', ...command.map(String))
  return undefined
}

const quoted = (text: string): string => `'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`

const keyText = (key: string): string => (/^[A-Za-z_$][A-Za-z0-9_$]*$/.test(key) ? key : quoted(key))
