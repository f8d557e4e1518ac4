/**
 * One verb of images/guest/handover-address.ts on the real kernel, as a process of its own that can be killed. What is
 * below /run/golden is in a folder. To be started in the network namespace of a slot:
 *
 *     node handover-program.ts FOLDER ROOT begin|leave|take|settle|connections|watch [OPTIONS AS JSON]
 *
 * ROOT is a Debian root with what the host may lack. Prints what the verb returns. `watch` does golden-watch's part in it,
 * round after round, and never returns: `disk` in the folder is the data disk, mounted, with all that runs on it; what the
 * peer says is read from its folder, which stands in for nginx and TLS.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Seed } from '../../images/contract/seed.ts'
import { connections, leave, settle, take } from '../../images/guest/handover-address.ts'
import { beginHandover } from '../../images/guest/handover.ts'
import { thisMachine, type Files, type Machine } from '../../images/guest/machine.ts'
import type { OwnerReport } from '../../images/guest/peer.ts'
import { dataFolder } from '../../images/guest/places.ts'
import { newSuccession, succeed } from '../../images/guest/succeed.ts'

export interface HandoverOptions {
  /** It kills itself before this many changes are made. */
  readonly killAt?: number
  /** How far its clock is ahead. */
  readonly aheadMs?: number
  readonly limitMs?: number
  readonly peer?: OwnerReport
  /** For `watch`. */
  readonly peerFolder?: string
}

if (import.meta.main) {
  const [folder = '', root = '', verb = '', json = '{}'] = process.argv.slice(2)
  const { killAt = Number.POSITIVE_INFINITY, aheadMs = 0, peerFolder = '', ...settling } = JSON.parse(json) as HandoverOptions
  let changes = 0
  const change = (): void => {
    if (changes++ >= killAt) process.kill(process.pid, 'SIGKILL')
  }
  const here = (path: string): string => path.replace(/^\/run\/golden\//, `${folder}/`)
  const files: Files = {
    ...thisMachine.files,
    exists: (path) => thisMachine.files.exists(here(path)),
    read: (path) =>
      path === '/proc/self/mountinfo'
        ? thisMachine.files.exists(join(folder, 'disk'))
          ? `1 1 8:16 / ${dataFolder} rw - ext4 /dev/sdb rw\n`
          : ''
        : thisMachine.files.read(here(path)),
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
    lock: (path, options) => thisMachine.lock(here(path), options),
    ask: async () => ({ status: 200, headers: {}, body: readFileSync(join(peerFolder, 'nginx/owner.json'), 'utf8') }),
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
    async watch() {
      const memory = newSuccession()
      for (;;) {
        await succeed(machine, seed, thisMachine.files.exists(join(folder, 'disk')), memory, async () => {})
        await machine.pause(100)
      }
    },
  }
  console.log(JSON.stringify((await verbs[verb]?.()) ?? null))
}
