/** Whether there is room on a storage for what is going to be made there. Pure. */
import { sizeText } from '../core/quantity.ts'

/** With less than this nothing begins well. In bytes. */
export const lowSpace = 2 * 2 ** 30

/** Something that is going to be made, and the most that it can take. */
export interface SpaceNeed {
  readonly what: string
  /** Thin storages give it only as it is written to. */
  readonly bytes: number
}

export const gib = 2 ** 30

/** `48.0 GiB (the image 16.0 GiB, the data disk of serena 32.0 GiB)` */
export const needText = (needs: readonly SpaceNeed[]): string =>
  needs.length === 0
    ? 'nothing'
    : `${sizeText(needs.reduce((sum, { bytes }) => sum + bytes, 0))} (${needs.map(({ what, bytes }) => `${what} ${sizeText(bytes)}`).join(', ')})`

/** What to say before it is made where that may not be enough; undefined: it is. */
export function shortOfSpace(storage: string, free: number | undefined, needs: readonly SpaceNeed[]): string | undefined {
  const sum = needs.reduce((total, { bytes }) => total + bytes, 0)
  if (free === undefined || sum <= free) return undefined
  return `storage ${storage} has ${sizeText(free)} left, and what is to be made there may grow to ${needText(needs)}`
}
