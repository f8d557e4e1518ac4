/** A machine's command line: an i440FX "pc" under SeaBIOS, as Proxmox's default. Pure. */
import type { MachineSpec } from '../driver.ts'
import { blockNode, driveDevice, nicBackend, nicDevice, parseSlot, scsiController, type QemuObject } from './devices.ts'

export type Acceleration = 'kvm' | 'tcg'

/**
 * One thread for all processors of an emulated guest. With a thread for each, one may translate code while another
 * changes it, and goes on with what it has read (QEMU issue 1642). Linux changes its own code whenever it turns a feature
 * on, with a breakpoint in between: the guest then runs into a breakpoint that is long gone ("Oops: int3") and panics.
 * Seen in one boot of ninety, and when a feature is turned on and off in a loop, with QEMU 7.2 after tens of times, with
 * 10.0 after a thousand; never with one thread. A boot costs a half more time.
 */
const emulation = 'tcg,thread=single,tb-size=512'

/** Device id of the guest agent's port, as it appears in VSERPORT_CHANGE. */
export const agentPort = 'qga0port'

/** File descriptors that the process gets. */
export const descriptors = { qmp: 3, agent: 4 } as const

/** `links`: slot of each card → its tap. The machine waits for `cont`. */
export function qemuArguments(spec: MachineSpec, acceleration: Acceleration, links: ReadonlyMap<string, string>): string[] {
  const object = (flag: string, value: QemuObject) => [flag, JSON.stringify(value)]
  const cpus = spec.cores * spec.sockets
  const scsi = spec.drives.map((drive) => parseSlot(drive.slot)).filter((slot) => slot.kind === 'scsi')
  const controllers =
    spec.scsihw === 'virtio-scsi-single' ? scsi.map((slot) => scsiController(spec.scsihw, slot.index)) : [scsiController(spec.scsihw, 0)]
  const hasSata = spec.drives.some((drive) => drive.slot.startsWith('sata'))
  return [
    ...['-name', spec.name.replaceAll(',', ',,'), '-uuid', spec.uuid],
    ...['-no-user-config', '-nodefaults', '-display', 'none', '-S'],
    ...['-machine', 'pc'],
    ...['-accel', acceleration === 'kvm' ? 'kvm' : emulation],
    // The model that the guest asked for has no use here; under TCG `max` is the fastest, less the wide registers: programs
    // that find them use them, and emulated they are slow (60 MB through sha256sum: 5.1 s of CPU with AVX2, 2.2 s without).
    ...['-cpu', acceleration === 'kvm' ? 'max' : 'max,-avx2'],
    ...['-smp', `${cpus},sockets=${spec.sockets},cores=${spec.cores},threads=1`, '-m', `${spec.memoryMiB}M`],
    ...['-rtc', 'base=utc,driftfix=slew'],
    ...['-chardev', `socket,id=qmp,fd=${descriptors.qmp}`, '-mon', 'chardev=qmp,mode=control'],
    ...['-chardev', `file,id=serial0,path=${spec.serialLog.replaceAll(',', ',,')},append=on`, '-serial', 'chardev:serial0'],
    ...object('-device', { driver: 'VGA', id: 'vga', bus: 'pci.0', addr: '2' }),
    ...object('-device', { driver: 'virtio-rng-pci', id: 'rng0', bus: 'pci.0', addr: '9' }),
    ...(spec.agent
      ? [
          ...['-chardev', `socket,id=qga0,fd=${descriptors.agent}`],
          ...object('-device', { driver: 'virtio-serial-pci', id: 'qga0', bus: 'pci.0', addr: '8' }),
          ...object('-device', { driver: 'virtserialport', id: agentPort, bus: 'qga0.0', chardev: 'qga0', name: 'org.qemu.guest_agent.0' }),
        ]
      : []),
    ...controllers.flatMap((controller) => object('-device', controller)),
    ...(hasSata ? object('-device', { driver: 'ahci', id: 'ahci0', bus: 'pci.0', addr: '7' }) : []),
    ...spec.drives.flatMap((drive) => {
      const place = spec.boot.indexOf(drive.slot)
      const boot = place < 0 ? {} : { bootIndex: place }
      if (drive.path === null) return object('-device', driveDevice(drive, { scsihw: spec.scsihw, ...boot }))
      const node = `drive-${drive.slot}`
      return [
        ...object('-blockdev', blockNode(drive, drive.path, node)),
        ...object('-device', driveDevice(drive, { scsihw: spec.scsihw, node, ...boot })),
      ]
    }),
    ...spec.nics.flatMap((nic) => {
      const { type, ...backend } = nicBackend(nic, links.get(nic.slot)!)
      const options = Object.entries(backend).map(([key, value]) => `${key}=${String(value)}`)
      return ['-netdev', [type, ...options].join(','), ...object('-device', nicDevice(nic))]
    }),
  ]
}
