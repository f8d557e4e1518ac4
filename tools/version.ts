import { ChildFailure, run } from '../core/child.ts'
import { childEnvironment } from '../core/environment.ts'
import type { PathRule, Pin } from './pins.ts'

/** `1.16.0` → [1, 16, 0]. Undefined for anything else, pre-releases included: those are nobody's suitable version. */
export function parseVersion(text: string): readonly [number, number, number] | undefined {
  const match = /^v?(\d+)\.(\d+)\.(\d+)$/.exec(text.trim())
  return match === null ? undefined : [Number(match[1]), Number(match[2]), Number(match[3])]
}

/** Whether a program of version `found` can stand in for the pinned one. */
export function suits(pinned: string, found: string, accept: PathRule['accept']): boolean {
  const want = parseVersion(pinned)
  const have = parseVersion(found)
  if (want === undefined || have === undefined) return false
  if (accept === 'name') return pinned === found
  if (have[0] !== want[0]) return false
  if (accept === 'minor') return have[1] === want[1] && have[2] >= want[2]
  return have[1] > want[1] || (have[1] === want[1] && have[2] >= want[2])
}

/**
 * Runs the executable to learn its version. Undefined if it can't be run or says something else. A foreign program of that
 * name (there are several called packer) may want to read or to go on for ever: it gets no input, and is killed.
 */
export async function askVersion(path: string, ask: NonNullable<Pin['ask']>, timeoutMs = 15_000): Promise<string | undefined> {
  const env = { ...childEnvironment(process.env), CHECKPOINT_DISABLE: '1' }
  try {
    const { stdout, stderr } = await run(path, ask.args, { env, timeoutMs })
    return ask.pattern.exec(`${stdout}\n${stderr}`)?.[1]
  } catch (error) {
    if (!(error instanceof ChildFailure)) throw error
    return undefined
  }
}
