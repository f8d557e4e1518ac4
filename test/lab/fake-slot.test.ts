import ssh2 from 'ssh2'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DriveSpec, Machine } from '../../lab/compute/driver.ts'
import { selftestSchema } from '../../images/contract/selftest.ts'
import type { Guest } from '../../lab/compute/fake/guest.ts'
import { ROOT } from '../../lab/compute/fake/vfs.ts'
import { Rig, type Ran } from './fake-rig.ts'
import { bakeImage, certificate, deploySlot, hostKey } from './slot-vm.ts'

let output = ''

describe('the life of a slot on fake guests', () => {
  let rig: Rig
  const dataDisk = (slot: string): DriveSpec => ({
    slot,
    path: rig.path('data.qcow2'),
    format: 'qcow2',
    media: 'disk',
    serial: 'golden-data',
  })

  beforeAll(async () => {
    rig = await Rig.create()
    output = await bakeImage(rig)
    await rig.driver.volumes.create(rig.path('data.qcow2'), { format: 'qcow2', bytes: 8 * 2 ** 30 })
  })
  afterAll(() => rig.close())

  const slotctl = async (machine: Machine, ...words: string[]): Promise<any> => {
    const ran: Ran = await rig.agentExec(machine, '/usr/local/sbin/slotctl', ...words)
    return { exitCode: ran.exitCode, ...JSON.parse(ran.stdout || JSON.stringify({ stderr: ran.stderr })) }
  }
  const active = (machine: Machine): Promise<any> =>
    rig.until(async () => {
      const status = await slotctl(machine, 'status')
      if (!status.active || !status.healthy) throw new Error(JSON.stringify(status))
      return status
    })

  /** The address goes from one to the other by what the slots say of themselves, while the disk is moved for them. */
  async function moves(green: Machine, blue: Machine): Promise<void> {
    const guestOf = (vmid: number): Guest => rig.driver.guest(vmid)!
    const holders = (): number[] =>
      [111, 112].filter((vmid) => guestOf(vmid).interfaces.some((card) => card.addresses.some(({ address }) => address === '10.77.0.50')))
    for (const vmid of [111, 112])
      for (const [name, text] of [
        ['pem', certificate.certificate],
        ['key', certificate.key],
      ] as const)
        guestOf(vmid).vfs.write(`/run/golden/nginx/tls/peer.${name}`, text, ROOT)
    // As before a disk is let go (images/guest/handover.ts).
    guestOf(112).vfs.write('/run/golden/handover.json', JSON.stringify({ state: 'parking', since: Date.now() }), ROOT)
    guestOf(112).vfs.remove('/run/golden/claim')
    const parked = { active: false, healthy: true, handover: 'parking', serviceAddress: { held: true }, problems: [] }
    expect(await slotctl(green, 'yield')).toMatchObject(parked)
    await green.unplugDrive('scsi1')
    await rig.driver.volumes.rename(rig.path('data-moved.qcow2'), rig.path('data.qcow2'))
    expect(await slotctl(green, 'status')).toMatchObject(parked)
    expect(holders()).toEqual([112])
    await blue.plugDrive(dataDisk('scsi1'))
    expect(await active(blue)).toMatchObject({ serviceAddress: { held: true }, handover: 'none' })
    expect(holders()).toEqual([111])
    const left = await slotctl(green, 'status')
    expect(left).toMatchObject({ active: false, healthy: true, serviceAddress: { held: false }, problems: [] })
    expect(guestOf(112).vfs.readText('/run/golden/modelled-gate.json')).toContain('"forward"')
    // Until it is settled.
    expect(left.handover).toBe('left')
    expect(guestOf(112).loopback).toEqual([{ address: '10.77.0.50', prefix: 32 }])
    expect([...guestOf(111).firewall.tables.keys()]).toContain('ip golden_steering')
    await rig.until(async () => {
      expect(await slotctl(green, 'status')).toMatchObject({ handover: 'none', problems: [] })
      expect([...guestOf(111).firewall.tables.keys()]).not.toContain('ip golden_steering')
    }, 20_000)
    expect(guestOf(112).loopback).toEqual([])
    expect(guestOf(111).vfs.exists('/run/golden/steering.json')).toBe(false)

    // And back, as it was before there were handovers: the address goes with the disk.
    expect(await slotctl(blue, 'yield')).toMatchObject({ serviceAddress: { held: false }, handover: 'none' })
    await blue.unplugDrive('scsi1')
    await rig.driver.volumes.rename(rig.path('data.qcow2'), rig.path('data-moved.qcow2'))
    await green.plugDrive({ ...dataDisk('scsi1'), path: rig.path('data-moved.qcow2') })
    expect(await active(green)).toMatchObject({ serviceAddress: { held: true } })
  }

  it('passes the checks of the bake', () => {
    expect(output).toContain('golden: the image is clean')
    expect(output).not.toContain('FAILED')
  })

  it('hands the data disk over, with its content, and the service address follows', async () => {
    const blue = await deploySlot(rig, 111, 'blue', '10.77.0.21', '10.77.0.22')
    expect(await slotctl(blue, 'status')).toMatchObject({
      exitCode: 0,
      slot: 'blue',
      active: false,
      dataDisk: 'absent',
      healthy: true,
      services: { nginx_proxy: { state: 'running' } },
    })
    expect(await slotctl(blue, 'format')).toMatchObject({ exitCode: 1, error: { code: 'disk-absent' } })
    await blue.plugDrive(dataDisk('scsi1'))
    expect(await slotctl(blue, 'status')).toMatchObject({ dataDisk: 'blank', active: false })
    expect(await slotctl(blue, 'activate')).toMatchObject({ exitCode: 1, error: { code: 'disk-blank' } })
    expect(await slotctl(blue, 'format')).toMatchObject({ exitCode: 0 })
    await slotctl(blue, 'activate')
    expect(await active(blue)).toMatchObject({
      dataDisk: 'mounted',
      serviceAddress: { address: '10.77.0.50', held: true },
      services: { serena_mcp: { state: 'running' } },
    })
    expect(await slotctl(blue, 'format')).toMatchObject({ exitCode: 1, error: { code: 'disk-not-blank' } })
    const selftest = await slotctl(blue, 'selftest')
    expect(selftest.checks.filter(({ ok }: { ok: boolean }) => !ok)).toEqual([])
    expect(selftestSchema.parse(selftest)).toMatchObject({ ok: true })
    expect(selftest.exitCode).toBe(0)
    await rig.agentExec(blue, '/bin/sh', '-c', 'echo precious > /srv/golden/projects/demo/file')

    const green = await deploySlot(rig, 112, 'green', '10.77.0.22', '10.77.0.21')
    await slotctl(blue, 'drain', '1')
    expect(await slotctl(blue, 'yield')).toMatchObject({
      exitCode: 0,
      active: false,
      dataDisk: 'ready',
      serviceAddress: { held: false },
      services: { serena_mcp: { state: 'stopped' } },
    })
    await blue.unplugDrive('scsi1')
    await rig.driver.volumes.rename(rig.path('data.qcow2'), rig.path('data-moved.qcow2'))
    await green.plugDrive({ ...dataDisk('scsi1'), path: rig.path('data-moved.qcow2') })
    expect(await active(green)).toMatchObject({ slot: 'green', serviceAddress: { held: true } })
    expect(await rig.agentExec(green, '/bin/cat', '/srv/golden/projects/demo/file')).toMatchObject({ stdout: 'precious\n' })
    expect(await slotctl(blue, 'status')).toMatchObject({ active: false, dataDisk: 'absent' })

    const admin = await rig.connect('10.77.0.22', {
      username: 'admin',
      hostVerifier: (data: Buffer) => data.equals((ssh2.utils.parseKey(hostKey.public) as import('ssh2').ParsedKey).getPublicSSH()),
    })
    expect(await rig.run(admin, 'id -un; sudo cat /etc/hostname')).toMatchObject({ stdout: 'admin\nvm112\n' })

    await moves(green, blue)
    expect(await rig.agentExec(green, '/usr/sbin/reboot')).toMatchObject({ exitCode: 0 })
    await rig.until(async () => {
      expect(rig.driver.guest(112)?.state).not.toBe('running')
    })
    await rig.agentUp(green)
    expect(await active(green)).toMatchObject({ active: true, serviceAddress: { held: true } })
  })
})
