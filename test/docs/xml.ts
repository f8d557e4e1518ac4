/** Reads XML as strictly as an image's reader does: one root, every element closed, quoted attributes, known references. */

export interface Element {
  readonly name: string
  readonly attributes: Readonly<Record<string, string>>
  readonly children: readonly Element[]
  /** What stands in it, and in all that is in it. */
  readonly text: string
}

const token = /<(\/?)([A-Za-z][\w:-]*)((?:\s+[A-Za-z][\w:-]*="[^"<]*")*)\s*(\/?)>|([^<]+)/y

/** @throws Error for what is not well-formed */
export function readXml(source: string): Element {
  const open: { name: string; attributes: Record<string, string>; children: Element[]; text: string }[] = []
  let root: Element | undefined
  token.lastIndex = 0
  while (token.lastIndex < source.length) {
    const at = token.lastIndex
    const found = token.exec(source)
    if (found === null) throw new Error(`no XML from ${JSON.stringify(source.slice(at, at + 40))} on`)
    const [, closing, name = '', attributes = '', empty, words] = found
    if (words !== undefined) {
      if (open.length === 0 && words.trim() !== '') throw new Error(`text outside of the root: ${words}`)
      for (const one of open) one.text += decoded(words)
      continue
    }
    if (root !== undefined) throw new Error(`a second root, ${name}`)
    if (closing !== '/') open.push({ name, attributes: attributesIn(attributes), children: [], text: '' })
    if (closing !== '/' && empty !== '/') continue
    const ended = open.pop()
    if (ended?.name !== name) throw new Error(`${ended?.name} is ended as ${name}`)
    const parent = open.at(-1)
    if (parent === undefined) root = ended
    else parent.children.push(ended)
  }
  if (root === undefined) throw new Error(`${open.at(-1)?.name} is not ended`)
  return root
}

function attributesIn(text: string): Record<string, string> {
  const list = [...text.matchAll(/([A-Za-z][\w:-]*)="([^"]*)"/g)].map(([, name = '', value = '']) => [name, decoded(value)] as const)
  if (new Set(list.map(([name]) => name)).size < list.length) throw new Error(`an attribute twice: ${text}`)
  return Object.fromEntries(list)
}

const references: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"' }

const decoded = (text: string): string =>
  text.replaceAll(/&(\w*;?)/g, (whole, name: string) => {
    const found = name.endsWith(';') ? references[name.slice(0, -1)] : undefined
    if (found === undefined) throw new Error(`${whole} is no reference`)
    return found
  })

/** All elements of it, itself too, in the order of the source. */
export const elementsOf = (one: Element): Element[] => [one, ...one.children.flatMap(elementsOf)]
