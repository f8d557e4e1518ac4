/** Holds what a flow test's guests were asked against the recording; or adds it, where record.ts says so. */
import { writeFileSync } from 'node:fs'
import { readRecording, recordingFile, type Recording } from '../../demo/recording.ts'
import type { Recorded } from '../../lab/record.ts'
import { beyond, kinds, shapesOf, type Shapes } from '../../lab/shape.ts'

/** By which record.ts has a test add to the recording. */
export const adding = 'GOLDEN_RECORD'

/** Whose token tests ask with what nobody else does. */
const tests = 'root@pam!lab'

/** What of it the recording does not have: nothing, or "npm run record" makes it anew. */
export function unrecorded(recorded: readonly Recorded[]): string[] {
  const found = shapesOf(recorded.filter((each) => !('asker' in each && each.asker === tests)))
  if (process.env[adding] === '1') add('flows', found)
  return beyond(found, readRecording().flows)
}

export const noShapes: Shapes = { ssh: [], agent: [], exec: [], programs: [] }

export function add(part: keyof Recording, found: Shapes): void {
  const recording = readRecording()
  const both = kinds.map((kind) => [kind, [...new Set([...recording[part][kind], ...found[kind]])].sort()])
  writeRecording({ ...recording, [part]: Object.fromEntries(both) })
}

export const writeRecording = (recording: Recording): void => writeFileSync(recordingFile, `${JSON.stringify(recording, null, 2)}\n`)
