/** Reads what this slot is, from memory and from the image. */
import { existsSync, readFileSync } from 'node:fs'
import type { ImageRecord } from '../contract/record.ts'
import type { Seed } from '../contract/seed.ts'
import { imageRecordFile, seedFolder } from './places.ts'
import { parseSeed } from './render.ts'

export interface Slot {
  readonly seed: Seed
  readonly image: ImageRecord
}

/** Undefined without a seed: a VM that was started from the template by hand. */
export function readSlot(): Slot | undefined {
  const file = `${seedFolder}/seed.json`
  if (!existsSync(file)) return undefined
  return { seed: parseSeed(readFileSync(file, 'utf8')), image: JSON.parse(readFileSync(imageRecordFile, 'utf8')) as ImageRecord }
}
