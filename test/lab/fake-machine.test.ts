import { readFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { AgentError, AgentUnavailable, type DriveSpec } from '../../lab/compute/driver.ts'
import { Rig } from './fake-rig.ts'

describe('fake machines', () => {
  let rig: Rig
  beforeEach(async () => {
    rig = await Rig.create()
    await rig.driver.volumes.link(rig.path('base.qcow2'), rig.path('disk.qcow2'))
  })
  afterEach(() => rig.close())
  const start = (vmid = 150, change = {}) => rig.start({ vmid, address: `10.77.0.${vmid - 100}`, disk: 'disk.qcow2', ...change })

  it('keeps what was written when it is switched off, and clones have it', async () => {
    const machine = await start()
    await rig.agentUp(machine)
    await rig.agentExec(machine, '/bin/sh', '-c', 'echo baked > /etc/marker; head -c 100000 /dev/zero | tr "\\0" x > /var/lib/big')
    await machine.shutdown()
    expect(await machine.exited).toEqual({ reason: 'powerdown' })
    await expect(machine.agent('guest-ping')).rejects.toThrow(/not running/)

    await rig.driver.volumes.link(rig.path('disk.qcow2'), rig.path('linked.qcow2'))
    await rig.driver.volumes.copy(rig.path('disk.qcow2'), rig.path('full.qcow2'), { format: 'raw' })
    const linked = await rig.start({ vmid: 151, address: '10.77.0.51', disk: 'linked.qcow2' })
    const full = await rig.start({ vmid: 152, address: '10.77.0.52', disk: 'full.qcow2' })
    for (const clone of [linked, full]) {
      await rig.agentUp(clone)
      expect(await rig.agentExec(clone, '/bin/sh', '-c', 'cat /etc/marker; wc -c < /var/lib/big')).toMatchObject({
        stdout: 'baked\n100000\n',
      })
    }
    await rig.agentExec(linked, '/bin/sh', '-c', 'echo mine > /etc/marker')
    await linked.stop()
    expect(await linked.exited).toEqual({ reason: 'stopped' })
    const again = await rig.start({ vmid: 150, address: '10.77.0.50', disk: 'disk.qcow2' })
    await rig.agentUp(again)
    expect(await rig.agentExec(again, '/bin/cat', '/etc/marker')).toMatchObject({ stdout: 'baked\n' })
  })

  it('takes a new instance for a new machine, and a known one as it was', async () => {
    const identity = async (instance: string): Promise<string> => {
      const machine = await start(150, { instance })
      await rig.agentUp(machine)
      await rig.agentExec(machine, '/usr/bin/cloud-init', 'status', '--wait')
      const { stdout } = await rig.agentExec(machine, '/bin/sh', '-c', 'cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub')
      await machine.stop()
      return stdout
    }
    const first = await identity('one')
    expect(await identity('one')).toBe(first)
    const [machineId, key] = (await identity('two')).split('\n')
    expect(first.split('\n')[0]).toBe(machineId)
    expect(first.split('\n')[1]).not.toBe(key)
  })

  it('does what a seed asks for', async () => {
    const machine = await start(150, {
      userData:
        '#cloud-config\nfqdn: web.example.org\nwrite_files:\n  - {path: /opt/a/b, content: aGk=, encoding: b64, permissions: "0600", owner: "nobody:nogroup"}\npackages: [jq]\nruncmd:\n  - [sh, -c, "echo $1 > /run/ran", x, "a b"]\n  - echo second >> /run/ran\n',
    })
    await rig.agentUp(machine)
    expect(await rig.agentExec(machine, '/usr/bin/cloud-init', 'status', '--wait', '--long')).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('status: done'),
    })
    expect(
      await rig.agentExec(machine, '/bin/sh', '-c', 'hostname; cat /opt/a/b; echo; stat -c "%a %U" /opt/a/b; cat /run/ran; command -v jq'),
    ).toMatchObject({ stdout: 'web\nhi\n600 nobody\na b\nsecond\n/usr/bin/jq\n' })
  })

  it('does not call a boot done whose seed it does not understand', async () => {
    const machine = await start(150, { userData: '#cloud-config\nfrobnicate: true\n' })
    await rig.agentUp(machine)
    expect(await rig.agentExec(machine, '/usr/bin/cloud-init', 'status', '--wait', '--long')).toMatchObject({
      exitCode: 2,
      stdout: expect.stringMatching(/degraded done[\s\S]*frobnicate/),
    })
  })

  it('boots nothing from a blank disk', async () => {
    await rig.driver.volumes.create(rig.path('blank.qcow2'), { format: 'qcow2', bytes: 2 ** 30 })
    const machine = await rig.start({ vmid: 153, address: '10.77.0.53', disk: 'blank.qcow2' })
    await rig.until(async () => {
      expect(await readFile(rig.path('serial-153.log'), 'utf8')).toContain('No bootable device')
    })
    await expect(machine.agent('guest-ping')).rejects.toBeInstanceOf(AgentUnavailable)
  })

  it('writes and reads files through the agent, and says what is missing', async () => {
    const machine = await start()
    await rig.agentUp(machine)
    const handle = await machine.agent('guest-file-open', { path: '/root/x', mode: 'w' })
    await machine.agent('guest-file-write', { handle, 'buf-b64': Buffer.from('text').toString('base64') })
    await machine.agent('guest-file-close', { handle })
    const read = await machine.agent('guest-file-open', { path: '/root/x' })
    expect(await machine.agent('guest-file-read', { handle: read, count: 100 })).toEqual({
      count: 4,
      'buf-b64': Buffer.from('text').toString('base64'),
      eof: true,
    })
    await expect(machine.agent('guest-file-close', { handle: 1 })).rejects.toBeInstanceOf(AgentError)
  })

  it('plugs and unplugs disks, and grows them', async () => {
    const machine = await start()
    await rig.agentUp(machine)
    const drive: DriveSpec = { slot: 'scsi1', path: rig.path('data.qcow2'), format: 'qcow2', media: 'disk', serial: 'data' }
    await rig.driver.volumes.create(rig.path('data.qcow2'), { format: 'qcow2', bytes: 2 ** 30 })
    await machine.plugDrive(drive)
    await expect(machine.plugDrive(drive)).rejects.toThrow(/scsi1/)
    await machine.resizeDrive('scsi1', 2 ** 31)
    const size = () => rig.agentExec(machine, '/usr/bin/lsblk', '-bdno', 'SIZE', '/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_data')
    expect(await size()).toMatchObject({ stdout: `${2 ** 31}\n` })
    expect(await rig.driver.volumes.info(rig.path('data.qcow2'))).toMatchObject({ virtualBytes: 2 ** 31 })
    await machine.unplugDrive('scsi1')
    expect(await size()).toMatchObject({ exitCode: 32 })
  })

  it('reads another CD after a change of the medium', async () => {
    const machine = await start()
    await rig.agentUp(machine)
    const label = () => rig.agentExec(machine, '/bin/sh', '-c', 'blkid -s LABEL -o value /dev/sr0')
    expect(await label()).toMatchObject({ stdout: 'cidata\n' })
    await machine.changeMedium('scsi3', null)
    expect(await label()).toMatchObject({ exitCode: 2 })
    await machine.changeMedium('scsi3', rig.path('seed-150.iso'))
    expect(await label()).toMatchObject({ stdout: 'cidata\n' })
  })

  it('misbehaves as ordered', async () => {
    rig.driver.behave({ match: 150, agent: 'hung', ssh: 'never', ignoresShutdown: true, refusesUnplug: true })
    const machine = await start()
    await rig.until(async () => {
      expect(rig.driver.guest(150)?.state).toBe('running')
    })
    await expect(machine.agent('guest-ping', {}, 20)).rejects.toBeInstanceOf(AgentUnavailable)
    await expect(rig.driver.network.dial('10.77.0.50', 22)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    await expect(machine.unplugDrive('scsi0')).rejects.toThrow(/does not let go/)
    await machine.shutdown()
    await machine.stop()
    expect(await machine.exited).toEqual({ reason: 'stopped' })
    rig.driver.behave({ match: /^vm15/, startFails: 'no memory' })
    await expect(start()).rejects.toThrow('no memory')
  })

  it('crashes when told to', async () => {
    rig.driver.behave({ match: 150, crashAfterMs: 10 })
    expect(await (await start()).exited).toMatchObject({ reason: 'crashed' })
  })

  it('knows keys', async () => {
    const machine = await start()
    await machine.sendKey('ctrl-alt-f1')
    await expect(machine.sendKey('frobnicate')).rejects.toThrow(/invalid parameter/)
  })

  it('fails to pull what it is told not to find, and without internet', async () => {
    const machine = await start()
    await rig.agentUp(machine)
    await rig.agentExec(machine, '/bin/sh', '-c', 'apt-get update && apt-get install -y docker.io docker-compose')
    const digest = `sha256:${'a'.repeat(64)}`
    rig.driver.behave({ match: 150, pullFails: ['missing'] })
    expect(await rig.agentExec(machine, '/usr/bin/docker', 'pull', `docker.io/library/missing@${digest}`)).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('manifest unknown'),
    })
    expect(await rig.agentExec(machine, '/usr/bin/docker', 'pull', '-q', `docker.io/library/nginx@${digest}`)).toMatchObject({
      exitCode: 0,
    })
    expect(
      await rig.agentExec(
        machine,
        '/usr/bin/docker',
        'image',
        'inspect',
        '--format',
        '{{index .RepoDigests 0}} {{len .RepoTags}}',
        `docker.io/library/nginx@${digest}`,
      ),
    ).toMatchObject({ stdout: `docker.io/library/nginx@${digest} 0\n` })
    await rig.driver.network.setInternet(false)
    expect(await rig.agentExec(machine, '/usr/bin/docker', 'pull', 'nginx:latest')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('name resolution'),
    })
  })
})
