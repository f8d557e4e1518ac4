/**
 * One verb of images/guest/handover-address.ts on the real kernel, as a process of its own that can be killed. What is
 * below /run/golden is in a folder. To be started in the network namespace of a slot:
 *
 *     node handover-program.ts FOLDER ROOT begin|leave|take|settle|connections [OPTIONS AS JSON]
 *
 * ROOT is a Debian root with what the host may lack. Prints what the verb returns.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Seed } from '../../images/contract/seed.ts'
import { connections, leave, settle, take } from '../../images/guest/handover-address.ts'
import { beginHandover } from '../../images/guest/handover.ts'
import { thisMachine, type Files, type Machine } from '../../images/guest/machine.ts'
import type { OwnerReport } from '../../images/guest/peer.ts'

export interface HandoverOptions {
  /** It kills itself before this many changes are made. */
  readonly killAt?: number
  /** How far its clock is ahead. */
  readonly aheadMs?: number
  readonly limitMs?: number
  readonly peer?: OwnerReport
}

if (import.meta.main) {
  const [folder = '', root = '', verb = '', json = '{}'] = process.argv.slice(2)
  const { killAt = Number.POSITIVE_INFINITY, aheadMs = 0, ...settling } = JSON.parse(json) as HandoverOptions
  let changes = 0
  const change = (): void => {
    if (changes++ >= killAt) process.kill(process.pid, 'SIGKILL')
  }
  const here = (path: string): string => path.replace(/^\/run\/golden\//, `${folder}/`)
  const files: Files = {
    ...thisMachine.files,
    exists: (path) => thisMachine.files.exists(here(path)),
    read: (path) => thisMachine.files.read(here(path)),
    write(path, content, mode) {
      change()
      thisMachine.files.write(here(path), content, mode)
    },
    rename(from, to) {
      change()
      thisMachine.files.rename(here(from), here(to))
    },
    remove(path) {
      change()
      thisMachine.files.remove(here(path))
    },
  }
  const machine: Machine = {
    ...thisMachine,
    files,
    now: () => Date.now() + aheadMs,
    run(program, args) {
      change()
      const words = [program, ...args].map(here)
      return program === 'arping' ? thisMachine.run('chroot', [root, ...words]) : thisMachine.run(program, words.slice(1))
    },
  }
  const seed = JSON.parse(readFileSync(join(folder, 'seed.json'), 'utf8')) as Seed
  const verbs: Readonly<Record<string, () => Promise<unknown>>> = {
    begin: () => beginHandover(machine),
    leave: () => leave(machine, seed),
    take: () => take(machine, seed),
    settle: () => settle(machine, seed, settling),
    connections: () => connections(machine, seed),
  }
  console.log(JSON.stringify((await verbs[verb]?.()) ?? null))
}
