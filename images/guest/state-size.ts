/** How much of the data disk something takes, and that what was written to it stays. */
import type { Machine } from './machine.ts'
import { restorePointsFolder } from './places.ts'

export interface Size {
  readonly bytes: number
  readonly files: number
}

/** As many names as surely go into one command line: a service may have given its files long ones. */
const batch = 200

const timeoutMs = 60_000

export function batches<T>(list: readonly T[]): T[][] {
  const found: T[][] = []
  for (let at = 0; at < list.length; at += batch) found.push(list.slice(at, at + batch))
  return found
}

/** @throws Error when du does; what it can't tell is not guessed */
export async function measure(machine: Machine, paths: readonly string[]): Promise<Size> {
  const sum = async (unit: string): Promise<number> => {
    let total = 0
    for (const some of batches(paths)) {
      // Ended by NUL: names are the services' own, and may have anything else in them.
      const { status, stdout } = await machine.run('du', ['-s', '-0', unit, '--', ...some], { timeoutMs })
      if (status !== 0) throw new Error(status === null ? 'its size is not known within a minute' : `du ended with ${status}`)
      for (const line of stdout.split('\0')) total += Number(line.split('\t')[0] ?? 0)
    }
    return total
  }
  return { bytes: await sum('--block-size=1'), files: await sum('--inodes') }
}

/** Until the data disk has what was written to it. */
export const sync = async (machine: Machine): Promise<void> => void (await machine.run('sync', ['-f', restorePointsFolder]))
