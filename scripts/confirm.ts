import { createInterface } from 'node:readline/promises'
import { Failure } from '../proxmox/failure.ts'

/** Asks on the terminal. @throws Failure `not-confirmed` for any other answer, or when nobody is there to ask */
export async function confirm(question: string, wanted: string, hint: string): Promise<void> {
  if (!process.stdin.isTTY) throw new Failure('not-confirmed', 'there is no terminal to ask on', hint)
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  try {
    if ((await lines.question(question)).trim() !== wanted) throw new Failure('not-confirmed', 'it was not confirmed', 'Nothing was changed.')
  } finally {
    lines.close()
  }
}
