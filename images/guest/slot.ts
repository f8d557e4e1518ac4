/** Reads what this slot is, from memory and from the image. */
import type { ImageRecord } from '../contract/record.ts'
import type { Seed } from '../contract/seed.ts'
import type { Files } from './machine.ts'
import { imageRecordFile, seedFolder } from './places.ts'
import { parseSeed } from './render.ts'

export interface Slot {
  readonly seed: Seed
  readonly image: ImageRecord
}

/** Undefined without a seed: a VM that was started from the template by hand. */
export function readSlot(files: Files): Slot | undefined {
  const file = `${seedFolder}/seed.json`
  if (!files.exists(file)) return undefined
  return { seed: parseSeed(files.read(file)), image: JSON.parse(files.read(imageRecordFile)) as ImageRecord }
}
