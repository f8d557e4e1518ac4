/** Which privileges a change of a configuration needs (PVE::API2::Qemu). */
import type { Caller } from '../caller.ts'
import type { Context } from '../context.ts'
import { fail, parameterError } from '../errors.ts'
import { requireVolumeAccess } from '../storage/access.ts'
import { parseVolid, storageConfig, volumeIn } from '../storage/volumes.ts'
import { isCdrom, isCloudinit, newDiskWish, parseDrive, wantsCloudinit, wantsDisk, type Drive } from './drive.ts'
import { parseNet } from './net.ts'
import { isDriveSlot } from './options.ts'

const byOption: readonly (readonly [RegExp, string])[] = [
  [/^(cores|cpu|cpulimit|cpuunits|numa|numa\d+|smp|sockets|vcpus|affinity)$/, 'VM.Config.CPU'],
  [/^(memory|balloon|shares|allow-ksm)$/, 'VM.Config.Memory'],
  [/^(acpi|hotplug|kvm|machine|scsihw|smbios1|tablet|vga|watchdog|audio0|rng0|arch)$/, 'VM.Config.HWType'],
  [
    /^(agent|autostart|bios|description|keyboard|localtime|migrate_downtime|migrate_speed|name|onboot|ostype|protection|reboot|startdate|startup|tdf|template|spice_enhancements)$/,
    'VM.Config.Options',
  ],
  [/^freeze$/, 'VM.PowerMgmt'],
  [/^(boot|bootdisk|vmstatestorage)$/, 'VM.Config.Disk'],
  [/^net\d+$/, 'VM.Config.Network'],
]

/** For each option that is set or deleted. `pool`: where a new VM goes. @throws 403, or 500 for options that only root may set */
export function requireOptions(caller: Caller, vmid: number, pool: string | undefined, keys: readonly string[]): void {
  if (caller.isRoot) return
  for (const key of keys) {
    if (isDriveSlot(key) || key === 'cdrom' || /^(unused|serial|usb|hostpci)\d+$/.test(key) || key === 'tags') continue // their values decide
    const privilege = byOption.find(([pattern]) => pattern.test(key))?.[1]
    if (privilege !== undefined) {
      caller.requireOnVm(vmid, pool, privilege)
      if (key === 'startup') caller.require('/', 'Sys.Modify')
    } else if (/^(cicustom|cipassword|citype|ciuser|ciupgrade|nameserver|searchdomain|sshkeys|ipconfig\d+)$/.test(key)) {
      const inPool = pool !== undefined && caller.hasAny(`/pool/${pool}`, 'VM.Config.Cloudinit', 'VM.Config.Network')
      if (!inPool) caller.requireAny(`/vms/${vmid}`, 'VM.Config.Cloudinit', 'VM.Config.Network')
    } else fail(`only root can set '${key}' config`)
  }
}

/** For a drive that comes or goes. */
export function requireDrive(caller: Caller, vmid: number, pool: string | undefined, drive: Drive): void {
  if (isCloudinit(drive)) caller.requireOnVm(vmid, pool, 'VM.Config.Cloudinit', 'VM.Config.CDROM')
  else caller.requireOnVm(vmid, pool, isCdrom(drive) ? 'VM.Config.CDROM' : 'VM.Config.Disk')
}

/** For a volume that is to be destroyed: whoever gives space back needs what it takes to get it. Others' volumes stay. */
export function requireFreeing(caller: Caller, vmid: number, volid: string): void {
  const volume = parseVolid(volid)
  if (volume !== undefined && volume.vmid === vmid) caller.require(`/storage/${volume.storage}`, 'Datastore.AllocateSpace')
}

/** Serial ports that are sockets, USB and PCI devices. */
export function requireDevices(
  caller: Caller,
  vmid: number,
  pool: string | undefined,
  values: Readonly<Record<string, string>>,
  verb: 'set' | 'delete' = 'set',
): void {
  for (const [key, value] of Object.entries(values)) {
    const kind = /^(serial|usb|hostpci)\d+$/.exec(key)?.[1]
    if (kind === undefined) continue
    const virtual = kind === 'serial' ? value === 'socket' : /(^|,)(mapping=|(host=)?spice)/.test(value)
    if (virtual) caller.requireOnVm(vmid, pool, 'VM.Config.HWType')
    else if (!caller.isRoot) fail(`only root can ${verb} '${key}' config for real devices`)
  }
}

/**
 * What drive strings have to be like before anything else is looked at.
 * @throws 400
 */
export function requireDriveSyntax(context: Context, wishes: Readonly<Record<string, string>>): void {
  for (const [slot, value] of Object.entries(wishes)) {
    if (!isDriveSlot(slot)) continue
    const drive = parseDrive(slot, value)
    if (drive.options['import-from'] !== undefined && !/^([^/:\s]+:)?0+(\.0+)?$/.test(drive.file)) {
      throw parameterError({ [slot]: "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>" })
    }
    const [, storage] = /^([a-z][a-z0-9\-_.]*[a-z0-9]):.+$/i.exec(drive.file) ?? []
    if (storage === undefined || wantsCloudinit(drive) || wantsDisk(drive)) continue
    if (volumeIn(context, drive.file).kind === 'iso' && drive.options.media !== 'cdrom')
      throw parameterError({ [slot]: "explicit 'media=cdrom' is required for iso images" })
  }
}

/** The storages and volumes that drive strings name. `fallback`: the storage of those that name none. */
export function requireStorages(
  context: Context,
  caller: Caller,
  vmid: number,
  wishes: Readonly<Record<string, string>>,
  fallback?: string,
): void {
  for (const [slot, value] of Object.entries(wishes)) {
    if (!isDriveSlot(slot)) continue
    const drive = parseDrive(slot, value)
    if (drive.file === 'none' || wantsCloudinit(drive)) continue
    if (drive.file === 'cdrom') {
      caller.require('/', 'Sys.Console')
      continue
    }
    const wish = isCdrom(drive) ? undefined : newDiskWish(drive, fallback)
    if (wish !== undefined) {
      caller.require(`/storage/${wish.storage}`, 'Datastore.AllocateSpace')
      requireImages(context, wish.storage)
    } else {
      const volume = requireVolumeAccess(caller, vmid, drive.file)
      if (volume !== undefined && volume.kind !== 'images' && volume.kind !== 'iso')
        throw parameterError({ [slot]: "content type needs to be 'images' or 'iso'" })
    }
    const source = drive.options['import-from']
    if (source !== undefined) requireImport(context, caller, vmid, slot, source)
  }
}

/** A disk that some VM owns may be in use there: importing it is cloning it. */
function requireImport(context: Context, caller: Caller, vmid: number, slot: string, source: string): void {
  const volume = parseVolid(source)
  if (volume !== undefined) {
    storageConfig(context, volume.storage)
    if (volume.kind !== 'images' && volume.kind !== 'import')
      throw parameterError({ [slot]: `${source} has wrong type '${volume.kind}' - needs to be 'images' or 'import'` })
  }
  if (volume?.vmid !== undefined) caller.require(`/vms/${volume.vmid}`, 'VM.Clone')
  else requireVolumeAccess(caller, vmid, source)
}

/** @throws 400 for a storage that may hold no disks */
export function requireImages(context: Context, storage: string): void {
  if (!storageConfig(context, storage).content.includes('images'))
    throw parameterError({ storage: `storage '${storage}' does not support vm images` })
}

/** The storages that a clone's disks go to. */
export function requireCloneStorages(caller: Caller, config: Readonly<Record<string, string>>, storage: string | undefined): void {
  for (const [slot, value] of Object.entries(config)) {
    if (!isDriveSlot(slot)) continue
    const drive = parseDrive(slot, value)
    const volume = parseVolid(drive.file)
    if (volume === undefined || volume.kind === 'iso') continue
    caller.require(`/storage/${storage ?? volume.storage}`, 'Datastore.AllocateSpace')
  }
}

/** SDN.Use on the bridges that network cards use. */
export function requireBridges(context: Context, caller: Caller, config: Readonly<Record<string, string>>): void {
  if (caller.isRoot) return
  for (const [key, value] of Object.entries(config)) {
    if (!/^net\d+$/.test(key) || value === '') continue
    const { bridge, tag } = parseNet(value).options
    if (bridge === undefined) continue
    const zone = `/sdn/zones/${context.vnets[bridge] ?? 'localnetwork'}/${bridge}`
    caller.require(tag === undefined ? zone : `${zone}/${tag}`, 'SDN.Use')
  }
}

/** Tags need VM.Config.Options on the VM itself; the pool of a VM that is being created does not count. */
export function requireTags(caller: Caller, vmid: number): void {
  caller.require(`/vms/${vmid}`, 'VM.Config.Options')
}
