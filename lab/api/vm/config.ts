/** A VM's configuration document: reading, digest, locks, unused disks. */
import { createHash } from 'node:crypto'
import type { Document } from '../../state/document.ts'
import type { VmDocument } from '../../state/types.ts'
import type { Context } from '../context.ts'
import { fail } from '../errors.ts'
import { parseDrive } from './drive.ts'
import { isDriveSlot, isUnusedSlot, typedValue, unusedSlots } from './options.ts'

export type VmFile = Document<VmDocument>
export type Config = Record<string, string>

/** @throws 500 with PVE's message when the VM does not exist */
export const loadVm = (context: Context, vmid: number): VmFile =>
  context.state.vms.get(vmid) ?? fail(`Configuration file 'nodes/${context.node}/qemu-server/${vmid}.conf' does not exist`)

export function digestOf(vm: VmFile): string {
  const { config, pending, deletions, snapshots } = vm.value
  const sorted = (record: object): unknown => Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1))
  return createHash('sha1')
    .update(JSON.stringify([sorted(config), sorted(pending), sorted(deletions), ...(snapshots === undefined ? [] : [sorted(snapshots)])]))
    .digest('hex')
}

export function requireUnlocked(vm: VmFile): void {
  if (vm.value.config.lock !== undefined) fail(`VM is locked (${vm.value.config.lock})`)
}
export function requireUnprotected(vm: VmFile, complaint: string): void {
  if (vm.value.config.protection === '1') fail(`${complaint} - protection mode enabled`)
}
export const isTemplate = (vm: VmFile): boolean => vm.value.config.template === '1'

/** Remembers a detached disk under the lowest free `unusedN`. */
export function addUnused(config: Config, volid: string): void {
  if (Object.entries(config).some(([key, value]) => isUnusedSlot(key) && value.split(',')[0] === volid)) return
  const slot = unusedSlots.find((name) => config[name] === undefined) ?? fail('Too many unused volumes - please delete them first.')
  config[slot] = volid
}

/** Writes the document; a volume that a drive uses is not unused. */
export function saveVm(vm: VmFile): void {
  const { config, pending } = vm.value
  const used = new Set(
    [config, pending].flatMap((section) =>
      Object.entries(section)
        .filter(([key]) => isDriveSlot(key))
        .map(([key, value]) => parseDrive(key, value).file),
    ),
  )
  for (const [key, value] of Object.entries(config)) if (isUnusedSlot(key) && used.has(value.split(',')[0] as string)) delete config[key]
  vm.save()
}

/** What a value looks like from outside: an empty one is a blank, passwords are stars. */
export function shownValue(key: string, value: string): string | number | undefined {
  if (key === 'cipassword') return '**********'
  if (key === 'description') return value.trim() === '' ? undefined : value.replace(/(\r?\n)+$/, '')
  return value === '' ? ' ' : typedValue(key, value)
}

/** The configuration as it will be once pending changes are in force. */
export function desiredConfig(vm: VmFile): Config {
  const { config, pending, deletions } = vm.value
  return { ...Object.fromEntries(Object.entries(config).filter(([key]) => !(key in deletions))), ...pending }
}

export function shownConfig(vm: VmFile, current: boolean): Record<string, unknown> {
  const source = current ? vm.value.config : desiredConfig(vm)
  const shown = Object.entries(source)
    .map(([key, value]) => [key, shownValue(key, value)] as const)
    .filter(([, value]) => value !== undefined)
  return { ...Object.fromEntries(shown), digest: digestOf(vm) }
}

/** One item for each option: `value` in force, `pending`, `delete` (1, or 2 when its disk is destroyed). */
export function shownPending(vm: VmFile): Record<string, unknown>[] {
  const { config, pending, deletions } = vm.value
  const keys = [...new Set([...Object.keys(config), ...Object.keys(pending)])].sort()
  const items = keys
    .map((key) => ({
      key,
      ...(config[key] === undefined ? {} : { value: shownValue(key, config[key]) }),
      ...(pending[key] === undefined ? {} : { pending: shownValue(key, pending[key]) }),
      ...(key in deletions ? { delete: deletions[key] ? 2 : 1 } : {}),
    }))
    .filter((item) => !('value' in item && item.value === undefined))
  return [...items, { key: 'digest', value: digestOf(vm) }]
}
