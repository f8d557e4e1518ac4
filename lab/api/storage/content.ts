/** What a storage holds: list, one volume, delete. */
import { existsSync, readdirSync, statSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { task, type Call, type Context, type Handlers } from '../context.ts'
import { ApiError, fail, parameterError } from '../errors.ts'
import { requireVolumeAccess } from './access.ts'
import {
  fileKinds,
  freeVolume,
  imageVolumes,
  kindFolder,
  parseVolid,
  pathOf,
  storageConfig,
  usableStorage,
  volumeExists,
  volumeOf,
  type FileKind,
  type Volume,
} from './volumes.ts'

const extensions: Readonly<Record<FileKind, RegExp>> = {
  iso: /\.(iso|img)$/i,
  import: /\.(qcow2|raw|vmdk|ova|ovf)$/i,
  vztmpl: /\.tar\.(gz|xz|zst)$/,
  snippets: /./,
}

interface Item {
  readonly volid: string
  readonly [key: string]: unknown
}

/** What a linked volume is linked to, as its storage calls it; LVM-thin does not tell. */
function parentOf(volume: Volume, path: string, backing: string | undefined): string | undefined {
  if (volume.flat) return volume.base === undefined ? undefined : `${volume.base.name}@__base__`
  return backing === undefined ? undefined : relative(dirname(path), backing)
}

async function imageItem(context: Context, volid: string, vmid: number, path: string): Promise<Item | undefined> {
  const info = await context.driver.volumes.info(path).catch(() => undefined)
  if (info === undefined) return undefined
  const volume = volumeOf(volid)
  return {
    volid,
    vmid,
    content: 'images',
    format: volume.format,
    size: info.virtualBytes,
    used: info.allocatedBytes,
    ctime: Math.floor(statSync(path).ctimeMs / 1000),
    parent: parentOf(volume, path, info.backing) ?? null,
  }
}

function fileItems(context: Context, storage: string, kind: FileKind): Item[] {
  const folder = kindFolder(context, storage, kind)
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .filter((name) => extensions[kind].test(name))
    .sort()
    .map((name) => {
      const stat = statSync(join(folder, name))
      const extension = name.split('.').at(-1) ?? ''
      const format = kind === 'iso' ? 'iso' : kind === 'vztmpl' ? `t${extension}` : kind === 'snippets' ? 'snippet' : extension
      return { volid: `${storage}:${kind}/${name}`, content: kind, format, size: stat.size, ctime: Math.floor(stat.ctimeMs / 1000) }
    })
}

async function list(call: Call): Promise<unknown> {
  const { storage = '', content, vmid } = call.params
  const config = usableStorage(call.context, storage)
  const items: Item[] = []
  const wants = (kind: string): boolean => (content ?? kind) === kind && config.content.includes(kind)
  if (wants('images')) {
    for (const image of await imageVolumes(call.context, storage, vmid === undefined ? undefined : Number(vmid))) {
      const item = await imageItem(call.context, image.volid, image.vmid, image.path)
      if (item !== undefined) items.push(item)
    }
  }
  if (vmid === undefined) for (const kind of fileKinds) if (wants(kind)) items.push(...fileItems(call.context, storage, kind))
  return items.filter((item) => {
    try {
      requireVolumeAccess(call.caller, undefined, item.volid)
      return true
    } catch (error) {
      if (error instanceof ApiError) return false
      throw error
    }
  })
}

/** The `volume` of the path may come with or without its storage. */
function volidOf(call: Call): string {
  const { storage = '', volume = '' } = call.params
  const volid = volume.includes(':') ? volume : `${storage}:${volume}`
  if (volid.split(':')[0] !== storage) throw parameterError({ volume: `storage ID missmatch (${volid.split(':')[0]} != ${storage})` })
  return volid
}

async function one(call: Call): Promise<unknown> {
  const volid = volidOf(call)
  requireVolumeAccess(call.caller, undefined, volid)
  const volume = volumeOf(volid)
  usableStorage(call.context, volume.storage)
  const path = pathOf(call.context, volid)
  if (!volumeExists(call.context, volid)) fail(`volume_size_info on '${volid}' failed`)
  if (volume.kind !== 'images') {
    const size = statSync(path).size
    return { path, size, used: size, format: volume.kind === 'iso' ? 'raw' : volume.format }
  }
  const info = await call.context.driver.volumes.info(path)
  const parent = parentOf(volume, path, info.backing)
  return {
    path,
    size: info.virtualBytes,
    used: info.allocatedBytes,
    format: volume.flat ? volume.format : info.format,
    ...(parent === undefined ? {} : { parent }),
  }
}

async function remove(call: Call): Promise<unknown> {
  const volid = volidOf(call)
  const { context, caller } = call
  const volume = parseVolid(volid) ?? volumeOf(volid)
  const at = `/storage/${volume.storage}`
  // An image can be taken from under its VM, protected or not: only who owns the storage may.
  caller.require(at, 'Datastore.Allocate')
  storageConfig(context, volume.storage)
  const id = volume.vmid === undefined ? volume.storage : `${volume.vmid}@${volume.storage}`
  const upid = task(call, 'imgdel', id, async ({ log }) => {
    await freeVolume(context, volid)
    log(`Removed volume '${volid}'`)
  })
  // With `delay` PVE waits for the task and answers null when it is done in time.
  if (call.params.delay === undefined) return upid
  const end = Date.now() + Number(call.params.delay) * 1000
  while (Date.now() < end) {
    const found = context.tasks.find(upid)
    if (found?.status !== undefined) return found.status === 'OK' ? null : fail(found.status)
    await sleep(20)
  }
  return upid
}

export const contentHandlers: Handlers = {
  'GET /nodes/{node}/storage/{storage}/content': list,
  'GET /nodes/{node}/storage/{storage}/content/{volume}': one,
  'DELETE /nodes/{node}/storage/{storage}/content/{volume}': remove,
}
