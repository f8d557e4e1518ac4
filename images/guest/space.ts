/** How much room the slot's disks have, and what is said before there is none. */
import { isMounted } from './disk.ts'
import type { Files, Space } from './machine.ts'
import { dataFolder } from './places.ts'

export interface Room {
  readonly name: string
  /** Bytes. */
  readonly size: number
  /** For everybody, not for root alone. */
  readonly free: number
  readonly files: number
  readonly freeFiles: number
}

const gib = 1024 ** 3
/** Below a tenth, or below this on a large disk. */
const little = 4 * gib

const inGib = (bytes: number): string => (bytes / gib).toFixed(1)

/** Pure. */
export function spaceProblems(rooms: readonly Room[]): string[] {
  return rooms.flatMap(({ name, size, free, files, freeFiles }) => [
    ...(free < Math.min(size / 10, little) ? [`${name} is nearly full: ${inGib(free)} of ${inGib(size)} GiB are free`] : []),
    // A file system without a fixed number of files says 0.
    ...(files > 0 && freeFiles < files / 20 ? [`${name} has room for ${freeFiles} more files only, of ${files}`] : []),
  ])
}

function roomOf(name: string, { bsize, blocks, bavail, files, ffree }: Space): Room {
  return { name, size: blocks * bsize, free: bavail * bsize, files, freeFiles: ffree }
}

/** Not even in what is reserved for it is there room (share.ts). */
export function isFullForLoki(files: Files): boolean {
  if (!isMounted(files)) return false
  const { bsize, bfree } = files.space(dataFolder)
  return bfree * bsize < 32 * 1024 ** 2
}

/**
 * What a full disk explains of a container: a Loki that can't write ends or refuses all. That is told, but it neither gets
 * better by a restart nor keeps a slot from its users: a deployment that waits for it would not bring Serena. Pure.
 */
export const lacksOnlyRoom = (container: string, fullForLoki: boolean): boolean => container === 'loki' && fullForLoki

export function rooms(files: Files): Room[] {
  return [
    roomOf('the root disk', files.space('/')),
    ...(isMounted(files) && files.exists(dataFolder) ? [roomOf('the data disk', files.space(dataFolder))] : []),
  ]
}
