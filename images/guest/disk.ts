/** The data disk: what is on it, whether it is mounted, and the one way to make a file system on it. */
import { basename } from 'node:path'
import type { Status } from '../contract/status.ts'
import type { Files, Machine } from './machine.ts'
import { dataDevice, dataFolder, dataLabel } from './places.ts'

export type DataDisk = Status['dataDisk']

/**
 * What `blkid -p` says about a disk. It exits with 2 when it finds nothing that it knows (man blkid, EXIT STATUS);
 * everything that is neither nothing nor our own file system is somebody else's data.
 */
export function classify(exitCode: number | null, output: string): 'blank' | 'foreign' | 'ready' {
  if (exitCode === 2 && output.trim() === '') return 'blank'
  const facts = new Map(output.split('\n').map((line) => line.split('=', 2) as [string, string]))
  return exitCode === 0 && facts.get('TYPE') === 'ext4' && facts.get('LABEL') === dataLabel ? 'ready' : 'foreign'
}

export function isMounted(files: Files): boolean {
  return files
    .read('/proc/self/mountinfo')
    .split('\n')
    .some((line) => line.split(' ')[4] === dataFolder)
}

/**
 * Whether the kernel still writes to the disk. It does as long as any mount shows a part of it: a container that did
 * not stop has one of its own, which no list of ours has. Each ext4 in use has a folder in sysfs.
 */
export const isHeld = (files: Files): boolean =>
  isMounted(files) || (files.exists(dataDevice) && files.exists(`/sys/fs/ext4/${basename(files.real(dataDevice))}`))

export async function dataDisk({ files, run }: Machine): Promise<DataDisk> {
  if (!files.exists(dataDevice)) return 'absent'
  if (isMounted(files)) return 'mounted'
  const probed = await run('blkid', ['-p', '-o', 'export', dataDevice])
  return classify(probed.status, probed.stdout)
}

/**
 * Makes the file system. Refuses a disk with any signature: whether the disk is new is known by whoever made it, and
 * even then a signature means that it is not. Returns the refusal, or undefined when it is done.
 */
export async function format(machine: Machine): Promise<{ code: string; message: string } | undefined> {
  const state = await dataDisk(machine)
  if (state === 'absent') return { code: 'disk-absent', message: `there is no disk with the serial golden-data (${dataDevice})` }
  if (state !== 'blank')
    return { code: 'disk-not-blank', message: `the data disk is ${state}: only a disk without any signature is formatted` }
  const made = await machine.run('mkfs.ext4', ['-q', '-L', dataLabel, '-m', '1', dataDevice])
  if (made.status !== 0) return { code: 'format-failed', message: `mkfs.ext4: ${made.stderr.trim() || made.error}` }
  await machine.run('udevadm', ['settle', '--timeout=30'])
  return undefined
}
