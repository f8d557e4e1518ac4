/** Status of VMs: the numbers in lists and in status/current. */
import type { Context } from '../context.ts'
import { haState } from '../ha.ts'
import { bootOrder } from './boot.ts'
import { loadVm } from './config.ts'
import { isCdrom, parseDrive, parseSize } from './drive.ts'
import { agentEnabled, memoryMiB, nameOf } from './machine.ts'
import { driveSlots } from './options.ts'

/** Size of the boot disk. */
function maxDisk(config: Readonly<Record<string, string>>): number {
  const disks = driveSlots.filter((slot) => config[slot] !== undefined && !isCdrom(parseDrive(slot, config[slot])))
  const slot = bootOrder(config.boot).find((device) => disks.includes(device)) ?? config.bootdisk
  const size = slot === undefined || config[slot] === undefined ? undefined : parseDrive(slot, config[slot]).options.size
  return size === undefined ? 0 : parseSize(size)
}

/** `full`: with the running machine's own numbers. */
export async function vmStatus(context: Context, vmid: number): Promise<Record<string, unknown>> {
  const vm = loadVm(context, vmid)
  const { config } = vm.value
  const running = context.running.get(vmid)
  const stats = running === undefined ? undefined : await running.machine.stats().catch(() => undefined)
  const uptime = running === undefined ? 0 : Math.floor((Date.now() - running.startedAt) / 1000)
  const nics = Object.keys(config)
    .filter((key) => /^net\d+$/.test(key))
    .map((key) => [`tap${vmid}i${key.slice(3)}`, { netin: 0, netout: 0 }])
  return {
    vmid,
    name: nameOf(vmid, config),
    status: running === undefined ? 'stopped' : 'running',
    qmpstatus: running === undefined ? 'stopped' : running.paused ? 'paused' : (stats?.trouble ?? 'running'),
    cpus: Number(config.sockets ?? 1) * Number(config.cores ?? 1),
    maxmem: memoryMiB(config) * 1024 ** 2,
    maxdisk: maxDisk(config),
    cpu: stats?.cpuFraction ?? 0,
    mem: stats?.memoryBytes ?? 0,
    memhost: stats?.memoryBytes ?? 0,
    uptime,
    disk: 0,
    netin: 0,
    netout: 0,
    ...(config.template === '1' ? { template: 1 } : {}),
    ...(config.tags === undefined ? {} : { tags: config.tags === '' ? ' ' : config.tags }),
    ...(config.lock === undefined ? {} : { lock: config.lock }),
    ...(Object.keys(config).some((key) => /^serial\d+$/.test(key)) ? { serial: 1 } : {}),
    ...(running === undefined
      ? {}
      : {
          pid: running.machine.pid,
          diskread: 0,
          diskwrite: 0,
          ...(nics.length === 0 ? {} : { nics: Object.fromEntries(nics) }),
          pressurecpufull: 0,
          pressurecpusome: 0,
          pressureiofull: 0,
          pressureiosome: 0,
          pressurememoryfull: 0,
          pressurememorysome: 0,
        }),
  }
}

export async function currentStatus(context: Context, vmid: number): Promise<Record<string, unknown>> {
  const status = await vmStatus(context, vmid)
  const managed = haState(context, vmid)
  return {
    ...status,
    ha: managed === undefined ? { managed: 0 } : { managed: 1, state: managed },
    ...(agentEnabled(loadVm(context, vmid).value.config) ? { agent: 1 } : {}),
  }
}
