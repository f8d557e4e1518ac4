/** The report for the summary of a CI run, or a pull request. Pure. */
import { escapeMarkdown } from './markup.ts'
import type { Block, Cell, Report } from './report.ts'

/** GitHub cuts a summary at 1 MiB; nobody reads so much either. */
const mostRows = 50

export function markdownOf({ title, outcome, headline, sections, footer, words }: Report): string {
  const lines = [
    `# ${escapeMarkdown(title)}`,
    `**${escapeMarkdown(outcome)}** – ${escapeMarkdown(headline)}`,
    ...sections.flatMap((section) => [
      `## ${escapeMarkdown(section.title)}`,
      ...section.blocks.flatMap((block) => blockLines(block, words.more)),
    ]),
    `_${escapeMarkdown(footer)}_`,
  ]
  return `${lines.filter((line) => line !== '').join('\n\n')}\n`
}

function blockLines(block: Block, more: (count: number) => string): string[] {
  switch (block.kind) {
    case 'text':
      return [escapeMarkdown(block.text)]
    case 'lines':
      return [block.lines.map((line) => `- ${block.tone === 'bad' ? '❌ ' : ''}${escapeMarkdown(line)}`).join('\n')]
    case 'table': {
      if (block.rows.length === 0) return []
      const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
      const rows = block.rows.slice(0, mostRows).map((cells) => row(cells.map(cellText)))
      const rest = block.rows.length - mostRows
      return [
        [row(block.head.map(escapeMarkdown)), row(block.head.map(() => '---')), ...rows].join('\n'),
        ...(rest > 0 ? [escapeMarkdown(more(rest))] : []),
      ]
    }
    case 'plot':
      // A summary shows no SVG; the table beside it has tonight's times.
      return []
  }
}

function cellText({ text, tone, code }: Cell): string {
  const shown = escapeMarkdown(text)
  if (tone === 'bad') return `❌ ${shown}`
  if (tone === 'good') return `✅ ${shown}`
  // A backtick would end it, and entities are not read in it.
  return code && /^[\w.:@/+~…-]+$/.test(text) ? `\`${text}\`` : shown
}
