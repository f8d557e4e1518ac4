/** The data disk: what is on it, whether it is mounted, and the one way to make a file system on it. */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dataDevice, dataFolder, dataLabel, workspacesFolder } from './places.ts'

export type DataDisk = 'absent' | 'blank' | 'foreign' | 'ready' | 'mounted'

/**
 * What `blkid -p` says about a disk. It exits with 2 when it finds nothing that it knows (man blkid, EXIT STATUS);
 * everything that is neither nothing nor our own file system is somebody else's data.
 */
export function classify(exitCode: number | null, output: string): 'blank' | 'foreign' | 'ready' {
  if (exitCode === 2 && output.trim() === '') return 'blank'
  const facts = new Map(output.split('\n').map(line => line.split('=', 2) as [string, string]))
  return exitCode === 0 && facts.get('TYPE') === 'ext4' && facts.get('LABEL') === dataLabel ? 'ready' : 'foreign'
}

const mountPoints = (): (string | undefined)[] => readFileSync('/proc/self/mountinfo', 'utf8').split('\n').map(line => line.split(' ')[4])

export const isMounted = (): boolean => mountPoints().includes(dataFolder)

/** The disk may be taken away only when nothing shows any part of it. */
export const isHeld = (): boolean => mountPoints().some(path => path === dataFolder || path === workspacesFolder)

export function dataDisk(): DataDisk {
  if (!existsSync(dataDevice)) return 'absent'
  if (isMounted()) return 'mounted'
  const probed = spawnSync('blkid', ['-p', '-o', 'export', dataDevice], { encoding: 'utf8' })
  return classify(probed.status, probed.stdout)
}

/**
 * Makes the file system. Refuses a disk with any signature: whether the disk is new is known by whoever made it, and
 * even then a signature means that it is not. Returns the refusal, or undefined when it is done.
 */
export function format(): { code: string; message: string } | undefined {
  const state = dataDisk()
  if (state === 'absent') return { code: 'disk-absent', message: `there is no disk with the serial golden-data (${dataDevice})` }
  if (state !== 'blank') return { code: 'disk-not-blank', message: `the data disk is ${state}: only a disk without any signature is formatted` }
  const made = spawnSync('mkfs.ext4', ['-q', '-L', dataLabel, '-m', '1', dataDevice], { encoding: 'utf8' })
  if (made.status !== 0) return { code: 'format-failed', message: `mkfs.ext4: ${made.stderr.trim() || made.error?.message}` }
  spawnSync('udevadm', ['settle', '--timeout=30'])
  return undefined
}
