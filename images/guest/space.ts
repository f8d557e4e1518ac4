/** How much room the slot's disks have, and what is said before there is none. */
import { isMounted } from './disk.ts'
import type { Files, Space } from './machine.ts'
import { dataFolder } from './places.ts'

export interface Room {
  readonly disk: 'root' | 'data'
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
/** Below a hundredth, or below this: what is started then fails sooner or later. */
const nothing = 32 * 1024 ** 2

const inGib = (bytes: number): string => (bytes / gib).toFixed(1)

/** Pure. */
export const isFull = ({ size, free, files, freeFiles }: Room): boolean =>
  free < Math.min(size / 100, nothing) || (files > 0 && freeFiles < files / 1000)

/** Pure. */
export function spaceProblems(rooms: readonly Room[]): string[] {
  return rooms.flatMap((room) => {
    const { name, size, free, files, freeFiles } = room
    return [
      ...(free < Math.min(size / 10, little)
        ? [`${name} is ${free < Math.min(size / 100, nothing) ? '' : 'nearly '}full: ${inGib(free)} of ${inGib(size)} GiB are free`]
        : []),
      // A file system without a fixed number of files says 0.
      ...(files > 0 && freeFiles < files / 20 ? [`${name} has room for ${freeFiles} more files only, of ${files}`] : []),
    ]
  })
}

function roomOf(disk: Room['disk'], { bsize, blocks, bavail, files, ffree }: Space): Room {
  return { disk, name: `the ${disk} disk`, size: blocks * bsize, free: bavail * bsize, files, freeFiles: ffree }
}

function isFullForLoki(files: Files): boolean {
  if (!isMounted(files)) return false
  const { bsize, bfree } = files.space(dataFolder)
  return bfree * bsize < 32 * 1024 ** 2
}

/** For whom the data disk has no room. */
export interface Full {
  readonly data: boolean
  /** Not even in what is reserved for it (share.ts). */
  readonly forLoki: boolean
}

export const fullOf = (files: Files): Full => ({
  data: rooms(files).some((room) => room.disk === 'data' && isFull(room)),
  forLoki: isFullForLoki(files),
})

/**
 * What a full disk explains of a container: a Loki that can't write ends or refuses all, and Grafana does not start without
 * writing to its database. That is told, but it neither gets better by a restart nor keeps a slot from its users: a
 * deployment that waits for it would not bring Serena. Pure.
 */
export const lacksOnlyRoom = (container: string, { data, forLoki }: Full): boolean =>
  (container === 'loki' && forLoki) || (container === 'grafana' && data)

export function rooms(files: Files): Room[] {
  return [
    roomOf('root', files.space('/')),
    ...(isMounted(files) && files.exists(dataFolder) ? [roomOf('data', files.space(dataFolder))] : []),
  ]
}
