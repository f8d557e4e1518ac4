/**
 * Restore points of the services' own state, on the data disk: who has used it, what is kept, and what is due when a slot
 * gets it. All of it is in one folder of root's:
 *
 *     used-by.json     whose image has used the state last, and the restore point that was made before
 *     000007/          a restore point: about.json, and what of the state there was, at the same places
 *     000008.new/      one that is being made; it counts from the moment when used-by.json names it
 *     restoring.json   there while one is put back (put-back.ts)
 */
import { join } from 'node:path'
import type { Status } from '../contract/status.ts'
import type { Files, Machine } from './machine.ts'
import { restorePointsFolder, stateWishFile } from './places.ts'
import { replaceFile } from './replace-file.ts'

/** Of a disk on which nobody has noted who used it: an earlier version's. */
export const unknownImage = 'unknown'
/** How many are kept. */
export const keptPoints = 2

export interface UsedBy {
  /** Fingerprint. */
  readonly image: string
  /** Made of what the image before it had left; absent: none was made. */
  readonly restorePoint?: string
  /** Why not, or why not what was asked for. */
  readonly problem?: string
}

export interface About {
  /** ISO 8601. */
  readonly made: string
  /** Fingerprint of the image that used it last. */
  readonly image: string
  /** On the disk; shared blocks count. */
  readonly bytes: number
}

export interface RestorePoint extends About {
  /** A number of six digits: the larger one is the newer one, whatever clocks say. */
  readonly id: string
}

/** Undefined: it is not there, or a power cut has left half of it. */
export function readJson<T>(files: Files, path: string): T | undefined {
  if (!files.exists(path)) return undefined
  try {
    return JSON.parse(files.read(path)) as T
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

export const pointFolder = (id: string): string => join(restorePointsFolder, id)
/** While it is being made. */
export const newPointFolder = (id: string): string => `${pointFolder(id)}.new`

const usedByFile = join(restorePointsFolder, 'used-by.json')
export const readUsedBy = (files: Files): UsedBy | undefined => readJson<UsedBy>(files, usedByFile)
export const writeUsedBy = (files: Files, usedBy: UsedBy): void => replaceFile(files, usedByFile, JSON.stringify(usedBy), 0o600)

export const writeAbout = (files: Files, folder: string, about: About): void =>
  replaceFile(files, join(folder, 'about.json'), JSON.stringify(about), 0o600)

/** The oldest first. */
export const listPoints = (files: Files): RestorePoint[] =>
  files.exists(restorePointsFolder)
    ? files
        .list(restorePointsFolder)
        .filter((name) => /^\d{6}$/.test(name))
        .sort()
        .flatMap((id) => {
          const about = readJson<About>(files, join(pointFolder(id), 'about.json'))
          return about === undefined ? [] : [{ id, ...about }]
        })
    : []

/** Larger than all that are there, half made ones among them. */
export function nextId(files: Files): string {
  const last = files.list(restorePointsFolder).reduce((most, name) => Math.max(most, Number(/^\d{6}/.exec(name)?.[0] ?? 0)), 0)
  return String(last + 1).padStart(6, '0')
}

/** For `slotctl status`, while the disk is mounted. */
export function restorePointsStatus(files: Files): NonNullable<Status['restorePoints']> {
  const usedBy = readUsedBy(files)
  return listPoints(files).map(({ id, made, image, bytes }) => ({ made, image, bytes, last: id === usedBy?.restorePoint }))
}

/** What is due before the services of a slot start. */
export type Due =
  | { readonly do: 'nothing' }
  /** There is nothing to keep. */
  | { readonly do: 'note' }
  | { readonly do: 'make'; readonly problem?: string }
  | { readonly do: 'put-back'; readonly point: RestorePoint }

/**
 * Pure. A state belongs to the image that has used it last: to ask for the state of before again, once it is back, asks
 * for nothing.
 * @param image of this slot
 * @param wish what the slot was told to take the state as
 */
export function due(
  image: string,
  wish: 'now' | 'before',
  usedBy: UsedBy | undefined,
  hasState: boolean,
  points: readonly RestorePoint[],
): Due {
  if (usedBy?.image === image) return { do: 'nothing' }
  if (wish === 'before') {
    const point = points.find(({ id }) => id === usedBy?.restorePoint)
    if (point?.image === image) return { do: 'put-back', point }
    const problem = 'the state of before was asked for, and no restore point has it: the services use what the image after it has left'
    return hasState ? { do: 'make', problem } : { do: 'note' }
  }
  return { do: hasState ? 'make' : 'note' }
}

/** What the slot was told (slotctl state); on its own disk, so that a reset does not make it forget. */
export const readWish = (files: Files): 'now' | 'before' => (files.exists(stateWishFile) ? 'before' : 'now')

export async function writeWish({ files, run }: Machine, wish: 'now' | 'before'): Promise<void> {
  if (wish === 'before') files.write(stateWishFile, '', 0o600)
  else files.remove(stateWishFile)
  await run('sync', [])
}

/** Why the image that uses the state now has no way back to what was before it. */
export function restorePointProblems(files: Files, image: string): string[] {
  const usedBy = readUsedBy(files)
  return usedBy?.image === image && usedBy.problem !== undefined ? [usedBy.problem] : []
}
