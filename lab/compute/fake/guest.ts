/** One fake guest: disks, files, units, network and log-ins of a modelled Debian, from power-on to power-off. */
import { appendFileSync } from 'node:fs'
import type { Duplex } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import type { Recorder } from '../../record.ts'
import type { MachineSpec, NicSpec } from '../driver.ts'
import type { Behaviour } from './behaviour.ts'
import { finalStage, localStage, networkStage, type CloudInitResult } from './cloudinit.ts'
import { programs } from './commands/index.ts'
import { makeTemporaryFiles } from './commands/system.ts'
import { deviceLink, deviceNode, Devices, udevLinks, type Device } from './devices.ts'
import { Docker } from './docker.ts'
import { Filesystem, type BlobStore } from './filesystem.ts'
import { Firewall } from './nftables.ts'
import { configureInterfaces, type Address, type Interface } from './interfaces.ts'
import type { GuestContents } from './programs.ts'
import type { Program } from './shell.ts'
import { Locks } from './locks.ts'
import { makeHostKeys, serveSsh } from './ssh.ts'
import { readSshdConfig, type SshdConfig } from './sshd-config.ts'
import { Systemd } from './systemd.ts'
import { Udev } from './udev.ts'
import { ROOT, Vfs } from './vfs.ts'
import { mountVolatile } from './volatile.ts'

/** What a guest needs from the lab around it. */
export interface World {
  readonly blobs: BlobStore
  readonly packages: readonly string[]
  readonly contents: GuestContents
  /** What is in `contents`, as models. */
  readonly programFiles: Readonly<Record<string, Program>>
  readonly bytesOf: (path: string) => Promise<number>
  /** Can this guest reach `port` beyond the router now? */
  readonly internet: (guest: Guest, port: number) => boolean
  /** Does anybody else in the LAN answer for this address? */
  readonly reachable: (from: Guest, address: string) => boolean
  /** Whoever in the LAN this guest gets to on that port. */
  readonly neighbour: (from: Guest, address: string, port: number) => Guest | undefined
  readonly behaviour: (spec: MachineSpec) => Behaviour
  readonly log: (line: string) => void
  readonly recorder: Recorder | undefined
}

export interface ServiceHook {
  /** Resolves to a problem, or undefined. */
  start?(): string | undefined | Promise<string | undefined>
  stop?(): void | Promise<void>
}

export type PowerEvent = 'powerdown' | 'reboot'

const programNames: ReadonlySet<string> = new Set(Object.keys(programs))
const NIL = new Filesystem('tmpfs')

/** The same, each telling of itself. */
function recorded(all: Readonly<Record<string, Program>>, vmid: number, recorder: Recorder): Readonly<Record<string, Program>> {
  const watched =
    (name: string, program: Program): Program =>
    async (args, run) => {
      try {
        const answer = await program(args, run)
        recorder.program(vmid, [name, ...args], answer)
        return answer
      } catch (error) {
        recorder.program(vmid, [name, ...args], { error: error instanceof Error ? error.message : String(error) })
        throw error
      }
    }
  return Object.fromEntries(Object.entries(all).map(([name, program]) => [name, watched(name, program)]))
}

export class Guest {
  readonly spec: MachineSpec
  readonly world: World
  readonly devices: Devices
  readonly interfaces: Interface[] = []
  /** What `lo` has besides its own. */
  loopback: Address[] = []
  readonly programs: Readonly<Record<string, Program>>
  readonly programNames: ReadonlySet<string> = programNames
  readonly programFiles: Readonly<Record<string, Program>>
  vfs = new Vfs(NIL, 'none')
  systemd = new Systemd(this)
  udev = new Udev(this)
  docker = new Docker(this)
  firewall = new Firewall()
  locks = new Locks()
  state: 'off' | 'booting' | 'running' | 'no-system' = 'off'
  cloudInit: CloudInitResult = { status: 'running', errors: [], warnings: [] }
  cloudInitDone: Promise<void> = Promise.resolve()
  gateway: string | undefined
  bootId = ''
  bootedAt = 0
  paused = false
  /** What sshd has read when it started; undefined while it does not run. */
  #sshd: SshdConfig | undefined
  /** Called when the guest switches itself off or restarts. */
  onPower: (event: PowerEvent) => void = () => {}
  readonly serviceHooks: Record<string, ServiceHook> = {}
  #pid = 400
  readonly #connections = new Set<Duplex>()
  readonly #journalLines: { unit: string; text: string; at: number }[] = []
  #run = 0
  #life = new AbortController()

  constructor(spec: MachineSpec, world: World) {
    this.spec = spec
    this.world = world
    this.programFiles = world.programFiles
    this.programs = world.recorder === undefined ? programs : recorded(programs, spec.vmid, world.recorder)
    this.devices = new Devices(world)
    for (const nic of spec.nics) this.addNic(nic)
    this.serviceHooks['ssh.service'] = {
      start: () => {
        this.#sshd = readSshdConfig(this.vfs)
        return this.#sshd ? undefined : 'sshd: no hostkeys available -- exiting.'
      },
      stop: () => {
        this.#sshd = undefined
      },
    }
    this.serviceHooks['docker.service'] = { start: () => this.docker.start(), stop: () => this.docker.pause() }
  }

  get hostname(): string {
    return this.vfs.exists('/etc/hostname') ? this.vfs.readText('/etc/hostname').trim() || 'localhost' : 'localhost'
  }
  /** Aborted when the guest goes off, or starts anew. */
  get life(): AbortSignal {
    return this.#life.signal
  }
  get behaviour(): Behaviour {
    return this.world.behaviour(this.spec)
  }
  nextPid(): number {
    return ++this.#pid
  }

  /** The agent answers: installed, started, channel there. */
  get agentUp(): boolean {
    return (
      this.state === 'running' &&
      this.spec.agent &&
      this.behaviour.agent !== 'hung' &&
      this.systemd.state('qemu-guest-agent.service') === 'active'
    )
  }

  get sshUp(): boolean {
    return this.state === 'running' && this.behaviour.ssh !== 'never' && this.#sshd !== undefined
  }

  addNic(nic: NicSpec): void {
    this.interfaces.push({
      slot: nic.slot,
      mac: nic.mac,
      name: `ens${18 + Number(nic.slot.replace(/\D/g, ''))}`,
      up: false,
      addresses: [],
      nic,
    })
  }

  /** Loads the disks. Rejects if one can't be read. */
  async powerOn(): Promise<void> {
    for (const drive of this.spec.drives) await this.devices.attach(drive)
    void this.#boot()
  }

  async #boot(): Promise<void> {
    const run = ++this.#run
    this.state = 'booting'
    this.cloudInit = { status: 'running', errors: [], warnings: [] }
    this.serial('SeaBIOS (fake guest)')
    await delay(this.behaviour.bootMs ?? 20)
    if (this.#run !== run) return
    const order = [...this.spec.boot, ...this.spec.drives.map((drive) => drive.slot)]
    const system = order
      .flatMap((slot) => this.devices.all().filter((device) => device.disk.slot === slot && device.disk.media === 'disk'))
      .find(({ content }) => content.kind === 'filesystem' && content.filesystem.root.entries.get('etc')?.kind === 'directory')
    if (system?.content.kind !== 'filesystem') {
      this.state = 'no-system'
      this.serial('Boot failed: not a bootable disk\nNo bootable device.')
      return
    }
    this.#life = new AbortController()
    this.bootId = crypto.randomUUID()
    this.bootedAt = Date.now()
    this.vfs = new Vfs(system.content.filesystem, `/dev/${system.name}`)
    this.systemd = new Systemd(this)
    this.udev = new Udev(this)
    this.docker = new Docker(this)
    this.firewall = new Firewall()
    this.locks = new Locks()
    this.loopback = []
    this.serial(`Linux version 6.12.48+deb13-cloud-amd64 (fake guest ${this.spec.vmid})`)
    try {
      await this.#bring(run)
    } catch (error) {
      this.serial(`Kernel panic - not syncing: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
      this.world.log(`fake guest ${this.spec.vmid}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
    }
  }

  async #bring(run: number): Promise<void> {
    mountVolatile(this)
    for (const device of this.devices.all()) this.addDeviceNodes(device)
    makeTemporaryFiles(this)
    let cloud: ReturnType<typeof localStage>
    const errors: string[] = []
    try {
      cloud = this.vfs.exists('/usr/bin/cloud-init') && !this.vfs.exists('/etc/cloud/cloud-init.disabled') ? localStage(this) : undefined
    } catch (error) {
      errors.push(error instanceof Error ? error.message : String(error))
    }
    const network = configureInterfaces(this.vfs, this.interfaces)
    this.gateway = network.gateway
    if (network.nameservers.length > 0)
      this.vfs.write('/etc/resolv.conf', network.nameservers.map((each) => `nameserver ${each}\n`).join(''))
    if (cloud?.fresh) errors.push(...(await networkStage(this, cloud.config)))
    if (this.#run !== run) return
    if (cloud?.fresh) makeHostKeys(this.vfs, cloud.config)
    let finished = (): void => {}
    this.cloudInitDone = new Promise((resolve) => {
      finished = resolve
    })
    this.state = 'running'
    await this.systemd.boot()
    if (this.#run !== run) return
    if (this.vfs.exists('/etc/ssh/ssh_host_ed25519_key.pub'))
      this.serial(`SSH host key: ${this.vfs.readText('/etc/ssh/ssh_host_ed25519_key.pub').trim()}`)
    this.serial(`Debian GNU/Linux 13 ${this.hostname} ttyS0\n\n${this.hostname} login:`)
    errors.push(...(cloud?.fresh ? await finalStage(this, cloud.config) : []))
    if (this.#run !== run) return finished()
    this.cloudInit =
      cloud || errors.length > 0
        ? { status: errors.length > 0 ? 'error' : 'done', errors, warnings: cloud?.warnings ?? [] }
        : { status: 'disabled', errors: [], warnings: [] }
    for (const unit of ['cloud-init-local', 'cloud-init-main', 'cloud-init-network', 'cloud-config', 'cloud-final'])
      if (cloud) this.systemd.set(`${unit}.service`, 'active')
    this.serial(`Cloud-init v. 25.1.4 finished: ${this.cloudInit.status}`)
    await this.devices.flush()
    finished()
  }

  /** Makes /dev entries of a device, udev's and the rules' links included; returns the links' paths. */
  addDeviceNodes(device: Device): void {
    this.vfs.place(`/dev/${device.name}`, deviceNode(device))
    for (const link of [...udevLinks(device), ...this.udev.apply(device).links]) {
      this.vfs.mkdir(`/dev/${link.slice(0, Math.max(0, link.lastIndexOf('/')))}`, ROOT, { parents: true })
      this.vfs.place(`/dev/${link}`, deviceLink(link, device))
    }
  }

  /** Paths below /dev that lead to the disk or its partitions. */
  devicePaths(diskName: string): string[] {
    return this.vfs.paths('/dev').filter((path) => this.deviceAt(path)?.disk.name === diskName)
  }

  /** Makes the links right after a disk's content has changed (a new file system has a new UUID). */
  refreshDevice(name: string): void {
    for (const path of this.vfs.paths('/dev/disk')) {
      const node = this.vfs.lookup(path, ROOT, false)
      if (node.kind === 'link' && node.target.endsWith(`/${name}`)) this.vfs.remove(path)
    }
    const device = this.devices.find(name)
    if (!device) return
    this.addDeviceNodes(device)
    // The kernel's change event: udev's rules run again, a little later.
    setTimeout(() => {
      if (this.state === 'running') void this.systemd.deviceAppeared(device)
    }, 2)
  }

  deviceAt(path: string): Device | undefined {
    if (!this.vfs.exists(path)) return undefined
    const node = this.vfs.lookup(path, ROOT)
    return node.kind === 'block' ? this.devices.find(node.disk) : undefined
  }

  /** Mounts a device, `LABEL=…`, `UUID=…` or a tmpfs. Returns mount(8)'s complaint, or undefined. */
  mountDevice(what: string, where: string, type?: string, options?: string): string | undefined {
    if (what === 'tmpfs' || type === 'tmpfs') {
      const filesystem = new Filesystem('tmpfs')
      const mode = /mode=([0-7]+)/.exec(options ?? '')?.[1]
      if (mode !== undefined) filesystem.root.mode = Number.parseInt(mode, 8)
      this.vfs.mount(where, filesystem, what, options ?? 'rw,relatime')
      return undefined
    }
    const [, tag, value] = /^(LABEL|UUID)=(.*)$/.exec(what) ?? []
    const device =
      tag === undefined
        ? this.deviceAt(what)
        : this.devices
            .all()
            .find(
              ({ content }) =>
                content.kind === 'filesystem' && (tag === 'LABEL' ? content.filesystem.label : content.filesystem.uuid) === value,
            )
    if (!device)
      return tag !== undefined
        ? `mount: ${where}: can't find ${what}.`
        : type === undefined
          ? `mount: ${where}: special device ${what} does not exist.`
          : `mount: ${where}: fsconfig() failed: ${what}: Can't lookup blockdev.`
    if (device.content.kind !== 'filesystem')
      return `mount: ${where}: wrong fs type, bad option, bad superblock on ${what}, missing codepage or helper program, or other error.`
    if (type !== undefined && type !== 'auto' && type !== device.content.filesystem.type)
      return `mount: ${where}: wrong fs type, bad option, bad superblock on ${what}, missing codepage or helper program, or other error.`
    if (this.vfs.mounts.some((mount) => mount.target === where && mount.source === `/dev/${device.name}`))
      return `mount: ${where}: /dev/${device.name} already mounted on ${where}.`
    this.vfs.mount(
      where,
      device.content.filesystem,
      `/dev/${device.name}`,
      options ?? (device.content.filesystem.readOnly ? 'ro,relatime' : 'rw,relatime'),
    )
    return undefined
  }

  /** Shows a folder at another place too. Owners below it are the same at both: a mapping of user IDs (X-mount.idmap) is modelled for the folder alone. */
  bindFolder(what: string, where: string, options = ''): string | undefined {
    const source = this.vfs.lookup(what, ROOT)
    if (source.kind !== 'directory') return `mount: ${where}: mount point is not a directory.`
    const from = this.vfs.mountOf(what)
    const [, on, as] = /X-mount\.idmap=(\d+):(\d+):1(?:,|$)/.exec(options)?.map(Number) ?? []
    const swapped = (key: string | symbol, value: unknown): unknown =>
      key !== 'uid' && key !== 'gid' ? value : value === on ? as : value === as ? on : value
    // Whatever becomes of the folder's owner at either place is seen at the other.
    const root =
      on === undefined
        ? source
        : new Proxy(source, {
            get: (node, key) => swapped(key, Reflect.get(node, key)),
            set: (node, key, value) => Reflect.set(node, key, swapped(key, value)),
          })
    this.vfs.mount(
      where,
      new Filesystem(from.filesystem.type, { root, uuid: from.filesystem.uuid, label: from.filesystem.label, origin: from.filesystem }),
      from.source,
    )
    return undefined
  }

  /** Handles a TCP connection to one of the guest's ports; false if nothing listens there. */
  accept(port: number, socket: Duplex): boolean {
    if (port !== 22 || !this.sshUp || !this.#sshd) return false
    this.#connections.add(socket)
    socket.once('close', () => this.#connections.delete(socket))
    serveSsh(this, this.#sshd, socket)
    return true
  }

  journal(unit: string, text: string): void {
    for (const line of text.split('\n').filter(Boolean)) this.#journalLines.push({ unit, text: line, at: Date.now() })
  }

  journalOf(unit?: string): readonly { unit: string; text: string; at: number }[] {
    return unit === undefined ? this.#journalLines : this.#journalLines.filter((line) => line.unit === unit)
  }

  /** What goes on in a guest that was cut off while it booted is heard of by nobody. */
  serial(text: string): void {
    if (this.state === 'off') return
    try {
      appendFileSync(this.spec.serialLog, `${text}\n`)
    } catch {
      /* the log's folder may be gone with the VM */
    }
  }

  /** The guest's own shutdown: units stop, disks are written. */
  async powerOff(event: PowerEvent): Promise<void> {
    if (this.state === 'off') return
    this.serial(event === 'reboot' ? 'reboot: Restarting system' : 'reboot: Power down')
    await this.docker.stop()
    await this.cut()
    if (event === 'reboot') void this.#boot()
    this.onPower(event)
  }

  /** Like pulling the plug, but what was written is on the disks. */
  async cut(): Promise<void> {
    this.#run++
    // Docker restarts none of those without a restart policy after a power cut; in its store they would go on.
    this.docker.stop()
    this.state = 'off'
    this.systemd.halt()
    this.#life.abort()
    for (const socket of this.#connections) socket.destroy()
    this.#connections.clear()
    this.#sshd = undefined
    for (const card of this.interfaces) {
      card.up = false
      card.addresses = []
    }
    await this.devices.flush()
  }

  async reset(): Promise<void> {
    await this.cut()
    void this.#boot()
  }
}
