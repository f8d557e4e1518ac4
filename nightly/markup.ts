/** Text that becomes part of HTML, SVG or Markdown, and stays text there. */

/** A piece of markup that is well-formed by itself. */
export interface Markup {
  readonly markup: string
}

/** What no XML may hold. */
const withoutControls = (text: string): string => text.toWellFormed().replaceAll(/[^\P{C}\n\t]|[\ufffe\uffff]/gu, '\ufffd')

const named: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

export const escapeMarkup = (text: string): string => withoutControls(text).replaceAll(/[&<>"']/g, (character) => named[character] ?? '')

export type Child = Markup | string | readonly Markup[]

const isMany = (child: Child): child is readonly Markup[] => Array.isArray(child)
const childText = (child: Child): string =>
  typeof child === 'string' ? escapeMarkup(child) : isMany(child) ? child.map(({ markup }) => markup).join('') : child.markup

/** One element, as HTML and as XML at once. Children that are strings are text. */
export function element(
  name: string,
  attributes: Readonly<Record<string, string | number | undefined>> = {},
  ...children: readonly Child[]
): Markup {
  const given = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}="${escapeMarkup(String(value))}"`)
  const inside = children.map(childText).join('')
  const isVoid = ['meta', 'input', 'br'].includes(name)
  return { markup: `<${name}${given.join('')}${isVoid ? ' />' : `>${inside}</${name}>`}` }
}

/** For a line of Markdown as GitHub and GitLab read it: no link, image, tag or mention comes of it. */
export const escapeMarkdown = (text: string): string =>
  withoutControls(text)
    .replaceAll(/[\\`*_[\]|~$]/g, '\\$&')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll(/(^|[^\w])@/g, '$1&#64;')
    .replaceAll(/:\/\//g, ':&#47;/')
    .replaceAll(/\s+/g, ' ')
    .trim()
