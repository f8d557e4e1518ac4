/** The part of Go's text/template that people write after docker's `--format`. */

type Token = { readonly text: string } | { readonly action: string }

function lookup(path: string, dot: unknown): unknown {
  if (path === '.') return dot
  return path
    .split('.')
    .filter(Boolean)
    .reduce<unknown>(
      (value, key) => (typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined),
      dot,
    )
}

function words(expression: string): string[] {
  return [...expression.matchAll(/"[^"]*"|\([^)]*\)|\S+/g)].map(([word]) => word)
}

function evaluate(expression: string, dot: unknown): unknown {
  const [first = '', ...rest] = words(expression.trim())
  const value = (word: string): unknown =>
    word.startsWith('"')
      ? word.slice(1, -1)
      : word.startsWith('(')
        ? evaluate(word.slice(1, -1), dot)
        : /^-?\d+$/.test(word)
          ? Number(word)
          : lookup(word, dot)
  switch (first) {
    case 'json':
      return JSON.stringify(value(rest[0] ?? '.') ?? null)
    case 'println':
      return `${rest.map((word) => String(value(word))).join(' ')}\n`
    case 'index': {
      const at = value(rest[1] ?? '')
      const of = value(rest[0] ?? '')
      return Array.isArray(of) ? of[Number(at)] : (of as Record<string, unknown> | undefined)?.[String(at)]
    }
    case 'len': {
      const of = value(rest[0] ?? '')
      return Array.isArray(of) || typeof of === 'string' ? of.length : Object.keys((of as object | undefined) ?? {}).length
    }
    case 'eq':
      return value(rest[0] ?? '') === value(rest[1] ?? '')
    case 'lower':
      return String(value(rest[0] ?? '')).toLowerCase()
    default:
      return value(first)
  }
}

function show(value: unknown): string {
  return value === undefined || value === null
    ? '<no value>'
    : Array.isArray(value)
      ? `[${value.map(show).join(' ')}]`
      : typeof value === 'object'
        ? `map[${Object.entries(value)
            .map(([key, each]) => `${key}:${show(each)}`)
            .join(' ')}]`
        : String(value)
}

const truthy = (value: unknown): boolean => (Array.isArray(value) ? value.length > 0 : Boolean(value))

/** Renders `template` with `dot`. */
export function renderTemplate(template: string, dot: unknown): string {
  const tokens: Token[] = []
  let at = 0
  for (const match of template.matchAll(/\{\{-?\s*(.*?)\s*-?\}\}/g)) {
    tokens.push({ text: template.slice(at, match.index) }, { action: match[1] ?? '' })
    at = match.index + match[0].length
  }
  tokens.push({ text: template.slice(at) })
  let position = 0
  const block = (here: unknown, live: boolean): string => {
    let text = ''
    while (position < tokens.length) {
      const token = tokens[position]
      if (!token) break
      if ('text' in token) {
        if (live) text += token.text.replaceAll('\\n', '\n').replaceAll('\\t', '\t')
        position++
        continue
      }
      const [verb = ''] = words(token.action)
      if (verb === 'end' || verb === 'else') return text
      position++
      if (verb === 'if' || verb === 'with') {
        const value = evaluate(token.action.slice(verb.length), here)
        text += block(verb === 'with' ? value : here, live && truthy(value))
        const next = tokens[position]
        if (next && 'action' in next && next.action === 'else') {
          position++
          text += block(here, live && !truthy(value))
        }
        position++
      } else if (verb === 'range') {
        const value = evaluate(token.action.slice(5), here)
        const items = live ? (Array.isArray(value) ? value : Object.values((value as object | undefined) ?? {})) : []
        const start = position
        if (items.length === 0) block(here, false)
        for (const item of items) {
          position = start
          text += block(item, true)
        }
        position++
      } else if (live) text += show(evaluate(token.action, here))
    }
    return text
  }
  return block(dot, true)
}
