/** The file tree of a disk image, read as a guest's kernel would read it. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { command, confined } from '../../lab/debian/command.ts'
import { rootPartition } from '../root-partition.ts'
import type { Entry, Tree } from './entry.ts'

/**
 * Needs root: it is mounted, read only and without its journal, where nobody else sees it; the mount goes with the process.
 * @param scratch a folder with room for what is on the disk
 */
export async function readTree(image: string, scratch: string, signal: AbortSignal): Promise<Tree> {
  const folder = await mkdtemp(join(scratch, 'tree-'))
  try {
    const raw = join(folder, 'disk.raw')
    await command(['qemu-img', 'convert', '-U', '-O', 'raw', image, raw], { signal })
    const { start, size } = await rootPartition(raw)
    const mounted = join(folder, 'root')
    await mkdir(mounted)
    const mount = 'mount -o "ro,noload,loop,offset=$1,sizelimit=$2" "$3" "$4" && exec "$5" "$6" "$4"'
    const words = [String(start), String(size), raw, mounted, process.execPath, join(import.meta.dirname, 'walk.ts')]
    const { stdout } = await command([...confined, 'sh', '-c', mount, 'sh', ...words], { signal })
    return new Map(
      stdout
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as [string, Entry]),
    )
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
