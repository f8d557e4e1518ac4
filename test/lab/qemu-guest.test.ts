import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import ssh2 from 'ssh2'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { renderIso } from '../../core/formats/iso.ts'
import type { Machine } from '../../lab/compute/driver.ts'
import { createQemuDriver, type QemuDriver } from '../../lab/compute/qemu/driver.ts'
import { buildBase } from '../../lab/debian/base.ts'
import { runBatch } from '../../lab/transcript/batch.ts'
import { transcript } from '../../lab/transcript/debian.ts'
import { ofRoot } from '../../lab/transcript/root.ts'
import { execByAgent, runTranscript, type Answer } from '../../lab/transcript/run.ts'

const wanted = process.env.GOLDEN_TEST_GUEST === '1'
const minutes = 60_000

/** Boots the lab's Debian base: minutes under emulation, so only when asked for. The demo boots it anyway. */
describe.skipIf(!wanted)('a real Debian guest (needs GOLDEN_TEST_GUEST=1, root and 5 minutes)', () => {
  const address = '10.77.0.50'
  const mac = 'BC:24:11:00:00:50'
  const key = ssh2.utils.generateKeyPairSync('ed25519')
  let folder: string
  let driver: QemuDriver
  let machine: Machine

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sgl-test-'))
    const log = (line: string) => console.log(line)
    const base = await buildBase({ log })
    driver = await createQemuDriver({ stateDir: folder, subnet: '10.77.0.0/24', log })
    const { volumes, network } = driver
    await volumes.copy(base.file, join(folder, 'base.qcow2'), { format: 'qcow2' })
    await volumes.link(join(folder, 'base.qcow2'), join(folder, 'disk.qcow2'))
    await volumes.resize(join(folder, 'disk.qcow2'), 8 * 2 ** 30)
    await volumes.create(join(folder, 'spare.qcow2'), { format: 'qcow2', bytes: 2 ** 30 })
    const seed = new Map([
      ['meta-data', 'instance-id: test-1\nlocal-hostname: guest\n'],
      [
        'user-data',
        `#cloud-config\nusers:\n  - name: tester\n    sudo: ALL=(ALL) NOPASSWD:ALL\n    shell: /bin/bash\n    ssh_authorized_keys: ['${key.public}']\n`,
      ],
      [
        'network-config',
        [
          'version: 2',
          'ethernets:',
          '  lan:',
          `    match: { macaddress: '${mac.toLowerCase()}' }`,
          `    addresses: [${address}/24]`,
          `    routes: [{ to: default, via: ${network.gateway} }]`,
          `    nameservers: { addresses: [${network.nameserver}] }`,
          '',
        ].join('\n'),
      ],
    ])
    await writeFile(join(folder, 'seed.iso'), renderIso('cidata', seed))
    machine = await driver.start({
      vmid: 150,
      name: 'guest',
      cores: 2,
      sockets: 1,
      memoryMiB: 1024,
      cpu: 'host',
      uuid: '6b0a1f2e-0000-4000-8000-000000000150',
      scsihw: 'virtio-scsi-pci',
      boot: ['scsi0'],
      drives: [
        { slot: 'scsi0', path: join(folder, 'disk.qcow2'), format: 'qcow2', media: 'disk', discard: true },
        { slot: 'scsi2', path: join(folder, 'spare.qcow2'), format: 'qcow2', media: 'disk', serial: 'transcript' },
        { slot: 'scsi30', path: join(folder, 'seed.iso'), format: 'raw', media: 'cdrom' },
      ],
      nics: [{ slot: 'net0', model: 'virtio', mac, bridge: 'vmbr0', firewall: true }],
      agent: true,
      serialLog: join(folder, 'serial.log'),
      runDir: folder,
    })
  }, 15 * minutes)
  afterAll(async () => {
    await driver?.close()
    await rm(folder, { recursive: true, force: true })
  })

  async function connected<T>(work: (client: ssh2.Client) => Promise<T>): Promise<T> {
    const sock = await driver.network.dial(address, 22)
    const client = new ssh2.Client()
    try {
      await new Promise<void>((resolve, reject) => {
        client.once('error', reject).once('ready', resolve)
        client.connect({ sock, username: 'tester', privateKey: key.private, readyTimeout: 30_000 })
      })
      return await work(client)
    } finally {
      client.end()
    }
  }

  const execute = (command: string, input?: string): Promise<Answer> =>
    connected(
      (client) =>
        new Promise((resolve, reject) => {
          client.exec(command, (error, channel) => {
            if (error) return reject(error)
            const said = { stdout: '', stderr: '' }
            let exitCode = -1
            channel.on('data', (chunk: Buffer) => (said.stdout += String(chunk)))
            channel.stderr.on('data', (chunk: Buffer) => (said.stderr += String(chunk)))
            channel.on('exit', (code: number | null) => {
              exitCode = code ?? -1
            })
            channel.on('close', () => resolve({ ...said, exitCode }))
            channel.end(input)
          })
        }),
    )

  const upload = (path: string, content: string): Promise<void> =>
    connected(
      (client) =>
        new Promise((resolve, reject) => {
          client.sftp((error, session) =>
            error ? reject(error) : session.writeFile(path, content, (failed) => (failed ? reject(failed) : resolve())),
          )
        }),
    )

  async function ssh(command: string): Promise<string> {
    const { stdout, stderr } = await execute(command)
    return stdout + stderr
  }

  it(
    'boots until its agent answers',
    async () => {
      await expect.poll(() => machine.agent('guest-ping', undefined, 10_000), { timeout: 8 * minutes, interval: 1_000 }).toEqual({})
      const interfaces = (await machine.agent('guest-network-get-interfaces')) as { name: string; 'hardware-address': string }[]
      expect(interfaces.find((entry) => entry.name === 'ens18')?.['hardware-address']).toBe(mac.toLowerCase())
      expect((await stat(join(folder, 'serial.log'))).mode & 0o777).toBe(0o600)
      await expect(machine.agent('guest-file-open', { path: '/nowhere' })).rejects.toMatchObject({ class: 'GenericError' })
    },
    9 * minutes,
  )

  it(
    'is reached by SSH, with its seed applied',
    async () => {
      await expect
        .poll(() => ssh('cloud-init status --wait; hostname').catch(String), { timeout: 5 * minutes, interval: 1_000 })
        .toMatch(/status: done\s+guest/)
    },
    6 * minutes,
  )

  it(
    `answers as the transcript says, which fake guests are held against (${transcript.length} steps)`,
    async () => {
      expect(
        await runTranscript({ ssh: execute, upload, agent: (command, args) => machine.agent(command, args, 60_000), address }, transcript),
      ).toEqual([])
    },
    15 * minutes,
  )

  it(
    `answers root's shell as the transcript says (${ofRoot.length} scripts in one go)`,
    async () => {
      const agent = (command: string, args?: Record<string, unknown>): Promise<unknown> => machine.agent(command, args, 60_000)
      expect(await runBatch((script) => execByAgent({ agent }, ['/bin/sh'], script), ofRoot)).toEqual([])
    },
    15 * minutes,
  )

  it(
    'survives that its kernel changes its own code while the other processor runs it',
    async () => {
      // Emulated with a thread for each processor it panics ("Oops: int3") after some tens of these.
      const turns =
        'f=/proc/sys/kernel/sched_schedstats; ( while :; do read -t 0.0001 x < <(:); done ) & noise=$!; for i in $(seq 400); do echo 1 > $f; echo 0 > $f; done; kill $noise; echo survived'
      expect(await ssh(`sudo timeout 300 bash -c '${turns}'`)).toContain('survived')
    },
    6 * minutes,
  )

  it('has the links of its disks as on Proxmox', async () => {
    expect(await ssh('ls /dev/disk/by-id')).toContain('scsi-0QEMU_QEMU_HARDDISK_drive-scsi0')
  })

  it(
    'reaches the world by name, while the internet is on',
    async () => {
      const fetched = () => ssh('curl -s -m 20 -o /dev/null -w %{http_code} http://deb.debian.org/debian/dists/trixie/Release')
      expect(await fetched()).toBe('200')
      await driver.network.setInternet(false)
      expect(await fetched()).toBe('000')
      await driver.network.setInternet(true)
    },
    minutes,
  )

  it(
    'sees a disk come, grow and go',
    async () => {
      const path = join(folder, 'data.qcow2')
      await driver.volumes.create(path, { format: 'qcow2', bytes: 2 ** 30 })
      await machine.plugDrive({ slot: 'scsi1', path, format: 'qcow2', media: 'disk' })
      const size = () => ssh('lsblk -bdno SIZE /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_drive-scsi1 || true')
      await expect.poll(size, { timeout: minutes, interval: 500 }).toMatch(/^1073741824/)
      await machine.resizeDrive('scsi1', 2 ** 31)
      await expect.poll(size, { timeout: minutes, interval: 500 }).toMatch(/^2147483648/)
      await machine.unplugDrive('scsi1')
      await expect.poll(size, { timeout: minutes, interval: 500 }).not.toMatch(/^\d/)
    },
    3 * minutes,
  )

  it(
    'sees a network card and a CD come and go',
    async () => {
      await machine.plugNic({ slot: 'net1', model: 'virtio', mac: 'BC:24:11:00:00:51', bridge: 'vmbr0', firewall: false })
      const cards = () => ssh('ls /sys/class/net')
      await expect.poll(cards, { timeout: minutes, interval: 500 }).toContain('ens19')
      await machine.unplugNic('net1')
      await expect.poll(cards, { timeout: minutes, interval: 500 }).not.toContain('ens19')
      await machine.changeMedium('scsi30', null)
      const medium = () => ssh('sudo blkid -p /dev/sr0; true')
      await expect.poll(medium, { timeout: minutes, interval: 500 }).not.toContain('cidata')
      await machine.changeMedium('scsi30', join(folder, 'seed.iso'))
      await expect.poll(medium, { timeout: minutes, interval: 500 }).toContain('cidata')
    },
    4 * minutes,
  )

  it(
    'reboots, and switches itself off when asked',
    async () => {
      const id = () => ssh('cat /proc/sys/kernel/random/boot_id').catch(() => '')
      const before = await id()
      await ssh('sudo sync') // a reset is a power cut: host keys made a minute ago could be lost
      await machine.reset()
      await expect
        .poll(async () => /^[0-9a-f-]{36}\s/.test(await id()) && (await id()) !== before, { timeout: 5 * minutes, interval: 1_000 })
        .toBe(true)
      await expect.poll(() => machine.agent('guest-ping', undefined, 10_000), { timeout: 5 * minutes, interval: 1_000 }).toEqual({})
      await machine.shutdown()
      expect(await machine.exited).toEqual({ reason: 'powerdown' })
    },
    10 * minutes,
  )
})
