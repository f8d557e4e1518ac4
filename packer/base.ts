/** The base template: the distribution's cloud image, imported through the API; nothing is installed in it. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { baseOf } from '../images/base-image.ts'
import { baseTag } from '../images/channels.ts'
import { finished, renderRecord, type BaseRecord } from '../images/record.ts'
import { ProxmoxError, type Proxmox } from '../proxmox/client.ts'
import { isWrongChecksum } from '../proxmox/conditions.ts'
import { Failure, isLost } from '../core/failure.ts'
import { storageAt } from '../proxmox/storage.ts'
import { concerns, settleTasks, type Upid } from '../proxmox/tasks.ts'
import { createVm, vmAt, type VmConfig } from '../proxmox/vm.ts'
import type { Site } from '../settings/site.ts'
import { baseDisk, baseVm } from './base-vm.ts'
import { deleteFile, destroyVm, listFiles, readConfig } from './host.ts'
import { importName } from './names.ts'
import { isOf } from './plan.ts'

export interface BaseOptions {
  readonly proxmox: Proxmox
  readonly site: Site
  readonly folder: string
  readonly vmid: number
  readonly name: string
  readonly fingerprint: string
  /** Of this bake (names.ts). */
  readonly run: string
  /** ISO 8601. */
  readonly now: string
  readonly signal: AbortSignal
  readonly note: (text: string) => void
  /** Removes something that this run has made. Never rejects: what went wrong before matters more. */
  readonly takeAway: (what: string, remove: () => Promise<void>) => Promise<unknown>
}

/**
 * Makes the base template under a VMID that is free. What is half made when it fails is removed.
 * @throws Failure `base-missing`, `base-checksum`, `base-larger-than-disk`, or Proxmox's
 */
export async function makeBase(options: BaseOptions): Promise<void> {
  const { proxmox, site, vmid, name, run, signal, note, takeAway } = options
  const { node, storage } = site.proxmox
  const { os, sha256 } = baseOf(site)
  const file = importName(site, run)
  const vm = vmAt(proxmox, node, vmid)
  const record: BaseRecord = {
    schema: 1,
    kind: 'base',
    site: site.name,
    fingerprint: options.fingerprint,
    base: { os, sha256 },
    built: options.now,
    unfinished: true,
    run,
  }
  let asked = false
  const isOurs = isOf(site, { vmid, node, run })
  try {
    await fetchImage(options, file)
    signal.throwIfAborted()
    note('making the VM')
    await carryOut(options, {
      // Without tags: under a pool's permissions PVE takes them only afterwards.
      ask: () =>
        createVm(proxmox, node, {
          ...baseVm,
          vmid,
          name,
          pool: site.proxmox.pool,
          description: renderRecord(record),
          scsi0: `${storage.disks}:0,import-from=${storage.iso}:import/${file},${baseDisk}`,
        }).then(
          (upid) => {
            asked = true
            return upid
          },
          (error: unknown) => {
            // Refused: whatever has this VMID is not ours. Without an answer it may be.
            asked ||= !(error instanceof ProxmoxError) || error.lost
            throw error
          },
        ),
      isDone: (config) => isOurs(config) && config.lock === undefined && config.scsi0 !== undefined,
      signal,
    })
    // From here on little is left to do, and a base that is finished is kept: an abort comes into effect afterwards.
    const config = await vm.config()
    const has = gibibytes(config)
    const wanted = site.image.build.diskGiB
    if (has > wanted)
      throw new Failure(
        'base-larger-than-disk',
        `the base image has a disk of ${has} GiB, image.build.diskGiB is ${wanted}`,
        `Set image.build.diskGiB in site.ts to ${Math.ceil(has)} or more.`,
      )
    if (has < wanted) await carryOut(options, { ask: () => vm.resize('scsi0', `${wanted}G`), isDone: (seen) => gibibytes(seen) >= wanted })
    // Proxmox calls the VM a template before it makes a base volume of its disk.
    await carryOut(options, {
      ask: () => vm.template(),
      isDone: (seen) => Number(seen.template) === 1 && /[:/]base-\d+-/.test(String(seen.scsi0)),
    })
    await vm.change({ tags: baseTag, description: renderRecord(finished(record)) }, { repeatable: true })
  } catch (error) {
    if (asked) await takeAway(`VM ${vmid} (${name})`, () => destroyVm(proxmox, node, vmid, isOurs))
    throw error
  } finally {
    await takeAway(`the file ${file} on storage ${storage.iso}`, () => deleteFile(proxmox, site, 'import', file))
  }
}

interface Step {
  /** @returns its task, if it has one */
  readonly ask: () => Promise<Upid | null>
  readonly isDone: (config: VmConfig) => boolean
  /** Stops its task. */
  readonly signal?: AbortSignal
}

const stepTries = 3
const stepTimeoutMs = 1_800_000

/** Carries out a step. Where its answer is lost the VM tells whether it was done; it is asked for again only if not. */
async function carryOut({ proxmox, site, vmid }: BaseOptions, { ask, isDone, signal }: Step): Promise<void> {
  const { node } = site.proxmox
  for (let tries = 1; ; tries++) {
    try {
      const upid = await ask()
      if (upid) await proxmox.task(upid, { timeoutMs: stepTimeoutMs, ...(signal === undefined ? {} : { signal, stop: true }) })
      return
    } catch (error) {
      // Refused after that, it may be because the first request has arrived after all.
      if (!(isLost(error) || tries > 1) || signal?.aborted) throw error
      await settleTasks(proxmox, node, concerns([vmid]), signal, { timeoutMs: stepTimeoutMs })
      const config = await readConfig(proxmox, node, vmid)
      if (config !== undefined && isDone(config)) return
      if (!isLost(error) || tries === stepTries) throw error
    }
  }
}

/** Brings the image onto the ISO storage, checked against the site's SHA-256. */
async function fetchImage(options: BaseOptions, file: string): Promise<void> {
  const { proxmox, site, folder, signal, note } = options
  const { node, storage } = site.proxmox
  const { url, file: local, sha256 } = baseOf(site)
  if (url !== undefined) {
    note(`Proxmox downloads ${basename(new URL(url).pathname)}`)
    const upid = await storageAt(proxmox, node, storage.iso)
      .download({ url, filename: file, sha256 })
      .catch(async (error: unknown) => {
        if (!isLost(error)) throw error
        await settleTasks(proxmox, node, ({ type }) => type === 'download', signal, { timeoutMs: 3_600_000 })
        // It is there once it is whole, and has its checksum.
        if (!(await listFiles(proxmox, site, 'import')).includes(file)) throw error
        return undefined
      })
    if (upid === undefined) return
    try {
      await proxmox.task(upid, {
        signal,
        stop: true,
        timeoutMs: 3_600_000,
        onLog: (line) => {
          if (/\d+%/.test(line)) note(line.trim())
        },
      })
    } catch (error) {
      if (isWrongChecksum(error)) throw wrongChecksum(url, error)
      throw error
    }
    return
  }
  const path = resolve(folder, local ?? '')
  try {
    await stat(path)
  } catch (cause) {
    throw new Failure('base-missing', `the base image ${path} can't be read`, 'Correct image.base.file in site.ts.', { cause })
  }
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash, { signal })
  if (hash.digest('hex') !== sha256) throw wrongChecksum(path)
  await proxmox.upload({
    node,
    storage: storage.iso,
    content: 'import',
    filename: file,
    data: path,
    signal,
    onProgress: (fraction) => note(`uploading the base image: ${Math.floor(fraction * 100)} %`),
  })
}

function wrongChecksum(what: string, cause?: unknown): Failure {
  return new Failure(
    'base-checksum',
    `${what} does not have the SHA-256 that is pinned for it`,
    'Somebody may have changed the file. If the distribution has published a newer image there, take that: "npx golden lock --base" finds its checksum, or put it in image.base of site.ts.',
    { cause },
  )
}

/** Size of the root disk in GiB: `local-lvm:vm-100-disk-0,size=3G`. */
function gibibytes(config: VmConfig): number {
  const [, number = '0', unit = 'G'] = /\bsize=([0-9.]+)([KMGT]?)\b/.exec(String(config.scsi0 ?? '')) ?? []
  return Number(number) * ({ K: 1 / 1024 / 1024, M: 1 / 1024, G: 1, T: 1024 }[unit] ?? 1 / 1024 ** 3)
}
