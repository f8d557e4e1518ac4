/** Where things are in the picture, in pixels of a telephone's width. */
import type { Box } from './shapes.ts'

export const width = 420
/** The Serena VMs' and the logging VMs', with room for their arrow between. */
export const columns = { serena: { x: 16, width: 172 }, logging: { x: 232, width: 172 } } as const
export type Column = keyof typeof columns
export const rows = {
  places: 12,
  placesEnd: 58,
  router: 88,
  host: 144,
  group: 158,
  vm: 176,
  vmEnd: 272,
  next: 320,
  groupEnd: 374,
  hostEnd: 402,
  below: 434,
} as const
/** Places that VMs reach, one under the other, each deeper one wider: the arrows to it pass the others by. */
export const below = { height: 34, gap: 24, step: 20 } as const

export const inColumn = (column: Column, y: number, height: number): Box => ({ ...columns[column], y, height })
