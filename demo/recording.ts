/**
 * What bake, deploy, rollout and the demo ask of guests, recorded: `npm run record` makes it anew. Each command by its shape
 * (lab/shape.ts). The transcripts cover it, and a test holds what fake guests are asked against it.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Shapes } from '../lab/shape.ts'

export interface Recording {
  /** Of flow tests on fake guests, with real Packer and the real engine. */
  readonly flows: Shapes
  /** Of demos on real guests, into which the lab does not look: what their agents were asked. */
  readonly demo: Shapes
}

/** In a lab's folder: what its guests were asked (lab/record.ts), if it was started with --record. */
export const askedFile = 'asked.jsonl'

export const recordingFile = join(import.meta.dirname, 'recording.json')

export const readRecording = (): Recording => JSON.parse(readFileSync(recordingFile, 'utf8')) as Recording
