/** Which process it was, so that one that is gone is known as such although its number was given to another. */
import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'

export interface ProcessIdentity {
  readonly pid: number
  readonly host: string
  /** When the process began, as its computer counts it: a PID alone may be another process's by now. Empty: unknown. */
  readonly started: string
}

/** What tells a process of this computer from all others. */
export async function identityOf(pid: number): Promise<ProcessIdentity> {
  return { pid, host: hostname(), started: await startOf(pid) }
}

/** One on another computer counts as running: nobody here can know. */
export async function isRunning({ pid, host, started }: ProcessIdentity): Promise<boolean> {
  if (host !== hostname()) return true
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  const now = await startOf(pid)
  return now !== ended && (started === '' || now === '' || started === now)
}

/** Of this computer, where only the number is known: it may be another process's by now. */
export const isTaken = (pid: number): Promise<boolean> => isRunning({ pid, host: hostname(), started: '' })

const ended = 'ended'

/**
 * Boot and ticks since then at which a process began (proc_pid_stat(5), field 22); empty where there is no /proc.
 * `ended` for one that only waits for its parent to take note.
 */
async function startOf(pid: number): Promise<string> {
  try {
    const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    // The name, in parentheses, may hold spaces and parentheses; the state, field 3, follows it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' || fields[0] === 'X' ? ended : `${boot} ${fields[19] ?? ''}`
  } catch {
    return ''
  }
}
