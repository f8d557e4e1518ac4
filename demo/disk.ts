/** Looks at a template's disk without starting or mounting it. */
import { createReadStream } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { run } from '../core/child.ts'
import { childEnvironment } from '../core/environment.ts'
import { rootPartition } from './root-partition.ts'
import { occurring } from './search.ts'

export interface Disk {
  /** Which of these texts occur anywhere on it, in one of the forms of search.ts, in free blocks too. */
  search(texts: readonly string[]): Promise<Set<string>>
  /** Puts a file into its root file system. The image itself is not written to. */
  plant(path: string, content: string): Promise<void>
  /** The content of a file of its root file system; undefined if it is not there. */
  file(path: string): Promise<string | undefined>
  /** Names in a folder of its root file system, `.` and `..` left out; none if it is not there. */
  folder(path: string): Promise<string[]>
}

/**
 * Opens a disk image as a guest would see it, backing files included.
 * @param scratch a folder with room for a sparse copy
 * @param signal ends a search, which takes a minute
 */
export async function withDisk<T>(image: string, scratch: string, work: (disk: Disk) => Promise<T>, signal?: AbortSignal): Promise<T> {
  const folder = await mkdtemp(join(scratch, 'disk-'))
  const options = { env: childEnvironment(process.env), maxBytes: 64 << 20 }
  try {
    const raw = join(folder, 'disk.raw')
    await run('qemu-img', ['convert', '-U', '-f', image.endsWith('.raw') ? 'raw' : 'qcow2', '-O', 'raw', image, raw], options)
    // debugfs reads ext4 without mounting it, so nothing of it touches this computer.
    const at = `${raw}?offset=${(await rootPartition(raw)).start}`
    const debugfs = async (request: string): Promise<string> => (await run('debugfs', ['-R', request, at], options)).stdout
    const exists = async (path: string): Promise<boolean> => (await debugfs(`stat ${path}`)).includes('Inode:')
    return await work({
      search: (texts) => occurring(createReadStream(raw, { highWaterMark: 4 << 20, ...(signal === undefined ? {} : { signal }) }), texts),
      async plant(path, content) {
        const [file, commands] = [join(folder, 'planted'), join(folder, 'commands')]
        await writeFile(file, content, { mode: 0o600 })
        await writeFile(commands, `cd ${dirname(path)}\nwrite ${file} ${basename(path)}\n`)
        // It exits with 0 whatever happens; whoever plants something looks for it.
        await run('debugfs', ['-w', '-f', commands, at], options)
      },
      file: async (path) => ((await exists(path)) ? debugfs(`cat ${path}`) : undefined),
      folder: async (path) =>
        (await exists(path))
          ? (await debugfs(`ls -p ${path}`))
              .split('\n')
              .flatMap((line) => line.split('/')[5] ?? [])
              .filter((name) => name !== '.' && name !== '..' && name !== '')
          : [],
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
