import { expect, test } from 'vitest'
import { renderer } from '../../scripts/render.ts'

/** What a step with one note writes on a terminal, between its first line and its last. */
async function live(note: string, columns: number | undefined): Promise<string> {
  const written: string[] = []
  await renderer({ isTTY: true, columns: () => columns, write: (text) => { written.push(text) } }, () => 0).step('x', async (say) => say(note))
  return written.slice(1, -1).join('').replace('\r\x1b[K', '')
}

test('steps side by side are each as deep as what they are part of', async () => {
  const lines: string[] = []
  const { step, info } = renderer({ isTTY: false, write: (text) => { lines.push(text) } }, () => 0)
  const { promise, resolve } = Promise.withResolvers<void>()
  await step('both', () => Promise.all([
    step('one', async () => { await promise; info('of one') }),
    step('other', async () => { await step('inner', async () => { resolve() }) })
  ]))
  // What is beside each other has no order.
  const shown = lines.map((line) => line.replace(/ \(.*/, '').trimEnd())
  expect(shown.toSorted()).toEqual(['    inner …', '    of one', '    ✓ inner', '  one …', '  other …', '  ✓ one', '  ✓ other', 'both …', '✓ both'])
})

test('a line that changes fits the terminal, whatever is on it', async () => {
  expect(await live('a'.repeat(300), 40)).toHaveLength(39)
  expect(await live('a'.repeat(300), undefined)).toHaveLength(79)
  // Two columns a character.
  expect(await live('字'.repeat(300), 40)).toBe(`  0.0 s · ${'字'.repeat(14)}`)
  expect(await live('a\tb\x1b[2J', 40)).toBe('  0.0 s · a b [2J')
})
