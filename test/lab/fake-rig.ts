/** What tests of fake guests share: a driver in a folder of its own, a base, machines with a seed, an SSH client. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import ssh2, { type Client, type ConnectConfig } from 'ssh2'
import { renderIso } from '../../core/formats/iso.ts'
import { guestContents } from '../../demo/guest-contents.ts'
import type { DriveSpec, Machine, MachineSpec } from '../../lab/compute/driver.ts'
import type { BehaviourRule } from '../../lab/compute/fake/behaviour.ts'
import { createFakeDriver, type FakeDriver } from '../../lab/compute/fake/driver.ts'
import type { GuestContents } from '../../lab/compute/fake/programs.ts'
import type { Recorder } from '../../lab/record.ts'

export const key = ssh2.utils.generateKeyPairSync('ed25519')

export interface Ran {
  readonly stdout: string
  readonly stderr: string
  readonly exitCode: number
}

export interface MachineOptions {
  readonly vmid: number
  readonly address: string
  /** Path of the system disk; made from the base if it is not there. */
  readonly disk: string
  readonly userData?: string
  readonly instance?: string
  readonly files?: Readonly<Record<string, string>>
  readonly drives?: readonly DriveSpec[]
  readonly change?: Partial<MachineSpec>
}

export class Rig {
  readonly folder: string
  readonly driver: FakeDriver
  readonly #clients: Client[] = []

  private constructor(folder: string, driver: FakeDriver) {
    this.folder = folder
    this.driver = driver
  }

  static async create(
    behaviours: readonly BehaviourRule[] = [],
    contents: GuestContents = guestContents,
    recorder?: Recorder,
  ): Promise<Rig> {
    const folder = await mkdtemp(join(tmpdir(), 'fake-guest-'))
    const driver = await createFakeDriver({
      stateDir: join(folder, 'state'),
      subnet: '10.77.0.0/24',
      behaviours,
      contents,
      ...(recorder && { recorder }),
    })
    // A real image as users import one: a qcow2 header is all that the fake looks at.
    const header = Buffer.alloc(4096)
    header.write('QFI\xfb', 0, 'latin1')
    header.writeUInt32BE(3, 4)
    header.writeBigUInt64BE(3n << 30n, 24)
    await writeFile(join(folder, 'debian.qcow2'), header)
    await driver.volumes.copy(join(folder, 'debian.qcow2'), join(folder, 'base.qcow2'), { format: 'qcow2' })
    return new Rig(folder, driver)
  }

  /** A rig with one machine, started from the base. */
  static async withMachine(vmid: number, address: string, contents?: GuestContents): Promise<{ rig: Rig; machine: Machine }> {
    const rig = await Rig.create([], contents)
    await rig.driver.volumes.link(rig.path('base.qcow2'), rig.path('disk.qcow2'))
    return { rig, machine: await rig.start({ vmid, address, disk: 'disk.qcow2' }) }
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  async spec(options: MachineOptions): Promise<MachineSpec> {
    const mac = `BC:24:11:00:00:${options.vmid.toString(16).slice(-2).padStart(2, '0').toUpperCase()}`
    const seed = new Map<string, string>(
      Object.entries({
        'meta-data': `instance-id: ${options.instance ?? `iid-${options.vmid}`}\nlocal-hostname: vm${options.vmid}\n`,
        'user-data':
          options.userData ??
          `#cloud-config\nusers:\n  - name: packer\n    sudo: ALL=(ALL) NOPASSWD:ALL\n    shell: /bin/bash\n    ssh_authorized_keys: ['${key.public.trim()}']\n`,
        'network-config': `version: 2\nethernets:\n  lan:\n    match: {macaddress: '${mac.toLowerCase()}'}\n    set-name: eth0\n    addresses: [${options.address}/24]\n    routes: [{to: default, via: 10.77.0.1}]\n    nameservers: {addresses: [10.77.0.1]}\n`,
        ...options.files,
      }),
    )
    await writeFile(this.path(`seed-${options.vmid}.iso`), renderIso('cidata', seed))
    await mkdir(this.path(`run-${options.vmid}`), { recursive: true })
    return {
      vmid: options.vmid,
      name: `vm${options.vmid}`,
      cores: 2,
      sockets: 1,
      memoryMiB: 1024,
      cpu: 'host',
      uuid: crypto.randomUUID(),
      scsihw: 'virtio-scsi-pci',
      boot: ['scsi0'],
      agent: true,
      drives: [
        { slot: 'scsi0', path: this.path(options.disk), format: 'qcow2', media: 'disk' },
        { slot: 'scsi3', path: this.path(`seed-${options.vmid}.iso`), format: 'raw', media: 'cdrom' },
        ...(options.drives ?? []),
      ],
      nics: [{ slot: 'net0', model: 'virtio', mac, bridge: 'vmbr0', firewall: true }],
      serialLog: this.path(`serial-${options.vmid}.log`),
      runDir: this.path(`run-${options.vmid}`),
      ...options.change,
    }
  }

  async start(options: MachineOptions): Promise<Machine> {
    return this.driver.start(await this.spec(options))
  }

  /** Tries again until `work` succeeds: a guest needs a moment to boot. */
  async until<T>(work: () => Promise<T>, milliseconds = 5000): Promise<T> {
    const end = Date.now() + milliseconds
    for (;;) {
      try {
        return await work()
      } catch (error) {
        if (Date.now() > end) throw error
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
    }
  }

  async connect(host: string, options: ConnectConfig = {}): Promise<Client> {
    const sock = await this.until(() => this.driver.network.dial(host, 22))
    const client = new ssh2.Client()
    this.#clients.push(client)
    await new Promise<void>((resolve, reject) => {
      client.once('ready', resolve)
      client.on('error', reject)
      client.connect({ sock, username: 'packer', privateKey: key.private, ...options })
    })
    return client
  }

  async run(client: Client, command: string, input = ''): Promise<Ran> {
    return new Promise((resolve, reject) => {
      client.exec(command, (error, channel) => {
        if (error) return reject(error)
        let stdout = ''
        let stderr = ''
        let exitCode = -1
        channel.on('data', (chunk: Buffer) => {
          stdout += chunk.toString()
        })
        channel.stderr.on('data', (chunk: Buffer) => {
          stderr += chunk.toString()
        })
        channel.on('exit', (code: number) => {
          exitCode = code
        })
        channel.on('close', () => resolve({ stdout, stderr, exitCode }))
        channel.end(input)
      })
    })
  }

  async agentUp(machine: Machine): Promise<void> {
    await this.until(() => machine.agent('guest-ping'))
  }

  /** Runs a program through the guest agent. */
  async agentExec(machine: Machine, ...argv: string[]): Promise<Ran> {
    const { pid } = (await machine.agent('guest-exec', { path: argv[0], arg: argv.slice(1), 'capture-output': true })) as { pid: number }
    const status = await this.until(async () => {
      const now = (await machine.agent('guest-exec-status', { pid })) as {
        exited: boolean
        exitcode: number
        'out-data'?: string
        'err-data'?: string
      }
      if (!now.exited) throw new Error('still running')
      return now
    })
    return {
      exitCode: status.exitcode,
      stdout: Buffer.from(status['out-data'] ?? '', 'base64').toString(),
      stderr: Buffer.from(status['err-data'] ?? '', 'base64').toString(),
    }
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.end()
    await this.driver.close()
    await rm(this.folder, { recursive: true, force: true })
  }
}
