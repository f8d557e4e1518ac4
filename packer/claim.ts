/** One bake at a time in a site folder, and a note of what a killed one was at. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, join } from 'node:path'
import { Failure } from '../proxmox/failure.ts'

interface Note {
  readonly pid: number
  readonly host: string
  /** VMIDs that the run was going to make. */
  readonly vmids: readonly number[]
  /** The run's temporary folder, with the key of its build VM. */
  readonly work: string
}

export interface Claim {
  /** VMIDs of a run that did not end by itself: what is there now is certainly nobody's. */
  readonly abandoned: readonly number[]
  note(vmids: readonly number[]): Promise<void>
  /** What this run has made could not be removed: its note stays for the next run. */
  abandon(): void
  release(): Promise<void>
}

/**
 * @param work this run's temporary folder; that of a killed run is removed
 * @throws Failure `bake-in-progress`
 */
export async function claimBake(folder: string, work: string): Promise<Claim> {
  const file = join(folder, 'state', 'bake.json')
  const before = await readNote(file)
  if (before !== undefined && before.host === hostname() && before.pid !== process.pid && isAlive(before.pid)) {
    throw new Failure('bake-in-progress', `a bake of this site is already running (process ${before.pid})`, 'Wait for it to end, or stop it with Ctrl-C there.')
  }
  await mkdir(join(folder, 'state'), { recursive: true, mode: 0o700 })
  const write = async (vmids: readonly number[]): Promise<void> => {
    const note: Note = { pid: process.pid, host: hostname(), vmids, work }
    await writeFile(file, `${JSON.stringify(note)}\n`, { mode: 0o600 })
  }
  const abandoned = before?.vmids ?? []
  if (before !== undefined && before.host === hostname() && before.work !== work && basename(before.work).startsWith('golden-bake-')) await rm(before.work, { recursive: true, force: true })
  await write(abandoned)
  let kept = false
  return {
    abandoned,
    note: (vmids) => write(vmids),
    abandon: () => { kept = true },
    release: async () => { if (!kept) await rm(file, { force: true }) }
  }
}

async function readNote(file: string): Promise<Note | undefined> {
  try {
    const note = JSON.parse(await readFile(file, 'utf8')) as Partial<Note>
    return typeof note.pid === 'number' && typeof note.host === 'string' && typeof note.work === 'string' && Array.isArray(note.vmids) ? (note as Note) : undefined
  } catch {
    // Not there, or cut short by whatever killed the run.
    return undefined
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
