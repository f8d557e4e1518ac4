/** Disk images through qemu-img(1). */
import { rename, rm, stat } from 'node:fs/promises'
import { dirname, relative, resolve } from 'node:path'
import { run } from '../../network/command.ts'
import type { CopyOptions, DiskFormat, VolumeInfo, VolumeStore } from '../driver.ts'

interface ImageInfo {
  readonly format: DiskFormat
  readonly 'virtual-size': number
  readonly 'actual-size': number
  readonly 'backing-filename'?: string
  readonly 'full-backing-filename'?: string
}

/** `--force-share`: also while a machine has the image open for writing. */
async function imageInfo(path: string): Promise<ImageInfo> {
  return JSON.parse(await run(['qemu-img', 'info', '--force-share', '--output=json', path])) as ImageInfo
}

async function refuseExisting(path: string): Promise<void> {
  if (
    await stat(path).then(
      () => true,
      () => false,
    )
  )
    throw new Error(`'${path}' already exists`)
}

/** Calls `make`, and takes the target away again when it fails. The target must not exist before. */
async function whole(target: string, make: () => Promise<unknown>): Promise<void> {
  await refuseExisting(target)
  try {
    await make()
  } catch (error) {
    await rm(target, { force: true })
    throw error
  }
}

export function createVolumeStore(): VolumeStore {
  return {
    create: async (path, { format, bytes }) =>
      await whole(path, () => run(['qemu-img', 'create', '-q', '-f', format, path, String(bytes)])),

    info: async (path) => {
      const info = await imageInfo(path)
      const backing = info['backing-filename']
      return {
        format: info.format,
        virtualBytes: info['virtual-size'],
        allocatedBytes: info['actual-size'],
        ...(backing === undefined ? {} : { backing: resolve(dirname(path), backing) }),
      } satisfies VolumeInfo
    },

    copy: async (source, target, options: CopyOptions) => {
      await whole(target, () =>
        run(['qemu-img', 'convert', '-p', '-O', options.format, source, target], {
          ...(options.signal ? { signal: options.signal } : {}),
          // "    (42.00/100%)", each after a carriage return
          onOutput: (chunk) => {
            const last = [...chunk.matchAll(/\((\d+\.\d+)\/100%\)/g)].at(-1)
            if (last) options.onProgress?.(Number(last[1]) / 100)
          },
        }),
      )
    },

    link: async (base, target) => {
      const { format } = await imageInfo(base)
      const backing = relative(dirname(target), base)
      await whole(target, () => run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', format, '-b', backing, target]))
    },

    resize: async (path, bytes) => {
      const info = await imageInfo(path)
      if (bytes < info['virtual-size'])
        throw new Error(`shrinking '${path}' from ${info['virtual-size']} to ${bytes} bytes is not possible`)
      await run(['qemu-img', 'resize', '-q', '-f', info.format, path, String(bytes)])
    },

    rename: async (from, to, dependents = []) => {
      await refuseExisting(to)
      // An image that is moved to another folder must still find its own base.
      const info = await imageInfo(from)
      await rename(from, to)
      const own = info['backing-filename']
      if (own !== undefined && dirname(from) !== dirname(to)) {
        const base = resolve(dirname(from), own)
        await rebase(to, base)
      }
      for (const dependent of dependents) await rebase(dependent, to)
    },

    remove: async (path) => await rm(path),
  }
}

/** Points a linked image to where its base is now, without touching any data. */
async function rebase(path: string, base: string): Promise<void> {
  const { format } = await imageInfo(base)
  await run(['qemu-img', 'rebase', '-q', '-u', '-f', 'qcow2', '-F', format, '-b', relative(dirname(path), base), path])
}
