import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, mkdtemp, mkdir, open, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { duplexPair, type Duplex } from 'node:stream'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { AgentError, AgentUnavailable, type DriveSpec, type Machine, type MachineSpec, type VolumeStore } from '../../lab/compute/driver.ts'
import { chooseAcceleration } from '../../lab/compute/qemu/acceleration.ts'
import { Agent } from '../../lab/compute/qemu/agent.ts'
import { qemuArguments } from '../../lab/compute/qemu/arguments.ts'
import { createQemuDriver, type QemuDriver } from '../../lab/compute/qemu/driver.ts'
import { createVolumeStore } from '../../lab/compute/qemu/volumes.ts'
import { missingPackages } from '../../lab/debian/packages.ts'
import { run } from '../../lab/network/command.ts'
import { networkImpossible } from './network-guests.ts'

const noImages = missingPackages(['qemu-utils']).length > 0
const noMachines = networkImpossible ?? (missingPackages(['qemu-system-x86']).length > 0 ? 'qemu-system-x86' : undefined)
const MiB = 2 ** 20

const machineSpec = (folder: string, rest: Partial<MachineSpec> = {}): MachineSpec => ({
  vmid: 100,
  name: 'empty',
  cores: 1,
  sockets: 1,
  memoryMiB: 64,
  cpu: 'host',
  uuid: '6b0a1f2e-0000-4000-8000-000000000100',
  scsihw: 'virtio-scsi-pci',
  boot: ['scsi0'],
  drives: [],
  nics: [],
  agent: true,
  serialLog: join(folder, 'serial.log'),
  runDir: folder,
  ...rest,
})
const disk = (slot: string, path: string, rest: Partial<DriveSpec> = {}): DriveSpec => ({
  slot,
  path,
  format: 'qcow2',
  media: 'disk',
  ...rest,
})
const cd = (slot: string, path: string | null): DriveSpec => ({ slot, path, format: 'raw', media: 'cdrom' })

it.skipIf(noMachines !== undefined || !existsSync('/dev/kvm'))(
  `KVM is not used unless it booted a kernel, and is tried once (needs ${noMachines ?? '/dev/kvm'})`,
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sgl-test-'))
    const said: string[] = []
    const choose = () =>
      chooseAcceleration({ log: (line) => void said.push(line), kernel: join(folder, 'no-kernel'), cacheDir: join(folder, 'cache') })
    expect([await choose(), await choose()]).toEqual(['tcg', 'tcg'])
    expect(said).toHaveLength(2)
    await rm(folder, { recursive: true })
  },
)

describe('the command line of a machine', () => {
  const devices = (spec: MachineSpec) => {
    const args = qemuArguments(spec, 'tcg', new Map([['net0', 'lab100i0']]))
    return args.flatMap((arg, index) => (arg === '-device' ? [JSON.parse(args[index + 1]!) as Record<string, unknown>] : []))
  }
  const device = (spec: MachineSpec, id: string) => devices(spec).find((each) => each.id === id)

  it('emulates all processors in one thread, which does not lose changes of code', () => {
    const args = qemuArguments(machineSpec('/x', { cores: 2 }), 'tcg', new Map())
    expect(args[args.indexOf('-accel') + 1]).toMatch(/^tcg,thread=single\b/)
    expect(args[args.indexOf('-smp') + 1]).toMatch(/^2,/)
  })

  it('names disks as Proxmox does, by the serial number if there is one', () => {
    const spec = machineSpec('/x', {
      drives: [disk('scsi0', '/a'), disk('scsi1', '/b', { serial: 'data' }), disk('virtio1', '/c', { serial: 'v' })],
    })
    expect(device(spec, 'scsi0')).toMatchObject({ driver: 'scsi-hd', device_id: 'drive-scsi0', bus: 'scsihw0.0', lun: 0 })
    expect(device(spec, 'scsi1')).toMatchObject({ device_id: 'data', serial: 'data', lun: 1 })
    expect(device(spec, 'virtio1')).toMatchObject({ driver: 'virtio-blk-pci', serial: 'v' })
  })

  it('boots in the given order, and from nothing else', () => {
    const spec = machineSpec('/x', { boot: ['ide2', 'scsi0'], drives: [disk('scsi0', '/a'), cd('ide2', '/i'), disk('scsi1', '/b')] })
    expect(device(spec, 'ide2')).toMatchObject({ bootindex: 0, bus: 'ide.1', unit: 0 })
    expect(device(spec, 'scsi0')).toMatchObject({ bootindex: 1 })
    expect(device(spec, 'scsi1')).not.toHaveProperty('bootindex')
  })

  it('gives each disk a controller of its own with virtio-scsi-single', () => {
    const spec = machineSpec('/x', { scsihw: 'virtio-scsi-single', drives: [disk('scsi0', '/a'), disk('scsi5', '/b')] })
    expect(
      devices(spec)
        .filter((each) => each.driver === 'virtio-scsi-pci')
        .map((each) => each.id),
    ).toEqual(['virtioscsi0', 'virtioscsi5'])
    expect(device(spec, 'scsi5')).toMatchObject({ bus: 'virtioscsi5.0' })
  })

  it('puts the first card where the guest calls it ens18', () => {
    const spec = machineSpec('/x', { nics: [{ slot: 'net0', model: 'virtio', mac: 'BC:24:11:00:00:01', bridge: 'vmbr0', firewall: true }] })
    expect(device(spec, 'net0')).toMatchObject({ addr: (18).toString(16), mac: 'BC:24:11:00:00:01' })
  })

  it.each([['scsi31'], ['floppy0'], ['virtio6'], ['ide4']])('refuses the slot %s', (slot) => {
    expect(() => devices(machineSpec('/x', { drives: [disk(slot, '/a')] }))).toThrow(slot)
  })
})

describe("the guest agent's channel", () => {
  /** An agent that answers each line with what `reply` makes of it. */
  function connect(reply: (message: { execute: string; arguments?: Record<string, unknown> }, guest: Duplex) => void): {
    agent: Agent
    heard: string[]
  } {
    const [host, guest] = duplexPair()
    const heard: string[] = []
    let text = ''
    guest.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      const lines = text.split('\n')
      text = lines.pop()!
      for (const line of lines) {
        const message = JSON.parse(line.replace('\xff', '')) as { execute: string; arguments?: Record<string, unknown> }
        heard.push(message.execute)
        reply(message, guest)
      }
    })
    return { agent: new Agent(host), heard }
  }
  const synced = (message: { execute: string; arguments?: Record<string, unknown> }, guest: Duplex): boolean => {
    if (message.execute !== 'guest-sync-delimited') return false
    guest.write(Buffer.concat([Buffer.from([0xff]), Buffer.from(`${JSON.stringify({ return: message.arguments!.id })}\n`)]))
    return true
  }

  it('says at once that nobody listens, and sends nothing', async () => {
    const { agent, heard } = connect(() => {})
    await expect(agent.execute('guest-ping', undefined, 60_000)).rejects.toBeInstanceOf(AgentUnavailable)
    expect(heard).toEqual([])
  })

  it('gets in step once, then answers in order', async () => {
    const { agent, heard } = connect(
      (message, guest) => synced(message, guest) || guest.write(`${JSON.stringify({ return: message.execute })}\n`),
    )
    agent.setOpen(true)
    expect(await Promise.all(['one', 'two'].map((command) => agent.execute(command, undefined, 1_000)))).toEqual(['one', 'two'])
    expect(heard).toEqual(['guest-sync-delimited', 'one', 'two'])
  })

  it('tells an error of the agent', async () => {
    const { agent } = connect(
      (message, guest) => synced(message, guest) || guest.write('{"error":{"class":"GenericError","desc":"no such file"}}\n'),
    )
    agent.setOpen(true)
    const failed = agent.execute('guest-file-open', { path: '/x' }, 1_000)
    await expect(failed).rejects.toBeInstanceOf(AgentError)
    await expect(failed).rejects.toMatchObject({ class: 'GenericError', message: 'no such file' })
  })

  it('an answer that comes too late is not taken for the next one', async () => {
    let late: (() => void) | undefined
    const { agent } = connect((message, guest) => {
      if (message.execute === 'slow') late = () => guest.write('{"return":"late"}\n')
      else if (message.execute === 'guest-sync-delimited' && late) {
        late()
        late = undefined
        synced(message, guest)
      } else if (!synced(message, guest)) guest.write('{"return":"right"}\n')
    })
    agent.setOpen(true)
    await expect(agent.execute('slow', undefined, 20)).rejects.toBeInstanceOf(AgentUnavailable)
    expect(await agent.execute('quick', undefined, 1_000)).toBe('right')
  })

  it('half an answer of before does not disturb', async () => {
    const { agent } = connect((message, guest) => {
      if (message.execute === 'guest-sync-delimited') guest.write('turn": "cut off')
      if (!synced(message, guest)) guest.write('{"return":{}}\n')
    })
    agent.setOpen(true)
    expect(await agent.execute('guest-ping', undefined, 1_000)).toEqual({})
  })

  it('a command under way fails when the guest goes', async () => {
    let agent: Agent
    const connection = connect((message, guest) => void (synced(message, guest) || agent.setOpen(false)))
    agent = connection.agent
    agent.setOpen(true)
    await expect(agent.execute('guest-ping', undefined, 60_000)).rejects.toBeInstanceOf(AgentUnavailable)
  })
})

describe.skipIf(noImages)('volumes (needs qemu-utils)', () => {
  let folder: string
  let volumes: VolumeStore
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sgl-test-'))
    await mkdir(join(folder, 'one'))
    await mkdir(join(folder, 'two'))
    volumes = createVolumeStore()
    return () => rm(folder, { recursive: true })
  })
  const write = async (path: string, text: string) => {
    const file = await open(path, 'r+')
    await file.write(text)
    await file.close()
  }

  it('a linked clone follows its base when that is renamed, and the lab when it is moved', async () => {
    const [base, renamed, clone, copy] = ['one/base.raw', 'one/renamed.raw', 'two/clone.qcow2', 'two/copy.raw'].map((name) =>
      join(folder, name),
    ) as [string, string, string, string]
    await volumes.create(base, { format: 'raw', bytes: 4 * MiB })
    await write(base, 'golden')
    await volumes.link(base, clone)
    expect(await volumes.info(clone)).toMatchObject({ format: 'qcow2', virtualBytes: 4 * MiB, backing: base })
    await volumes.rename(base, renamed, [clone])
    expect((await volumes.info(clone)).backing).toBe(renamed)
    const moved = await mkdtemp(join(tmpdir(), 'sgl-moved-'))
    await mkdir(join(moved, 'one'))
    await mkdir(join(moved, 'two'))
    await copyFile(renamed, join(moved, 'one/renamed.raw'))
    await copyFile(clone, join(moved, 'two/clone.qcow2'))
    await rm(renamed)
    const progress: number[] = []
    await volumes.copy(join(moved, 'two/clone.qcow2'), copy, { format: 'raw', onProgress: (fraction) => void progress.push(fraction) })
    expect((await readFile(copy, 'latin1')).slice(0, 6)).toBe('golden')
    expect(progress.at(-1)).toBe(1)
    expect((await volumes.info(copy)).backing).toBeUndefined()
    await rm(moved, { recursive: true })
  })

  it('a linked clone keeps its base when it moves to another folder itself', async () => {
    const [base, clone, moved] = ['one/base.qcow2', 'one/clone.qcow2', 'two/clone.qcow2'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ]
    await volumes.create(base, { format: 'qcow2', bytes: MiB })
    await volumes.link(base, clone)
    await volumes.rename(clone, moved)
    expect((await volumes.info(moved)).backing).toBe(base)
  })

  it('grows and does not shrink', async () => {
    const path = join(folder, 'disk.qcow2')
    await volumes.create(path, { format: 'qcow2', bytes: MiB })
    await volumes.resize(path, 3 * MiB)
    expect((await volumes.info(path)).virtualBytes).toBe(3 * MiB)
    await expect(volumes.resize(path, 2 * MiB)).rejects.toThrow('shrinking')
  })

  it('never writes over what is there', async () => {
    const [a, b] = [join(folder, 'a.raw'), join(folder, 'b.raw')] as const
    await volumes.create(a, { format: 'raw', bytes: MiB })
    await volumes.create(b, { format: 'raw', bytes: MiB })
    await write(b, 'precious')
    await expect(volumes.create(b, { format: 'raw', bytes: MiB })).rejects.toThrow('already exists')
    await expect(volumes.copy(a, b, { format: 'raw' })).rejects.toThrow('already exists')
    await expect(volumes.link(a, b)).rejects.toThrow('already exists')
    await expect(volumes.rename(a, b)).rejects.toThrow('already exists')
    expect((await readFile(b, 'latin1')).slice(0, 8)).toBe('precious')
  })

  it('a copy that fails or is given up leaves nothing behind', async () => {
    const [source, target] = [join(folder, 'a.raw'), join(folder, 'b.qcow2')] as const
    await expect(volumes.copy(source, target, { format: 'qcow2' })).rejects.toThrow('qemu-img')
    expect(existsSync(target)).toBe(false)
    await volumes.create(source, { format: 'raw', bytes: MiB })
    await expect(volumes.copy(source, target, { format: 'qcow2', signal: AbortSignal.abort() })).rejects.toThrow()
    expect(existsSync(target)).toBe(false)
  })
})

describe.skipIf(noMachines !== undefined)(`a machine without a guest system (needs ${noMachines ?? 'root and QEMU'})`, () => {
  let folder: string
  let driver: QemuDriver
  let machine: Machine
  const at = (name: string) => join(folder, name)

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sgl-test-'))
    driver = await createQemuDriver({ stateDir: folder, subnet: '10.77.0.0/24', log: () => {} })
    for (const name of ['root', 'data', 'other']) await driver.volumes.create(at(`${name}.qcow2`), { format: 'qcow2', bytes: 4 * MiB })
    for (const name of ['one.iso', 'two.iso']) await driver.volumes.create(at(name), { format: 'raw', bytes: MiB })
    machine = await driver.start(
      machineSpec(folder, {
        drives: [disk('scsi0', at('root.qcow2')), cd('ide2', at('one.iso')), cd('scsi2', null)],
        nics: [{ slot: 'net0', model: 'virtio', mac: 'BC:24:11:00:00:64', bridge: 'vmbr0', firewall: true, linkDown: true }],
      }),
    )
  })
  afterAll(async () => {
    await driver?.close()
    await rm(folder, { recursive: true, force: true })
  })

  const taps = async () =>
    [...(await run([...driver.network.bridge.enter, 'ip', '-o', 'link'])).matchAll(/lab\d+i\d+/g)].map((match) => match[0])

  it('is one process in the LAN, with a tap on the bridge', async () => {
    expect(spawnSync('ps', ['-o', 'comm=', '-p', String(machine.pid)], { encoding: 'utf8' }).stdout).toContain('qemu-system')
    expect(await taps()).toEqual(['lab100i0'])
    const stats = await machine.stats()
    expect(stats.memoryBytes).toBeGreaterThan(MiB)
    expect(stats.trouble).toBeUndefined()
  })

  it('takes and gives back disks, grows them, and frees their files', async () => {
    await machine.plugDrive(disk('scsi1', at('data.qcow2'), { serial: 'data', discard: true }))
    await expect(machine.plugDrive(disk('scsi1', at('other.qcow2')))).rejects.toThrow('in use')
    await machine.resizeDrive('scsi1', 8 * MiB)
    expect((await driver.volumes.info(at('data.qcow2'))).virtualBytes).toBe(8 * MiB)
    await machine.unplugDrive('scsi1')
    await driver.volumes.resize(at('data.qcow2'), 9 * MiB) // possible only when nobody has it open
    await machine.plugDrive(disk('scsi1', at('data.qcow2')))
    await machine.unplugDrive('scsi1')
    await expect(machine.unplugDrive('scsi1')).rejects.toThrow('not plugged in')
  })

  it('leaves nothing of a disk that it could not take', async () => {
    await expect(machine.plugDrive(disk('scsi1', at('missing.qcow2')))).rejects.toThrow('missing.qcow2')
    await expect(machine.plugDrive(disk('scsi1', at('root.qcow2')))).rejects.toThrow('lock') // scsi0 has it
    await expect(machine.plugDrive(disk('ide1', at('other.qcow2')))).rejects.toThrow("can't be hot-plugged")
    await machine.plugDrive(disk('scsi1', at('other.qcow2')))
    await machine.unplugDrive('scsi1')
  })

  it('changes CDs, and keeps the old one when the new one is missing', async () => {
    await machine.changeMedium('ide2', at('two.iso'))
    await expect(machine.changeMedium('ide2', at('three.iso'))).rejects.toThrow('three.iso')
    await machine.changeMedium('ide2', null)
    await machine.changeMedium('ide2', null)
    await machine.changeMedium('scsi2', at('one.iso'))
    await expect(machine.changeMedium('scsi0', null)).rejects.toThrow('not a CD drive')
  })

  it('takes cards', async () => {
    await machine.plugNic({ slot: 'net1', model: 'virtio', mac: 'BC:24:11:00:00:65', bridge: 'vmbr0', firewall: false })
    expect(await taps()).toEqual(['lab100i0', 'lab100i1'])
    await expect(
      machine.plugNic({ slot: 'net2', model: 'virtio', mac: 'BC:24:11:00:00:66', bridge: 'vmbr9', firewall: false }),
    ).rejects.toThrow("'vmbr9' does not exist")
    await expect(
      machine.plugNic({ slot: 'net2', model: 'abacus', mac: 'BC:24:11:00:00:66', bridge: 'vmbr0', firewall: false }),
    ).rejects.toThrow('abacus')
    expect(await taps()).toHaveLength(2)
  })

  it('knows keys', async () => {
    await machine.sendKey('ctrl-alt-delete')
    await expect(machine.sendKey('any-key')).rejects.toThrow('any')
  })

  it('has no agent, and says so at once', async () => {
    await expect(machine.agent('guest-ping')).rejects.toBeInstanceOf(AgentUnavailable)
  })

  it('stops, and gives back its taps and files', async () => {
    await machine.suspend()
    await machine.resume()
    await machine.reset()
    await machine.shutdown() // nobody listens: it goes on
    await machine.stop()
    expect(await machine.exited).toEqual({ reason: 'stopped' })
    expect(await taps()).toEqual([])
    await expect(machine.sendKey('a')).rejects.toThrow('not running')
    await expect(machine.agent('guest-ping')).rejects.toBeInstanceOf(AgentUnavailable)
    await machine.stop() // a second time does no harm
    expect((await stat(at('serial.log'))).mode & 0o777).toBe(0o600)
  })

  it('a killed one is a crash', async () => {
    const victim = await driver.start(
      machineSpec(folder, {
        agent: false,
        nics: [{ slot: 'net0', model: 'virtio', mac: 'BC:24:11:00:00:64', bridge: 'vmbr0', firewall: true }],
      }),
    )
    process.kill(victim.pid, 'SIGKILL')
    expect(await victim.exited).toMatchObject({ reason: 'crashed', detail: expect.stringContaining('SIGKILL') })
    expect(await taps()).toEqual([])
  })

  it("one that can't start leaves nothing and says why", async () => {
    const nics = [{ slot: 'net0', model: 'virtio', mac: 'BC:24:11:00:00:64', bridge: 'vmbr0', firewall: true }]
    await expect(driver.start(machineSpec(folder, { nics, drives: [disk('scsi0', at('missing.qcow2'))] }))).rejects.toThrow('missing.qcow2')
    await expect(driver.start(machineSpec(folder, { nics: [...nics, { ...nics[0]!, slot: 'net1', bridge: 'vmbr1' }] }))).rejects.toThrow(
      "'vmbr1' does not exist",
    )
    await expect(driver.start(machineSpec(folder, { nics, scsihw: 'floppy' }))).rejects.toThrow('floppy')
    expect(await taps()).toEqual([])
  })

  it('closing the lab ends machines that run', async () => {
    const last = await driver.start(
      machineSpec(folder, { drives: [disk('virtio0', at('root.qcow2')), disk('sata0', at('other.qcow2'))], scsihw: 'virtio-scsi-single' }),
    )
    await driver.close()
    expect(await last.exited).toEqual({ reason: 'stopped' })
    expect(existsSync(`/proc/${last.pid}`)).toBe(false)
    await expect(driver.start(machineSpec(folder))).rejects.toThrow('closing')
  })
})
