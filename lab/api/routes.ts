/** Finds the method for a request. */
import { handlers } from './handlers.ts'
import { methods } from './methods.ts'
import type { Method } from './schema.ts'
import type { Handler } from './context.ts'

export interface Route {
  readonly key: string
  readonly method: Method
  readonly handler: Handler
  readonly pathParams: Record<string, string>
}

interface Entry {
  readonly key: string
  readonly verb: string
  readonly parts: readonly string[]
}

const entries: Entry[] = Object.keys(methods).map((key) => {
  const [verb = '', path = ''] = key.split(' ')
  return { key, verb, parts: path.split('/').slice(1) }
})
// A fixed part wins over a placeholder.
entries.sort((a, b) => a.parts.filter((part) => part.startsWith('{')).length - b.parts.filter((part) => part.startsWith('{')).length)

/** The last placeholder of these takes all that is left, slashes too. */
const greedy = new Set(['volume', 'cidr'])

/** `path` without prefix, decoded part by part. */
export function findRoute(verb: string, path: string): Route | undefined {
  const parts = path.split('/').filter((part) => part !== '')
  for (const entry of entries) {
    if (entry.verb !== verb) continue
    const pathParams = match(entry.parts, parts)
    const method = methods[entry.key]
    const handler = handlers[entry.key]
    if (pathParams !== undefined && method !== undefined && handler !== undefined) return { key: entry.key, method, handler, pathParams }
  }
  return undefined
}

function match(template: readonly string[], parts: readonly string[]): Record<string, string> | undefined {
  const params: Record<string, string> = {}
  for (const [index, expected] of template.entries()) {
    const name = /^\{(.+)\}$/.exec(expected)?.[1]
    const given = parts[index]
    if (given === undefined) return undefined
    if (name === undefined) {
      if (given !== expected) return undefined
      continue
    }
    if (greedy.has(name) && index === template.length - 1) {
      params[name] = parts.slice(index).join('/')
      return params
    }
    params[name] = given
  }
  return template.length === parts.length ? params : undefined
}
