/** Where in a disk image the root file system is. */
import { run } from '../core/child.ts'
import { childEnvironment } from '../core/environment.ts'

/** The largest partition. @param raw the image's file. @returns in bytes */
export async function rootPartition(raw: string): Promise<{ start: number; size: number }> {
  const { partitiontable } = JSON.parse((await run('sfdisk', ['--json', raw], { env: childEnvironment(process.env) })).stdout) as {
    partitiontable: { partitions: { start: number; size: number }[] }
  }
  const root = partitiontable.partitions.sort((one, other) => other.size - one.size)[0]
  if (root === undefined) throw new Error(`${raw} has no partition`)
  return { start: root.start * 512, size: root.size * 512 }
}
