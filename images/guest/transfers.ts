/** What people transfer over SSH right now: git push, rsync, SFTP (golden-projects-shell). */
import type { Machine } from './machine.ts'

/** A file manager keeps a connection for hours, and a session may wait at its prompt: so long without a byte is no transfer. */
const idleMs = 5000

/** Programs that may do nothing, by the first word of their command line. What else there is works, or it would not be there. */
const mayRest = /^(?:sshd(?:-session)?:|(?:\S*\/)?(?:sh|dash|bash|sftp-server)(?: |$))/

/**
 * @returns a look, to be repeated: how many of the people's sessions are in a transfer. Whoever is just logging in counts as
 * one: nobody can tell yet whose it is
 */
export function transfers(machine: Machine): () => Promise<number> {
  let moved = ''
  let since = -Infinity
  return async () => {
    const { stdout } = await machine.run('pgrep', ['-a', '-u', 'projects'])
    const processes = stdout.split('\n').filter((line) => line !== '')
    if (processes.length === 0) return (await isSomebodyLoggingIn(machine)) ? 1 : 0
    const now = machine.uptime()
    const counts = processes.map((line) => countOf(machine, line)).join()
    if (counts !== moved) since = now
    moved = counts
    const works = processes.some((line) => !mayRest.test(line.slice(line.indexOf(' ') + 1)))
    if (!works && now - since >= idleMs) return (await isSomebodyLoggingIn(machine)) ? 1 : 0
    return Math.max(1, processes.filter((line) => /^\d+ sshd/.test(line)).length)
  }
}

/** What a process has read and written so far, of files and of its connection. */
function countOf({ files }: Machine, line: string): string {
  const pid = Number.parseInt(line, 10)
  try {
    return `${pid} ${files.read(`/proc/${pid}/io`).split('\n', 2).join()}`
  } catch {
    return `${pid} gone`
  }
}

/** sshd says in its own name how many have not shown yet who they are. */
const isSomebodyLoggingIn = async (machine: Machine): Promise<boolean> =>
  (await machine.run('pgrep', ['-f', String.raw`^sshd: .*\[listener\] [1-9][0-9]* of `])).status === 0
