/** A running fake machine: what QEMU is to a real guest. */
import type { DriveSpec, Machine, MachineExit, MachineSpec, NicSpec } from '../driver.ts'
import { Agent } from './agent.ts'
import { Guest, type World } from './guest.ts'

/** The keys that QEMU's monitor names (`QKeyCode` of qapi/ui.json), as far as people type them. */
const KEYS = new Set([
  ...`
    shift shift_r alt alt_r ctrl ctrl_r menu esc minus equal backspace tab bracket_left bracket_right ret semicolon apostrophe
    grave_accent backslash comma dot slash asterisk spc caps_lock num_lock scroll_lock kp_divide kp_multiply kp_subtract kp_add
    kp_enter kp_decimal sysrq less home pgup pgdn end left up down right insert delete meta_l meta_r compose pause
  `
    .trim()
    .split(/\s+/),
  ...'0123456789abcdefghijklmnopqrstuvwxyz',
  ...Array.from({ length: 12 }, (_, index) => `f${index + 1}`),
  ...Array.from({ length: 10 }, (_, index) => `kp_${index}`),
])

export interface FakeMachine extends Machine {
  /** The model behind it, for tests. */
  readonly guest: Guest
}

/** Switches a machine on. Rejects if a volume can't be read. `resize` grows a volume's file. */
export async function startMachine(
  spec: MachineSpec,
  world: World,
  resize: (path: string, bytes: number) => Promise<void>,
): Promise<FakeMachine> {
  const behaviour = world.behaviour(spec)
  if (behaviour.startFails !== undefined) throw new Error(behaviour.startFails)
  const guest = new Guest(spec, world)
  const agent = new Agent(guest)
  let resolveExit: (exit: MachineExit) => void = () => {}
  let ended: MachineExit | undefined
  let crash: NodeJS.Timeout | undefined
  const exited = new Promise<MachineExit>((resolve) => {
    resolveExit = resolve
  })
  const end = (exit: MachineExit): void => {
    ended ??= exit
    clearTimeout(crash)
    resolveExit(ended)
  }
  const alive = (): void => {
    if (ended) throw new Error(`VM ${spec.vmid} is not running`)
  }
  guest.onPower = (event) => {
    if (event === 'powerdown') end({ reason: 'powerdown' })
  }
  await guest.powerOn()
  // Not earlier: one that is being switched on has nothing yet that could be cut.
  if (behaviour.crashAfterMs !== undefined)
    crash = setTimeout(
      () => void guest.cut().then(() => end({ reason: 'crashed', detail: 'fake guest crashed as ordered' })),
      behaviour.crashAfterMs,
    )

  const diskOf = (slot: string) => guest.devices.disks.find((disk) => disk.slot === slot)
  const unplug = async (slot: string): Promise<void> => {
    const disk = diskOf(slot)
    if (!disk) throw new Error(`no drive in ${slot}`)
    const running = guest.state === 'running'
    const paths = running ? guest.devicePaths(disk.name) : []
    await guest.devices.detach(slot)
    if (!running) return
    for (const path of paths) guest.vfs.remove(path)
    await guest.systemd.deviceGone(paths)
    // Pulled out from under a mount: the kernel drops the file system, nothing more can be written.
    for (const mount of guest.vfs.mounts.filter((each) => each.source.startsWith(`/dev/${disk.name}`)).reverse())
      guest.vfs.mounts.splice(guest.vfs.mounts.indexOf(mount), 1)
  }
  const plug = async (drive: DriveSpec): Promise<void> => {
    if (diskOf(drive.slot)) throw new Error(`there is a drive in ${drive.slot} already`)
    const disk = await guest.devices.attach(drive)
    if (guest.state !== 'running') return
    const found = guest.devices.all().filter((device) => device.disk === disk)
    for (const device of found) guest.addDeviceNodes(device)
    for (const device of found) await guest.systemd.deviceAppeared(device)
  }
  return {
    guest,
    exited,
    // No process stands behind a fake machine: a number above Linux's highest PID, so that nobody kills somebody else.
    pid: 5_000_000 + spec.vmid,
    async shutdown() {
      alive()
      if (guest.state === 'running' && !guest.behaviour.ignoresShutdown && !guest.paused)
        setTimeout(() => void guest.powerOff('powerdown'), 5)
    },
    async stop() {
      if (ended) return
      await guest.cut()
      end({ reason: 'stopped' })
    },
    async reset() {
      alive()
      await guest.reset()
    },
    async suspend() {
      alive()
      guest.paused = true
    },
    async resume() {
      alive()
      guest.paused = false
    },
    async plugDrive(drive) {
      alive()
      await plug(drive)
    },
    async unplugDrive(slot) {
      alive()
      if (guest.behaviour.refusesUnplug) throw new Error(`the guest does not let go of ${slot}`)
      await unplug(slot)
    },
    async changeMedium(slot, path) {
      alive()
      const disk = diskOf(slot)
      if (disk?.media !== 'cdrom') throw new Error(`no CD drive in ${slot}`)
      await unplug(slot)
      await plug({ slot, path, format: 'raw', media: 'cdrom', ...(disk.serial !== undefined && { serial: disk.serial }) })
    },
    async resizeDrive(slot, bytes) {
      alive()
      const disk = diskOf(slot)
      if (!disk || disk.path === null) throw new Error(`no disk in ${slot}`)
      await resize(disk.path, bytes)
      disk.bytes = bytes
    },
    async plugNic(nic: NicSpec) {
      alive()
      if (guest.interfaces.some((card) => card.slot === nic.slot)) throw new Error(`there is a card in ${nic.slot} already`)
      guest.addNic(nic)
    },
    async unplugNic(slot) {
      alive()
      const index = guest.interfaces.findIndex((card) => card.slot === slot)
      if (index < 0) throw new Error(`no card in ${slot}`)
      guest.interfaces.splice(index, 1)
    },
    async sendKey(key) {
      alive()
      const unknown = key.split('-').find((part) => !KEYS.has(part) && !/^0x[0-9a-f]+$/i.test(part))
      if (key === '' || unknown !== undefined) throw new Error(`invalid parameter: ${unknown ?? key}`)
      if (key === 'ctrl-alt-delete' && guest.state === 'running') setTimeout(() => void guest.powerOff('reboot'), 5)
    },
    async agent(command, args = {}, timeoutMs = 3000) {
      alive()
      return agent.command(command, args, timeoutMs)
    },
    async stats() {
      return { cpuFraction: guest.state === 'running' ? 0.01 : 0, memoryBytes: Math.round(spec.memoryMiB * 1024 * 1024 * 0.4) }
    },
  }
}
