/**
 * Guests that know only `slotctl`: what the rollout sees of a slot, in milliseconds. Volumes and network are the
 * lab's fake ones. What is on a data disk is remembered by the file's inode, which a reassignment keeps.
 */
import { statSync } from 'node:fs'
import { createFakeDriver } from '../../lab/compute/fake/driver.ts'
import {
  AgentError,
  AgentUnavailable,
  type ComputeDriver,
  type DriveSpec,
  type Machine,
  type MachineExit,
  type MachineSpec,
  type MachineStats,
} from '../../lab/compute/driver.ts'
import { readIsoFile } from '../../lab/iso/read.ts'

export interface SlotWorld {
  /** File systems by inode: which guests have written to them. */
  readonly disks: Map<number, { readonly formattedBy: string; readonly mountedBy: string[] }>
  /** Every slotctl call, in order, e.g. `home-serena-blue format`. */
  readonly calls: string[]
  /** Problems that a VM of this name has. */
  readonly ill: Map<string, string>
  /** VMs of these names have no agent. */
  readonly mute: Set<string>
  /** The same, until they are reset. */
  readonly hung: Set<string>
  /** What stands on a disk that is neither empty nor ours, by inode. */
  readonly foreign: Set<number>
}

export const newWorld = (): SlotWorld => ({
  disks: new Map(),
  calls: [],
  ill: new Map(),
  mute: new Set(),
  hung: new Set(),
  foreign: new Set(),
})

export async function createSlotDriver(
  options: { stateDir: string; subnet: string; log: (line: string) => void },
  world: SlotWorld,
): Promise<ComputeDriver> {
  const fake = await createFakeDriver(options)
  return {
    kind: 'fake',
    volumes: fake.volumes,
    network: fake.network,
    start: async (spec) => new SlotMachine(spec, world),
    close: () => fake.close(),
  }
}

class SlotMachine implements Machine {
  readonly pid = process.pid
  readonly exited: Promise<MachineExit>
  readonly #exit: (exit: MachineExit) => void
  readonly #spec: MachineSpec
  readonly #world: SlotWorld
  readonly #drives = new Map<string, DriveSpec>()
  readonly #results = new Map<number, unknown>()
  #mounted = false

  constructor(spec: MachineSpec, world: SlotWorld) {
    const { promise, resolve } = Promise.withResolvers<MachineExit>()
    this.exited = promise
    this.#exit = resolve
    this.#spec = spec
    this.#world = world
    for (const drive of spec.drives) this.#drives.set(drive.slot, drive)
  }

  async shutdown(): Promise<void> {
    this.#exit({ reason: 'powerdown' })
  }
  async stop(): Promise<void> {
    this.#exit({ reason: 'stopped' })
  }
  async reset(): Promise<void> {
    this.#mounted = false
    this.#world.hung.delete(this.#spec.name)
  }
  async suspend(): Promise<void> {}
  async resume(): Promise<void> {}
  async plugDrive(drive: DriveSpec): Promise<void> {
    this.#drives.set(drive.slot, drive)
  }
  async unplugDrive(slot: string): Promise<void> {
    if (this.#mounted) throw new Error('the test unplugged a mounted disk')
    this.#drives.delete(slot)
  }
  async changeMedium(slot: string, path: string | null): Promise<void> {
    const drive = this.#drives.get(slot)
    if (drive) this.#drives.set(slot, { ...drive, path })
  }
  async resizeDrive(): Promise<void> {}
  async plugNic(): Promise<void> {}
  async unplugNic(): Promise<void> {}
  async sendKey(): Promise<void> {}
  async stats(): Promise<MachineStats> {
    return { cpuFraction: 0, memoryBytes: 0 }
  }

  async agent(command: string, args: Record<string, unknown> = {}): Promise<unknown> {
    if (!this.#spec.agent || this.#world.mute.has(this.#spec.name) || this.#world.hung.has(this.#spec.name))
      throw new AgentUnavailable('QEMU guest agent is not running')
    switch (command) {
      case 'guest-ping':
        return {}
      case 'guest-network-get-interfaces':
        return [
          {
            name: 'eth0',
            'hardware-address': this.#spec.nics[0]?.mac.toLowerCase(),
            'ip-addresses': [{ 'ip-address-type': 'ipv4', 'ip-address': (await this.#seed()).address, prefix: 24 }],
          },
        ]
      case 'guest-exec': {
        const pid = 1000 + this.#results.size
        this.#results.set(pid, await this.#run(String(args.path), (args.arg as string[] | undefined) ?? []))
        return { pid }
      }
      case 'guest-exec-status':
        return this.#results.get(Number(args.pid))
      default:
        throw new AgentError('CommandNotFound', `The command ${command} has not been found`)
    }
  }

  async #seed(): Promise<{ release: string; group: string; address: string; service: string; image: { fingerprint: string } }> {
    const path = this.#drives.get('scsi13')?.path
    if (!path) throw new AgentUnavailable('QEMU guest agent is not running')
    return JSON.parse(String((await readIsoFile(path)).files.get('golden/seed.json'))) as never
  }

  /** The inode of the data disk, if it is plugged in under the name that the guest knows it by. */
  #data(): number | undefined {
    const drive = [...this.#drives.values()].find((one) => one.serial === 'golden-data')
    return drive?.path ? statSync(drive.path).ino : undefined
  }

  async #run(path: string, [verb = '']: readonly string[]): Promise<unknown> {
    const answer = (code: number, document: object): object => ({
      exited: true,
      exitcode: code,
      'out-data': Buffer.from(JSON.stringify(document)).toString('base64'),
    })
    if (path !== '/usr/local/sbin/slotctl') return { exited: true, exitcode: 127 }
    const { name } = this.#spec
    if (verb !== 'status') this.#world.calls.push(`${name} ${verb}`)
    const disk = this.#data()
    const refused = (code: string): object => answer(1, { schema: 1, error: { code, message: code } })
    switch (verb) {
      case 'format':
        if (disk === undefined || this.#world.disks.has(disk) || this.#world.foreign.has(disk)) return refused('disk-not-blank')
        this.#world.disks.set(disk, { formattedBy: name, mountedBy: [] })
        break
      case 'activate':
        if (disk === undefined || !this.#world.disks.has(disk)) return refused('disk-absent')
        this.#mounted = true
        this.#world.disks.get(disk)?.mountedBy.push(name)
        break
      case 'yield':
        this.#mounted = false
        break
      case 'drain':
      case 'status':
        break
      default:
        return refused('usage')
    }
    return answer(0, await this.#status(disk))
  }

  async #status(disk: number | undefined): Promise<object> {
    const seed = await this.#seed()
    const ill = this.#world.ill.get(this.#spec.name)
    const dataDisk =
      disk === undefined
        ? 'absent'
        : this.#mounted
          ? 'mounted'
          : this.#world.disks.has(disk)
            ? 'ready'
            : this.#world.foreign.has(disk)
              ? 'foreign'
              : 'blank'
    return {
      schema: 1,
      release: seed.release,
      image: seed.image.fingerprint,
      group: seed.group,
      slot: 'blue',
      roles: [],
      active: this.#mounted,
      dataDisk,
      services: { nginx_proxy: { state: 'running' } },
      missing: [],
      serviceAddress: { address: seed.service, held: this.#mounted },
      healthy: ill === undefined,
      problems: ill === undefined ? [] : [ill],
    }
  }
}
