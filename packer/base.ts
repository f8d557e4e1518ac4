/** The base template: the distribution's cloud image, imported through the API; nothing is installed in it. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { baseTag } from '../images/channels.ts'
import { renderRecord, type BaseRecord } from '../images/record.ts'
import type { Proxmox } from '../proxmox/client.ts'
import { Failure } from '../proxmox/failure.ts'
import type { Site } from '../stacks/site.ts'
import { deleteFile, destroyVm, listFiles } from './host.ts'
import { explainStorage } from './explain.ts'
import { importName } from './names.ts'

export interface BaseOptions {
  readonly proxmox: Proxmox
  readonly site: Site
  readonly folder: string
  readonly vmid: number
  readonly name: string
  readonly fingerprint: string
  /** ISO 8601. */
  readonly now: string
  readonly signal: AbortSignal
  readonly note: (text: string) => void
}

/**
 * Makes the base template under a VMID that is free. What is half made when it fails is removed.
 * @throws Failure `base-missing`, `base-checksum`, `base-larger-than-disk`, `storage-missing`, `storage-full`, or Proxmox's
 */
export async function makeBase(options: BaseOptions): Promise<void> {
  const { proxmox, site, vmid, name, signal, note } = options
  const { node, storage } = site.proxmox
  const file = importName(site, options.fingerprint)
  const vm = `/nodes/${node}/qemu`
  const record: BaseRecord = {
    schema: 1, kind: 'base', site: site.name, fingerprint: options.fingerprint,
    base: { os: site.image.base.os, sha256: site.image.base.sha256 }, built: options.now
  }
  let created = false
  try {
    await fetchImage(options, file)
    note('making the VM')
    created = true
    // Without tags: under a pool's permissions PVE takes them only afterwards.
    await proxmox.task(await proxmox.post<string>(vm, {
      vmid, name, pool: site.proxmox.pool,
      description: renderRecord({ ...record, unfinished: true }),
      ostype: 'l26', cpu: 'x86-64-v2-AES', cores: 1, memory: 1024, onboot: 0, agent: 1,
      scsihw: 'virtio-scsi-pci',
      scsi0: `${storage.disks}:0,import-from=${storage.iso}:import/${file},discard=on`,
      boot: 'order=scsi0', serial0: 'socket'
    }), { signal, timeoutMs: 1_800_000 })
    const config = await proxmox.get<{ scsi0?: string }>(`${vm}/${vmid}/config`)
    const has = gibibytes(config.scsi0 ?? '')
    const wanted = site.image.build.diskGiB
    if (has > wanted) throw new Failure('base-larger-than-disk', `the base image has a disk of ${has} GiB, image.build.diskGiB is ${wanted}`, `Set image.build.diskGiB in site.ts to ${Math.ceil(has)} or more.`)
    if (has < wanted) {
      const upid = await proxmox.put<string | null>(`${vm}/${vmid}/resize`, { disk: 'scsi0', size: `${wanted}G` })
      if (upid) await proxmox.task(upid, { signal })
    }
    await proxmox.task(await proxmox.post<string>(`${vm}/${vmid}/template`), { signal, timeoutMs: 1_800_000 })
    await proxmox.put(`${vm}/${vmid}/config`, { tags: baseTag, description: renderRecord(record) })
  } catch (error) {
    if (created) await destroyVm(proxmox, node, vmid, name)
    throw explainStorage(site, error)
  } finally {
    await deleteFile(proxmox, site, 'import', file)
  }
}

/** Brings the image onto the ISO storage, checked against the site's SHA-256. */
async function fetchImage(options: BaseOptions, file: string): Promise<void> {
  const { proxmox, site, folder, signal, note } = options
  const { node, storage } = site.proxmox
  const { url, file: local, sha256 } = site.image.base
  // One that a killed run left there may be cut short, and PVE refuses to download over it.
  if ((await listFiles(proxmox, site, 'import')).includes(file)) await deleteFile(proxmox, site, 'import', file)
  if (url !== undefined) {
    note(`Proxmox downloads ${basename(new URL(url).pathname)}`)
    const upid = await proxmox.post<string>(`/nodes/${node}/storage/${storage.iso}/download-url`, { content: 'import', filename: file, url, checksum: sha256, 'checksum-algorithm': 'sha256' })
    try {
      await proxmox.task(upid, { signal, timeoutMs: 3_600_000, onLog: (line) => { if (/\d+%/.test(line)) note(line.trim()) } })
    } catch (error) {
      if (error instanceof Failure && /checksum/i.test(error.message)) throw wrongChecksum(url, error)
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
  await pipeline(createReadStream(path), hash)
  if (hash.digest('hex') !== sha256) throw wrongChecksum(path)
  await proxmox.upload({ node, storage: storage.iso, content: 'import', filename: file, data: path, signal, onProgress: (fraction) => note(`uploading the base image: ${Math.floor(fraction * 100)} %`) })
}

function wrongChecksum(what: string, cause?: unknown): Failure {
  return new Failure('base-checksum', `${what} does not have the SHA-256 that image.base.sha256 says`, 'If the distribution has published a newer image, take its checksum from its own list and put it in site.ts; otherwise somebody may have changed the file.', { cause })
}

/** Size of a PVE drive string in GiB: `local-lvm:vm-100-disk-0,size=3G`. */
function gibibytes(drive: string): number {
  const [, number = '0', unit = 'G'] = /\bsize=([0-9.]+)([KMGT]?)\b/.exec(drive) ?? []
  return Number(number) * ({ K: 1 / 1024 / 1024, M: 1 / 1024, G: 1, T: 1024 }[unit] ?? 1 / 1024 ** 3)
}
