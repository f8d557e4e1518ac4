import { expect, it } from 'vitest'
import { renderer } from '../../scripts/render.ts'

/** What a step with one note writes on a terminal, between its first line and its last. */
async function live(note: string, columns: number | undefined): Promise<string> {
  const written: string[] = []
  await renderer(
    {
      isTTY: true,
      columns: () => columns,
      write: (text) => {
        written.push(text)
      },
    },
    () => 0,
  ).step('x', async (say) => say(note))
  return written.slice(1, -1).join('').replace('\r\x1b[K', '')
}

it('a line that changes fits the terminal, whatever is on it', async () => {
  expect(await live('a'.repeat(300), 40)).toHaveLength(39)
  expect(await live('a'.repeat(300), undefined)).toHaveLength(79)
  // Two columns a character.
  expect(await live('字'.repeat(300), 40)).toBe(`  0.0 s · ${'字'.repeat(14)}`)
  expect(await live('a\tb\x1b[2J', 40)).toBe('  0.0 s · a b [2J')
})
