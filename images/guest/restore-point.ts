/**
 * Before the services start on a data disk that has come: where another image has used their state last, a restore point
 * of it is made; or, where the slot was told so, the state as its own image had left it is put back. A unit of its own,
 * which both services require: each of them would else race with the other, and with half a state none may start.
 * Killed anywhere and run again it is right.
 */
import { dirname, join } from 'node:path'
import { isMounted } from './disk.ts'
import { thisMachine, type Machine } from './machine.ts'
import { dataFolder, restorePointsFolder } from './places.ts'
import { beginPutBack, goOn, interruptedPutBack } from './put-back.ts'
import {
  due,
  keptPoints,
  listPoints,
  newPointFolder,
  nextId,
  pointFolder,
  readUsedBy,
  readWish,
  unknownImage,
  writeAbout,
  writeUsedBy,
  writeWish,
} from './restore-points.ts'
import { readSlot } from './slot.ts'
import { batches, measure, sync } from './state-size.ts'
import { statePaths } from './state.ts'

/** Clients wait meanwhile, for `serena.parking.seconds` at most. */
const copyMs = 180_000

export async function restorePoint(machine: Machine): Promise<number> {
  const { files } = machine
  const slot = readSlot(files)
  if (slot === undefined || !isMounted(files)) return 0
  try {
    await beforeUse(machine, slot.image.fingerprint)
  } catch (error) {
    // With half a state no service may start; with a whole one, on a disk that takes not even a note, they may.
    if (interruptedPutBack(files) !== undefined) throw error
    machine.complain(`no restore point was made: ${(error as Error).message}`)
  }
  return 0
}

async function beforeUse(machine: Machine, fingerprint: string): Promise<void> {
  const { files } = machine
  files.mkdir(restorePointsFolder, 0o700)
  await tidy(machine)
  const usedBy = readUsedBy(files)
  const next = due(fingerprint, readWish(files), usedBy, statePaths(files, dataFolder).length > 0, listPoints(files))
  const was = usedBy?.image ?? unknownImage
  switch (next.do) {
    case 'nothing':
      break
    case 'note':
      writeUsedBy(files, { image: fingerprint })
      break
    case 'make':
      await make(machine, was, fingerprint, next.problem)
      break
    case 'put-back': {
      machine.say(`putting back the state of ${next.point.made}, as image ${fingerprint.slice(0, 12)} had left it`)
      const made = new Date(machine.now()).toISOString()
      await beginPutBack(machine, { from: next.point.id, aside: nextId(files), image: fingerprint, was, made })
    }
  }
  if (readWish(files) === 'before') await writeWish(machine, 'now')
}

/** What a run that was killed has left. */
async function tidy(machine: Machine): Promise<void> {
  const { files } = machine
  const job = interruptedPutBack(files)
  if (job !== undefined) await goOn(machine, job)
  const id = readUsedBy(files)?.restorePoint
  if (id !== undefined && !files.exists(pointFolder(id)) && files.exists(newPointFolder(id)))
    files.rename(newPointFolder(id), pointFolder(id))
  for (const name of files.list(restorePointsFolder)) if (/^\d{6}\.new$/.test(name)) files.remove(join(restorePointsFolder, name))
}

/** Without one the services start all the same: to keep them away would be worse than no way back. */
async function make(machine: Machine, was: string, image: string, problem: string | undefined): Promise<void> {
  const { files } = machine
  // Those that go anyway make room first.
  for (const { id } of listPoints(files).slice(0, -(keptPoints - 1))) files.remove(pointFolder(id))
  const id = nextId(files)
  try {
    await copy(machine, newPointFolder(id), was)
  } catch (error) {
    files.remove(newPointFolder(id))
    const why = `no restore point was made of what the image before has left: ${(error as Error).message}`
    machine.complain(why)
    writeUsedBy(files, { image, problem: problem === undefined ? why : `${problem}; ${why}` })
    return sync(machine)
  }
  // From here on it counts (tidy).
  writeUsedBy(files, { image, restorePoint: id, ...(problem === undefined ? {} : { problem }) })
  await sync(machine)
  files.rename(newPointFolder(id), pointFolder(id))
}

/** @throws Error that says why not */
async function copy(machine: Machine, to: string, was: string): Promise<void> {
  const { files } = machine
  const paths = statePaths(files, dataFolder)
  const needed = await measure(
    machine,
    paths.map((path) => join(dataFolder, path)),
  )
  const space = files.space(dataFolder)
  // Root may write to what is reserved for Loki, too: a rest stays free for all.
  const rest = Math.min((space.blocks * space.bsize) / 20, 1024 ** 3)
  if (space.bavail * space.bsize - needed.bytes < rest) throw new Error(`the data disk has no room for ${inMib(needed.bytes)} MiB`)
  if (space.files > 0 && space.ffree - needed.files < space.files / 20)
    throw new Error(`the data disk has no room for ${needed.files} files`)
  files.mkdir(to, 0o700)
  const until = machine.uptime() + copyMs
  for (const above of new Set(paths.map((path) => dirname(path)))) {
    files.mkdir(join(to, above), 0o700)
    for (const few of batches(paths.filter((path) => dirname(path) === above))) {
      const timeoutMs = Math.max(1, Math.round(until - machine.uptime()))
      // Links are copied, not followed; so are owners, who own it again when it is put back.
      const words = ['-a', '--reflink=auto', '-t', join(to, above), '--', ...few.map((path) => join(dataFolder, path))]
      const { status, stderr } = await machine.run('cp', words, { timeoutMs })
      if (status === 0) continue
      machine.complain(stderr)
      throw new Error(status === null ? `copying takes longer than ${copyMs / 1000} s` : `cp ended with ${status}`)
    }
  }
  const { bytes } = await measure(machine, [to])
  writeAbout(files, to, { made: new Date(machine.now()).toISOString(), image: was, bytes })
  await sync(machine)
}

const inMib = (bytes: number): number => Math.ceil(bytes / 1024 ** 2)

if (import.meta.main) process.exitCode = await restorePoint(thisMachine)
