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

it('lines of steps side by side stand where their own step is, and the line that changes tells of each', async () => {
  const written: string[] = []
  const write = (isTTY: boolean) => ({ isTTY, columns: () => 200, write: (text: string) => void written.push(text) })
  const both = async (progress: ReturnType<typeof renderer>): Promise<void> => {
    const [begun, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    await progress.step('deploy', () =>
      Promise.all([
        progress.step('logging', async (note) => {
          note('boots')
          await progress.step('activate', async () => {
            progress.info('claimed')
            begun.resolve()
            await go.promise
          })
        }),
        progress.step('serena', async (note) => {
          await begun.promise
          note('clones')
          progress.warn('slow')
          go.resolve()
        }),
      ]),
    )
  }
  await both(renderer(write(false), () => 0))
  const marks = '✓ activate (0.0 s)|✓ logging (0.0 s)|✓ serena (0.0 s)'
  expect(written.join('').split('\n').filter(Boolean)).toEqual(
    expect.arrayContaining([
      'deploy …',
      '  logging …',
      '    activate …',
      '      claimed',
      '    warning: slow',
      '    ✓ activate (0.0 s)',
      '  ✓ serena (0.0 s)',
    ]),
  )
  expect(written.join('').match(new RegExp(marks.replaceAll(/[().]/g, '\\$&'), 'g'))).toHaveLength(3)
  written.length = 0
  await both(renderer(write(true), () => 0))
  expect(written.join('')).toContain('activate: 0.0 s | serena: 0.0 s · clones')
})
