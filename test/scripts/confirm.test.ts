/** Questions, and the ways not to answer them. */
import { PassThrough } from 'node:stream'
import { expect, it } from 'vitest'
import { confirm } from '../../scripts/confirm.ts'

/** Answers as soon as it is asked. */
function asked(answer: (input: PassThrough) => void, isTTY = true): Promise<void> {
  const input = Object.assign(new PassThrough(), { isTTY })
  const output = new PassThrough()
  output.once('data', () => answer(input))
  return confirm('Sure? ', 'yes', 'Say --yes.', { input, output })
}

it('only the wanted answer is a yes', async () => {
  await asked((input) => input.write('yes\n'))
  await expect(asked((input) => input.write('y\n'))).rejects.toMatchObject({ code: 'not-confirmed' })
  await expect(asked((input) => input.write('\n'))).rejects.toMatchObject({ code: 'not-confirmed' })
})

it.each([
  ['Ctrl-C', (input: PassThrough) => input.write('\x03')],
  ['Ctrl-D', (input: PassThrough) => input.write('\x04')],
  ['the end of the input', (input: PassThrough) => input.end()],
])('%s stops, without a stack trace', async (_what, answer) => {
  await expect(asked(answer)).rejects.toMatchObject({ name: 'Failure', code: 'cancelled', hint: 'Nothing was changed.' })
})

it('without a terminal it is told what to say instead', async () => {
  await expect(asked(() => {}, false)).rejects.toMatchObject({ code: 'not-confirmed', hint: 'Say --yes.' })
})
