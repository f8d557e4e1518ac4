/** Storage configuration (/storage) and status on the node. */
import { mkdirSync } from 'node:fs'
import { rm, statfs } from 'node:fs/promises'
import { createHash } from 'node:crypto'
import type { StorageConfig, StorageType } from '../../state/types.ts'
import type { Call, Context, Handlers } from '../context.ts'
import { fail, parameterError } from '../errors.ts'
import { splitList } from '../formats.ts'
import { kindOf, storageKinds } from './kinds.ts'
import { fileKinds, kindFolder, storageConfig, storageFolder } from './volumes.ts'

/** Every folder that a storage has. */
export function prepareFolders(context: Context, id: string): void {
  mkdirSync(`${storageFolder(context, id)}/images`, { recursive: true })
  for (const kind of fileKinds) mkdirSync(kindFolder(context, id, kind), { recursive: true })
}

const digest = (context: Context): string => createHash('sha1').update(JSON.stringify(context.state.storages.value)).digest('hex')

const configOf = (context: Context, id: string): Record<string, unknown> => {
  const config = storageConfig(context, id)
  return {
    storage: id,
    type: config.type,
    ...(config.path === undefined ? {} : { path: config.path }),
    content: config.content.join(','),
    digest: digest(context),
    ...config.properties,
    ...(isShared(config) ? { shared: 1 } : {}),
    ...(config.disable ? { disable: 1 } : {}),
    ...(config.preallocation === undefined ? {} : { preallocation: config.preallocation }),
  }
}

const mayList = (call: Call, id: string): boolean => call.caller.hasAny(`/storage/${id}`, 'Datastore.Audit', 'Datastore.AllocateSpace')

const isShared = (config: StorageConfig): boolean => config.shared ?? kindOf(config).shared ?? false

/** What the types need besides; of the rest the lab has no use. */
const properties = [
  'vgname',
  'thinpool',
  'pool',
  'server',
  'export',
  'share',
  'datastore',
  'username',
  'portal',
  'target',
  'iscsiprovider',
  'blocksize',
  'snapshot-as-volume-chain',
]

function create(call: Call): unknown {
  const { params } = call
  const { storage = '', path, content } = params
  if (params.type === 'btrfs') fail("create storage failed: the lab has no storages of type 'btrfs'")
  const type = params.type as StorageType
  const kind = storageKinds[type]
  if (call.context.state.storages.value[storage] !== undefined) fail(`create storage failed: storage ID '${storage}' already defined`)
  const missing = kind.needs.filter((name) => params[name] === undefined)
  if (missing.length > 0)
    throw parameterError(Object.fromEntries(missing.map((name) => [name, 'property is missing and it is not optional'])))
  const given = Object.fromEntries(properties.flatMap((name) => (params[name] === undefined ? [] : [[name, params[name]]])))
  const byDefault = type === 'dir' ? 'images,rootdir,vztmpl,iso,backup,snippets' : kind.defaults.join(',')
  const config: StorageConfig = {
    type,
    ...(path === undefined ? {} : { path }),
    content: splitList(content ?? byDefault),
    ...(Object.keys(given).length === 0 ? {} : { properties: given }),
  }
  change(config, params)
  call.context.state.storages.value[storage] = config
  call.context.state.storages.save()
  prepareFolders(call.context, storage)
  return { storage, type }
}

function change(config: StorageConfig, params: Readonly<Record<string, string>>): void {
  const content = params.content === undefined ? config.content : splitList(params.content)
  const other = content.find((kind) => kind !== 'none' && !kindOf(config).content.includes(kind))
  if (other !== undefined) fail(`storage does not support content type '${other}'`)
  config.content = content
  if (params.shared !== undefined) config.shared = params.shared === '1'
  if (params.disable !== undefined) config.disable = params.disable === '1'
  if (params.preallocation !== undefined) config.preallocation = params.preallocation
}

function update(call: Call): unknown {
  const { storage = '' } = call.params
  const config = call.context.state.storages.value[storage] ?? fail(`update storage failed: storage '${storage}' does not exist`)
  change(config, call.params)
  for (const key of splitList(call.params.delete ?? '')) {
    if (key === 'shared' || key === 'disable' || key === 'preallocation') delete config[key]
    else throw parameterError({ delete: `no such option '${key}'` })
  }
  call.context.state.storages.save()
  return { storage, type: config.type }
}

async function remove(call: Call): Promise<unknown> {
  const { storage = '' } = call.params
  const { state } = call.context
  if (state.storages.value[storage] === undefined) fail(`delete storage failed: storage '${storage}' does not exist`)
  delete state.storages.value[storage]
  state.storages.save()
  state.access.value.acls = state.access.value.acls.filter((acl) => acl.path !== `/storage/${storage}`)
  state.access.save()
  // PVE leaves the files where they are; here nobody could ever reach them again.
  await rm(storageFolder(call.context, storage), { recursive: true, force: true })
  return null
}

/** Free and used bytes of the lab's disk. */
export async function storageStatus(context: Context, id: string): Promise<Record<string, unknown>> {
  const config = storageConfig(context, id)
  const disk = await statfs(context.state.folder)
  const total = disk.blocks * disk.bsize
  const avail = disk.bavail * disk.bsize
  const used = total - disk.bfree * disk.bsize
  return {
    type: config.type,
    content: config.content.join(','),
    active: config.disable ? 0 : 1,
    enabled: config.disable ? 0 : 1,
    shared: isShared(config) ? 1 : 0,
    total,
    used,
    avail,
  }
}

async function nodeList(call: Call): Promise<unknown> {
  const wanted = call.params.content === undefined ? [] : splitList(call.params.content)
  const ids = Object.entries(call.context.state.storages.value)
    .filter(
      ([id, config]) =>
        mayList(call, id) &&
        (call.params.storage ?? id) === id &&
        wanted.every((kind) => config.content.includes(kind)) &&
        !(call.params.enabled === '1' && config.disable),
    )
    .map(([id]) => id)
  return Promise.all(
    ids.map(async (id) => {
      const status = await storageStatus(call.context, id)
      return { storage: id, ...status, used_fraction: Number(status.used) / Number(status.total) }
    }),
  )
}

export const storageHandlers: Handlers = {
  'GET /storage': (call) =>
    Object.keys(call.context.state.storages.value)
      .filter(
        (id) => mayList(call, id) && (call.params.type === undefined || call.context.state.storages.value[id]?.type === call.params.type),
      )
      .map((id) => configOf(call.context, id)),
  'POST /storage': create,
  'GET /storage/{storage}': (call) => configOf(call.context, call.params.storage as string),
  'PUT /storage/{storage}': update,
  'DELETE /storage/{storage}': remove,
  'GET /nodes/{node}/storage': nodeList,
  'GET /nodes/{node}/storage/{storage}': () =>
    ['content', 'download-url', 'file-restore', 'import-metadata', 'prunebackups', 'rrd', 'rrddata', 'status', 'upload'].map((subdir) => ({
      subdir,
    })),
  'GET /nodes/{node}/storage/{storage}/status': (call) => storageStatus(call.context, call.params.storage as string),
}
