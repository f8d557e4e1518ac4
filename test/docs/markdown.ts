/** What tests want to know of a page in Markdown. */

export interface Fence {
  readonly language: string
  readonly lines: readonly string[]
}

const fence = /```(\w*)\n([\s\S]*?)```/g

export const fencesOf = (markdown: string): Fence[] =>
  [...markdown.matchAll(fence)].map(([, language = '', block = '']) => ({ language, lines: block.trimEnd().split('\n') }))

/** The code within sentences. */
export const inlineCodeOf = (markdown: string): string[] =>
  [...markdown.replaceAll(fence, '').matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code)

/** Where links and pictures lead. */
export function linksOf(markdown: string): string[] {
  const text = markdown.replaceAll(fence, '').replaceAll(/`[^`\n]*`/g, '')
  return [...text.matchAll(/\]\(([^()\s]+)\)|<(?:img|source)\b[^>]*\bsrc(?:set)?="([^"]+)"|<a\b[^>]*\bhref="([^"]+)"/g)].map(
    ([, link, source, reference]) => link ?? source ?? reference ?? '',
  )
}

/** As GitHub names headings: lower case, hyphens for blanks, and letters, digits and hyphens only. */
export const anchorsOf = (markdown: string): string[] =>
  [...markdown.replaceAll(fence, '').matchAll(/^#{1,6} +(.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{M}\p{N}\p{Pc} -]/gu, '')
      .replaceAll(' ', '-'),
  )

/** Without the comments, which are in the reader's language. */
export const withoutComment = (line: string): string => line.replace(/(?:^|\s+)(?:#|\/\/) .*$/, '').trimEnd()
