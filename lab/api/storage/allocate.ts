/** POST …/content: an empty volume of a given name. */
import { existsSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Call, Handlers } from '../context.ts'
import { fail } from '../errors.ts'
import { kindOf } from './kinds.ts'
import { fileFormat, pathOf, storageConfig, usableStorage, volumeOf } from './volumes.ts'

/** `1G`, `512M`, or KiB. */
function bytesOf(size: string): number {
  const [, number, unit = 'K'] = /^(\d+)([MG]?)$/.exec(size) ?? []
  return Number(number) * { K: 1024, M: 1024 ** 2, G: 1024 ** 3 }[unit || 'K']!
}

async function allocate(call: Call): Promise<string> {
  const { context, params } = call
  const { storage = '', filename = '', vmid = '', size = '' } = params
  usableStorage(context, storage)
  if (new RegExp(`^(vm|base)-${vmid}-[^/\\s]+$`).exec(filename) === null) fail(`illegal name '${filename}' - should be 'vm-${vmid}-*'`)
  const volume = volumeOf(
    kindOf(storageConfig(context, storage)).naming === 'folder' ? `${storage}:${vmid}/${filename}` : `${storage}:${filename}`,
  )
  const path = pathOf(context, volume.volid)
  if (existsSync(path)) fail(`disk image '${path}' already exists`)
  mkdirSync(dirname(path), { recursive: true })
  await context.driver.volumes.create(path, { format: fileFormat(volume), bytes: bytesOf(size) })
  return volume.volid
}

export const allocateHandlers: Handlers = { 'POST /nodes/{node}/storage/{storage}/content': allocate }
