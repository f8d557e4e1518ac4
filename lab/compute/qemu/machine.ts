/** One running QEMU process. Special (child.ts): it is spoken with over descriptors that go both ways. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { closeSync, openSync } from 'node:fs'
import type { Duplex, Readable } from 'node:stream'
import { dieWithParent } from '../../network/namespaces.ts'
import type { DriveSpec, Machine, MachineExit, MachineSpec, MachineStats, NicSpec } from '../driver.ts'
import { Agent } from './agent.ts'
import { agentPort, descriptors, qemuArguments, type Acceleration } from './arguments.ts'
import { blockNode, driveDevice, nicBackend, nicDevice, parseSlot, scsiController } from './devices.ts'
import { Qmp, QmpError } from './qmp.ts'

/** How long a guest may take to let go of a device; Proxmox waits about as long. */
const unplugTimeoutMs = 15_000
const quitTimeoutMs = 5_000
const troubles = ['io-error', 'internal-error', 'guest-panicked', 'watchdog']

export interface MachineSurroundings {
  readonly acceleration: Acceleration
  /** Put before the command: enters the namespace of the taps, keeping the process id. */
  readonly enter: readonly string[]
  /** Makes the tap of a card; returns its name. */
  attach(nic: NicSpec): Promise<string>
  detach(slot: string): Promise<void>
}

/** Starts the machine and lets it run. Rejects with QEMU's own words, leaving nothing, when it can't. */
export async function startMachine(spec: MachineSpec, surroundings: MachineSurroundings): Promise<Machine> {
  const links = new Map<string, string>()
  const release = async () => {
    for (const slot of links.keys()) await surroundings.detach(slot).catch(() => {})
    links.clear()
  }
  let child: ChildProcess | undefined
  try {
    for (const nic of spec.nics) links.set(nic.slot, await surroundings.attach(nic))
    const args = qemuArguments(spec, surroundings.acceleration, links)
    closeSync(openSync(spec.serialLog, 'a', 0o600)) // QEMU would make it readable for everybody
    const [program, ...rest] = [...surroundings.enter, ...dieWithParent, 'qemu-system-x86_64', ...args]
    child = spawn(program!, rest, { detached: true, stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'] })
    const machine = new QemuMachine(child, spec, surroundings, links, release)
    await machine.begin()
    return machine
  } catch (error) {
    if (child?.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    await release()
    throw error
  }
}

class QemuMachine implements Machine {
  readonly pid: number
  readonly exited: Promise<MachineExit>
  readonly #child: ChildProcess
  readonly #qmp: Qmp
  readonly #agent: Agent
  readonly #hasAgent: boolean
  readonly #scsihw: string
  readonly #drives: Map<string, DriveSpec>
  /** Slot → name of its block node. */
  readonly #nodes = new Map<string, string>()
  readonly #nics: readonly NicSpec[]
  readonly #links: Map<string, string>
  readonly #surroundings: MachineSurroundings
  #errors = ''
  #stopping = false
  #shutdownReason = ''
  /** QEMU's RunState. A guest that its host has stopped, as QEMU does when a write finds the disk full, looks like one that hangs. */
  #runState = 'running'
  #nodeCount = 0
  #lastCpu: { seconds: number; at: number } | undefined

  constructor(
    child: ChildProcess,
    spec: MachineSpec,
    surroundings: MachineSurroundings,
    links: Map<string, string>,
    release: () => Promise<void>,
  ) {
    this.#child = child
    this.pid = child.pid ?? -1
    this.#surroundings = surroundings
    this.#links = links
    this.#hasAgent = spec.agent
    this.#scsihw = spec.scsihw
    this.#nics = spec.nics
    this.#drives = new Map(spec.drives.map((drive) => [drive.slot, drive]))
    for (const drive of spec.drives) if (drive.path !== null) this.#nodes.set(drive.slot, `drive-${drive.slot}`)
    const stderr = child.stderr as Readable
    stderr.setEncoding('utf8').on('data', (chunk: string) => (this.#errors = (this.#errors + chunk).slice(-4000)))
    this.#qmp = new Qmp(child.stdio[descriptors.qmp] as Duplex)
    this.#agent = new Agent(child.stdio[descriptors.agent] as unknown as Duplex)
    this.#qmp.onEvent(({ event, data }) => {
      if (event === 'VSERPORT_CHANGE' && data.id === agentPort) this.#agent.setOpen(data.open === true)
      if (event === 'SHUTDOWN') this.#shutdownReason = String(data.reason)
      if (event === 'STOP')
        this.#qmp.execute('query-status').then(
          (answer) => {
            this.#runState = (answer as { status: string }).status
          },
          () => {},
        )
      if (event === 'RESUME') this.#runState = 'running'
    })
    const ended = new Promise<MachineExit>((resolve) => {
      child.once('error', (error) => resolve({ reason: 'crashed', detail: error.message }))
      child.once('close', (code, signal) => resolve(this.#explain(code, signal)))
    })
    this.exited = ended.then(async (exit) => {
      await release()
      return exit
    })
  }

  #explain(code: number | null, signal: NodeJS.Signals | null): MachineExit {
    if (this.#stopping) return { reason: 'stopped' }
    if (code === 0 && this.#shutdownReason === 'guest-shutdown') return { reason: 'powerdown' }
    const words = this.#errors.trim().split('\n').slice(-3).join('; ')
    return { reason: 'crashed', detail: `qemu ended with ${signal ?? `exit code ${code}`}${words ? `: ${words}` : ''}` }
  }

  /** Waits for QEMU's answer, then lets the guest run. */
  async begin(): Promise<void> {
    const failed = this.exited.then((exit) => {
      throw new Error(exit.reason === 'crashed' ? exit.detail : 'the machine was stopped while starting')
    })
    failed.catch(() => {})
    await Promise.race([this.#begin(), failed]).catch(async (error: Error) => {
      // When QEMU refuses its command line, its words are worth more than "connection closed".
      if (error instanceof QmpError) throw error
      this.#child.kill('SIGKILL')
      throw await failed.catch((reason: Error) => reason)
    })
  }

  async #begin(): Promise<void> {
    await this.#qmp.ready()
    for (const nic of this.#nics) if (nic.linkDown) await this.#qmp.execute('set_link', { name: nic.slot, up: false })
    await this.#qmp.execute('cont')
  }

  async shutdown(): Promise<void> {
    if (this.#hasAgent && this.#agent.open) {
      try {
        await this.#agent.execute('guest-ping', undefined, 3_000)
        // It is not answered when it works.
        this.#agent.execute('guest-shutdown', { mode: 'powerdown' }, 5_000).catch(() => {})
        return
      } catch {
        // The agent hangs; ACPI may still work.
      }
    }
    await this.#qmp.execute('system_powerdown')
  }

  async stop(): Promise<void> {
    this.#stopping = true
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), quitTimeoutMs)
    try {
      await this.#qmp.execute('quit').catch(() => {})
      await this.exited
    } finally {
      clearTimeout(timer)
    }
  }

  async reset(): Promise<void> {
    await this.#qmp.execute('system_reset')
  }

  async suspend(): Promise<void> {
    await this.#qmp.execute('stop')
  }

  async resume(): Promise<void> {
    await this.#qmp.execute('cont')
  }

  async plugDrive(drive: DriveSpec): Promise<void> {
    const { kind, index } = parseSlot(drive.slot)
    if (kind !== 'scsi' && kind !== 'virtio') throw new Error(`${drive.slot}: ${kind} can't be hot-plugged`)
    if (this.#drives.has(drive.slot)) throw new Error(`${drive.slot} is in use`)
    const single = kind === 'scsi' && this.#scsihw === 'virtio-scsi-single'
    const node = drive.path === null ? undefined : this.#newNode(drive.slot)
    if (drive.path !== null) await this.#qmp.execute('blockdev-add', blockNode(drive, drive.path, node!))
    let controller: string | undefined
    try {
      if (single) {
        const { id, ...rest } = scsiController(this.#scsihw, index)
        await this.#qmp.execute('device_add', { id, ...rest })
        controller = id as string
      }
      await this.#qmp.execute('device_add', driveDevice(drive, { scsihw: this.#scsihw, ...(node === undefined ? {} : { node }) }))
    } catch (error) {
      if (controller !== undefined) await this.#qmp.execute('device_del', { id: controller }).catch(() => {})
      if (node !== undefined) await this.#qmp.execute('blockdev-del', { 'node-name': node }).catch(() => {})
      throw error
    }
    this.#drives.set(drive.slot, drive)
    if (node !== undefined) this.#nodes.set(drive.slot, node)
  }

  async unplugDrive(slot: string): Promise<void> {
    const { kind, index } = parseSlot(slot)
    if (!this.#drives.has(slot)) throw new Error(`${slot} is not plugged in`)
    if (kind !== 'scsi' && kind !== 'virtio') throw new Error(`${slot}: ${kind} can't be unplugged while the machine runs`)
    // With a controller of its own the disk goes with it, once the guest has let go of that.
    const single = kind === 'scsi' && this.#scsihw === 'virtio-scsi-single'
    await this.#deleteDevice(single ? String(scsiController(this.#scsihw, index).id) : slot)
    const node = this.#nodes.get(slot)
    this.#drives.delete(slot)
    this.#nodes.delete(slot)
    if (node !== undefined) await this.#qmp.execute('blockdev-del', { 'node-name': node })
  }

  async #deleteDevice(id: string): Promise<void> {
    const what = `unplugging ${id}`
    const gone = this.#qmp.waitFor(
      ({ event, data }) => (event === 'DEVICE_DELETED' || event === 'DEVICE_UNPLUG_GUEST_ERROR') && data.device === id,
      unplugTimeoutMs,
      what,
    )
    gone.catch(() => {})
    try {
      await this.#qmp.execute('device_del', { id })
    } catch (error) {
      // An earlier attempt that nobody waits for any more has come to its end.
      if (error instanceof QmpError && error.message.includes('not found')) return
      throw error
    }
    if ((await gone).event !== 'DEVICE_DELETED') throw new Error(`${what}: the guest refused`)
  }

  async changeMedium(slot: string, path: string | null): Promise<void> {
    const drive = this.#drives.get(slot)
    if (drive?.media !== 'cdrom') throw new Error(`${slot} is not a CD drive`)
    const node = path === null ? undefined : this.#newNode(slot)
    if (path !== null) {
      const format = path.endsWith('.qcow2') ? 'qcow2' : 'raw'
      await this.#qmp.execute('blockdev-add', blockNode({ ...drive, format }, path, node!))
    }
    // By force, as Proxmox does it: a guest that has mounted the CD has locked the tray.
    await this.#qmp.execute('blockdev-open-tray', { id: slot, force: true })
    const before = this.#nodes.get(slot)
    if (before !== undefined) {
      await this.#qmp.execute('blockdev-remove-medium', { id: slot })
      await this.#qmp.execute('blockdev-del', { 'node-name': before })
      this.#nodes.delete(slot)
    }
    if (node !== undefined) {
      await this.#qmp.execute('blockdev-insert-medium', { id: slot, 'node-name': node })
      this.#nodes.set(slot, node)
    }
    await this.#qmp.execute('blockdev-close-tray', { id: slot })
  }

  #newNode(slot: string): string {
    return `drive-${slot}-${++this.#nodeCount}`
  }

  async resizeDrive(slot: string, bytes: number): Promise<void> {
    const node = this.#nodes.get(slot)
    if (node === undefined) throw new Error(`${slot} has no image`)
    await this.#qmp.execute('block_resize', { 'node-name': node, size: bytes })
  }

  async plugNic(nic: NicSpec): Promise<void> {
    const device = nicDevice(nic)
    const link = await this.#surroundings.attach(nic)
    try {
      await this.#qmp.execute('netdev_add', nicBackend(nic, link))
      try {
        await this.#qmp.execute('device_add', device)
      } catch (error) {
        await this.#qmp.execute('netdev_del', { id: nic.slot }).catch(() => {})
        throw error
      }
    } catch (error) {
      await this.#surroundings.detach(nic.slot)
      throw error
    }
    this.#links.set(nic.slot, link)
    if (nic.linkDown) await this.#qmp.execute('set_link', { name: nic.slot, up: false })
  }

  async unplugNic(slot: string): Promise<void> {
    if (!this.#links.has(slot)) throw new Error(`${slot} is not plugged in`)
    await this.#deleteDevice(slot)
    await this.#qmp.execute('netdev_del', { id: slot })
    this.#links.delete(slot)
    await this.#surroundings.detach(slot)
  }

  async sendKey(key: string): Promise<void> {
    await this.#qmp.execute('send-key', { keys: key.split('-').map((data) => ({ type: 'qcode', data })) })
  }

  async agent(command: string, args?: Record<string, unknown>, timeoutMs = 30_000): Promise<unknown> {
    return await this.#agent.execute(command, args, timeoutMs)
  }

  async stats(): Promise<MachineStats> {
    const [stat, status] = await Promise.all([
      readFile(`/proc/${this.pid}/stat`, 'utf8'),
      readFile(`/proc/${this.pid}/status`, 'utf8'),
    ]).catch(() => {
      throw new Error('the machine is not running')
    })
    // proc(5): fields 14 and 15, in ticks of 1/100 s, counted behind the command's name
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const seconds = (Number(fields[11]) + Number(fields[12])) / 100
    const now = performance.now() / 1000
    const before = this.#lastCpu
    this.#lastCpu = { seconds, at: now }
    const cpuFraction = before && now > before.at ? (seconds - before.seconds) / (now - before.at) : 0
    return {
      cpuFraction,
      memoryBytes: Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) * 1024,
      ...(troubles.includes(this.#runState) ? { trouble: this.#runState } : {}),
    }
  }
}
