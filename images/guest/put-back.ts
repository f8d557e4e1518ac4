/**
 * Puts a restore point's state back, and keeps what was there as a restore point of its own. By renaming alone, so that it
 * needs no room; what it is at is written down, so that whoever comes after a power cut, the other slot too, ends it.
 */
import { dirname, join } from 'node:path'
import type { Files, Machine } from './machine.ts'
import { dataFolder, restorePointsFolder } from './places.ts'
import { replaceFile } from './replace-file.ts'
import { pointFolder, readJson, writeAbout, writeUsedBy } from './restore-points.ts'
import { derivedPaths, statePaths } from './state.ts'
import { measure, sync } from './state-size.ts'

export interface PutBack {
  /** The restore point that it takes; it is used up by it. */
  readonly from: string
  /** The one that it makes of what is there. */
  readonly aside: string
  /** Whose state is put back, and whose was there. */
  readonly image: string
  readonly was: string
  /** ISO 8601. */
  readonly made: string
  readonly phase: 'aside' | 'in'
}

const file = join(restorePointsFolder, 'restoring.json')

/** One that has not come to its end. */
export const interruptedPutBack = (files: Files): PutBack | undefined => readJson<PutBack>(files, file)

async function note(machine: Machine, job: PutBack): Promise<void> {
  replaceFile(machine.files, file, JSON.stringify(job), 0o600)
  await sync(machine)
}

export async function beginPutBack(machine: Machine, job: Omit<PutBack, 'phase'>): Promise<void> {
  const begun: PutBack = { ...job, phase: 'aside' }
  await note(machine, begun)
  await goOn(machine, begun)
}

/** From wherever it was stopped. Nothing of the state is in use meanwhile. */
export async function goOn(machine: Machine, job: PutBack): Promise<void> {
  const { files } = machine
  const [from, aside] = [pointFolder(job.from), pointFolder(job.aside)]
  if (job.phase === 'aside') {
    files.mkdir(aside, 0o700)
    for (const path of statePaths(files, dataFolder)) move(files, dataFolder, aside, path)
    for (const path of derivedPaths(files, dataFolder)) files.remove(join(dataFolder, path))
    // A size that can't be told is nothing to stop at here.
    const { bytes } = await measure(machine, [aside]).catch(() => ({ bytes: 0 }))
    writeAbout(files, aside, { made: job.made, image: job.was, bytes })
    await note(machine, { ...job, phase: 'in' })
  }
  for (const path of statePaths(files, from)) move(files, from, dataFolder, path)
  writeUsedBy(files, { image: job.image, restorePoint: job.aside })
  await sync(machine)
  files.remove(from)
  files.remove(file)
  await sync(machine)
}

/** Folders that it needs there belong to whom the folder of the service belongs; a service's own is made ready by its start. */
function move(files: Files, from: string, to: string, path: string): void {
  const [service = ''] = path.split('/')
  const above = dirname(join(to, path))
  if (!files.exists(above)) {
    files.mkdir(above, 0o700)
    const { uid } = files.look(join(to, service))
    files.chown(above, uid, uid)
  }
  files.rename(join(from, path), join(to, path))
}
