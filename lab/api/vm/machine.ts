/** From a configuration to what the driver starts. */
import type { DriveSpec, MachineSpec, NicSpec } from '../../compute/driver.ts'
import type { Context } from '../context.ts'
import { parsePropertyString } from '../check.ts'
import { fileFormat, pathOf, volumeOf } from '../storage/volumes.ts'
import { join } from 'node:path'
import { mkdirSync } from 'node:fs'
import { bootOrder } from './boot.ts'
import type { Config } from './config.ts'
import { isCdrom, isCloudinit, parseDrive, type Drive } from './drive.ts'
import { parseNet } from './net.ts'
import { agentFormat, driveSlots } from './options.ts'

const pluggable = (slot: string): boolean => driveSlots.includes(slot) && !slot.startsWith('efidisk') && !slot.startsWith('tpmstate')

export function driveSpec(context: Context, slot: string, drive: Drive): DriveSpec {
  const empty = drive.file === 'none' || drive.file === 'cdrom'
  const format = empty || isCloudinit(drive) ? 'raw' : fileFormat(volumeOf(drive.file))
  return {
    slot,
    path: empty ? null : pathOf(context, drive.file),
    format,
    media: isCdrom(drive) ? 'cdrom' : 'disk',
    ...(drive.options.serial === undefined ? {} : { serial: decodeURIComponent(drive.options.serial) }),
    ...(drive.options.discard === 'on' ? { discard: true } : {}),
    ...(drive.options.iothread === '1' ? { iothread: true } : {}),
  }
}

export function nicSpec(slot: string, value: string): NicSpec {
  const net = parseNet(value)
  return {
    slot,
    model: net.model,
    mac: net.macaddr,
    bridge: net.options.bridge ?? '',
    firewall: net.options.firewall === '1',
    ...(net.options.link_down === '1' ? { linkDown: true } : {}),
  }
}

export const agentEnabled = (config: Readonly<Config>): boolean =>
  config.agent !== undefined && parsePropertyString(agentFormat, config.agent).values.enabled === '1'

export const memoryMiB = (config: Readonly<Config>): number => Number((config.memory ?? '512').replace(/^current=/, ''))
export const nameOf = (vmid: number, config: Readonly<Config>): string => config.name ?? `VM ${vmid}`

export function machineSpec(context: Context, vmid: number, config: Readonly<Config>): MachineSpec {
  const slots = driveSlots.filter((slot) => config[slot] !== undefined && pluggable(slot))
  const order = bootOrder(config.boot)
  const runDir = join(context.runFolder, String(vmid))
  mkdirSync(runDir, { recursive: true, mode: 0o700 })
  mkdirSync(context.serialFolder, { recursive: true, mode: 0o700 })
  return {
    vmid,
    name: nameOf(vmid, config),
    cores: Number(config.cores ?? 1),
    sockets: Number(config.sockets ?? 1),
    memoryMiB: memoryMiB(config),
    cpu: (config.cpu ?? 'kvm64').replace(/^cputype=/, '').split(',')[0] as string,
    uuid: /uuid=([^,]+)/.exec(config.smbios1 ?? '')?.[1] ?? '00000000-0000-0000-0000-000000000000',
    scsihw: config.scsihw ?? 'lsi',
    boot: order.length > 0 ? order : slots.filter((slot) => config.bootdisk === slot),
    drives: slots.map((slot) => driveSpec(context, slot, parseDrive(slot, config[slot] as string))),
    nics: Object.entries(config)
      .filter(([key]) => /^net\d+$/.test(key))
      .map(([key, value]) => nicSpec(key, value)),
    agent: agentEnabled(config),
    serialLog: join(context.serialFolder, `${vmid}.log`),
    runDir,
  }
}
