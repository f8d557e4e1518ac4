import { readFile } from 'node:fs/promises'
import ssh2 from 'ssh2'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { guestFiles } from '../../images/stage.ts'
import { writeTar } from '../../images/tar.ts'
import type { DriveSpec, Machine } from '../../lab/compute/driver.ts'
import { key, Rig, type Ran } from './fake-rig.ts'

const digest = (letter: string): string => `sha256:${letter.repeat(64)}`
const services: Record<string, string> = { serena: `10.77.0.3:5000/serena@${digest('a')}`, nginx: `10.77.0.3:5000/nginx@${digest('b')}`, promtail: `10.77.0.3:5000/promtail@${digest('c')}`, loki: `10.77.0.3:5000/loki@${digest('d')}` }
const hostKey = ssh2.utils.generateKeyPairSync('ed25519')

/** The bake's own scripts in the order in which packer/golden.pkr.hcl runs them. */
async function bake(rig: Rig, scripts: readonly string[]): Promise<Machine> {
  await rig.driver.volumes.copy(rig.path('base.qcow2'), rig.path('image.qcow2'), { format: 'qcow2' })
  const userData = `#cloud-config\n${JSON.stringify({ hostname: 'golden-build', ssh_pwauth: false, users: [{ name: 'bake', uid: 2999, lock_passwd: true, shell: '/bin/sh', sudo: ['ALL=(ALL) NOPASSWD:ALL'], ssh_authorized_keys: [key.public.trim()] }] })}`
  const machine = await rig.start({ vmid: 110, address: '10.77.0.20', disk: 'image.qcow2', userData })
  const client = await rig.connect('10.77.0.20', { username: 'bake' })
  const sftp = await new Promise<import('ssh2').SFTPWrapper>((resolve, reject) => client.sftp((error, session) => (error ? reject(error) : resolve(session))))
  const upload = (path: string, data: string | Buffer): Promise<void> => new Promise((resolve, reject) => sftp.writeFile(path, data, (error) => (error ? reject(error) : resolve())))
  const script = async (name: string, path: string): Promise<void> => {
    await upload(path, await readFile(`packer/provision/${name}`))
    const ran = await rig.run(client, `sudo -n sh ${path}`)
    if (ran.exitCode !== 0) throw new Error(`${name} exited with ${ran.exitCode}\n${ran.stdout}${ran.stderr}`)
    output.push(ran.stdout + ran.stderr)
  }
  await script('wait.sh', '/tmp/script_1.sh')
  const packages = JSON.parse(await readFile('images/packages.json', 'utf8')) as Record<string, string[]>
  const preset = await readFile('images/rootfs/usr/lib/systemd/system-preset/10-golden.preset', 'utf8')
  const lines = (list: readonly string[]): string => list.map((line) => `${line}\n`).join('')
  const inputs: Record<string, string> = {
    packages: lines([...(packages['common'] ?? []), ...(packages['debian-13'] ?? [])]), masked: lines(packages['masked'] ?? []), enabled: lines([...preset.matchAll(/^enable (.*)$/gm)].map((match) => match[1] ?? '')),
    images: lines(Object.entries(services).map(([name, reference]) => `${name} ${reference}`)), registries: '10.77.0.3:5000 registry-0.pem\n', 'registry-0.pem': 'a CA\n', 'ca-lines': '', traces: '10\\.77\\.0\\.3:5000\n',
    'image.json': JSON.stringify({ schema: 1, fingerprint: 'f00', built: '2026-11-24T00:00:00Z', services }), 'clean.sh': await readFile('packer/provision/clean.sh', 'utf8'), 'check.sh': await readFile('packer/provision/check.sh', 'utf8'),
  }
  for (const [name, text] of Object.entries(inputs)) await upload(`/run/golden-bake/${name}`, text)
  await writeTar(rig.path('rootfs.tar.gz'), [...(await guestFiles()), { path: 'opt/golden/node/bin/node', mode: 0o755, content: Buffer.from('\x7fELF stand-in') }])
  await upload('/var/tmp/golden-bake/golden-rootfs.tar.gz', await readFile(rig.path('rootfs.tar.gz')))
  for (const name of scripts) await script(name, `/run/golden-bake/${name.replace('.sh', '-1.sh')}`)
  return machine
}

const output: string[] = []

describe('the life of a slot on fake guests', () => {
  let rig: Rig
  const dataDisk = (slot: string): DriveSpec => ({ slot, path: rig.path('data.qcow2'), format: 'qcow2', media: 'disk', serial: 'golden-data' })

  beforeAll(async () => {
    rig = await Rig.create()
    const builder = await bake(rig, ['packages.sh', 'files.sh', 'images.sh', 'finish.sh'])
    await builder.shutdown()
    expect(await builder.exited).toEqual({ reason: 'powerdown' })
    await rig.driver.volumes.create(rig.path('data.qcow2'), { format: 'qcow2', bytes: 8 * 2 ** 30 })
  })
  afterAll(() => rig.close())

  async function deploy(vmid: number, slot: string, address: string, peer: string): Promise<Machine> {
    await rig.driver.volumes.link(rig.path('image.qcow2'), rig.path(`slot-${vmid}.qcow2`))
    const seed = { schema: 1, release: `r-${slot}`, site: 'test', group: 'main', slot, roles: ['serena'], hostname: `main-${slot}`, image: { fingerprint: 'f00', vmid: 110 }, address, prefix: 24, service: '10.77.0.50', peer, gateway: '10.77.0.1', nameservers: [], ntp: [], public: { host: 'x', httpsPort: 443, httpPort: 80 }, serena: { transports: ['streamable-http'], interface: 'tools', shell: false, memoryMiB: 512, projects: [{ name: 'demo' }] }, ssh: { projectKeys: [], adminKeys: [key.public.trim()] } }
    const files = {
      'golden/seed.json': JSON.stringify(seed), 'golden/nftables.nft': 'table inet golden\ndelete table inet golden\ntable inet golden {\n  chain input { type filter hook input priority filter; policy drop; }\n}\n',
      'golden/tls/public.pem': 'pem', 'golden/tls/public.key': 'key', 'golden/htpasswd/serena': 'a:b', 'golden/ssh/ssh_host_ed25519_key': hostKey.private, 'golden/ssh/ssh_host_ed25519_key.pub': hostKey.public,
    }
    const machine = await rig.start({ vmid, address, disk: `slot-${vmid}.qcow2`, files, userData: '#cloud-config\nusers: []\nssh_deletekeys: false\nssh_genkeytypes: []\n', instance: `iid-r-${slot}` })
    await rig.agentUp(machine)
    return machine
  }
  const slotctl = async (machine: Machine, ...words: string[]): Promise<any> => {
    const ran: Ran = await rig.agentExec(machine, '/usr/local/sbin/slotctl', ...words)
    return { exitCode: ran.exitCode, ...JSON.parse(ran.stdout || JSON.stringify({ stderr: ran.stderr })) }
  }
  const active = (machine: Machine): Promise<any> => rig.until(async () => {
    const status = await slotctl(machine, 'status')
    if (!status.active || !status.healthy) throw new Error(JSON.stringify(status))
    return status
  })

  it('passes the checks of the bake', () => {
    expect(output.join('')).toContain('golden: the image is clean')
    expect(output.join('')).not.toContain('FAILED')
  })

  it('hands the data disk over, with its content, and the service address follows', async () => {
    const blue = await deploy(111, 'blue', '10.77.0.21', '10.77.0.22')
    expect(await slotctl(blue, 'status')).toMatchObject({ exitCode: 0, slot: 'blue', active: false, dataDisk: 'absent', healthy: true, services: { nginx_proxy: { state: 'running' } } })
    expect(await slotctl(blue, 'format')).toMatchObject({ exitCode: 1, error: { code: 'disk-absent' } })
    await blue.plugDrive(dataDisk('scsi1'))
    expect(await slotctl(blue, 'status')).toMatchObject({ dataDisk: 'blank', active: false })
    expect(await slotctl(blue, 'activate')).toMatchObject({ exitCode: 1, error: { code: 'disk-blank' } })
    expect(await slotctl(blue, 'format')).toMatchObject({ exitCode: 0 })
    await slotctl(blue, 'activate')
    expect(await active(blue)).toMatchObject({ dataDisk: 'mounted', serviceAddress: { address: '10.77.0.50', held: true }, services: { serena_mcp: { state: 'running' } } })
    expect(await slotctl(blue, 'format')).toMatchObject({ exitCode: 1, error: { code: 'disk-not-blank' } })
    expect(await slotctl(blue, 'selftest')).toMatchObject({ exitCode: 0, ok: true })
    await rig.agentExec(blue, '/bin/sh', '-c', 'echo precious > /srv/golden/projects/demo/file')

    const green = await deploy(112, 'green', '10.77.0.22', '10.77.0.21')
    await slotctl(blue, 'drain', '1')
    expect(await slotctl(blue, 'yield')).toMatchObject({ exitCode: 0, active: false, dataDisk: 'ready', serviceAddress: { held: false }, services: { serena_mcp: { state: 'stopped' } } })
    await blue.unplugDrive('scsi1')
    await rig.driver.volumes.rename(rig.path('data.qcow2'), rig.path('data-moved.qcow2'))
    await green.plugDrive({ ...dataDisk('scsi1'), path: rig.path('data-moved.qcow2') })
    expect(await active(green)).toMatchObject({ slot: 'green', serviceAddress: { held: true } })
    expect(await rig.agentExec(green, '/bin/cat', '/srv/golden/projects/demo/file')).toMatchObject({ stdout: 'precious\n' })
    expect(await slotctl(blue, 'status')).toMatchObject({ active: false, dataDisk: 'absent' })

    const admin = await rig.connect('10.77.0.22', { username: 'admin', hostVerifier: (data: Buffer) => data.equals((ssh2.utils.parseKey(hostKey.public) as import('ssh2').ParsedKey).getPublicSSH()) })
    expect(await rig.run(admin, 'id -un; sudo cat /etc/hostname')).toMatchObject({ stdout: 'admin\nvm112\n' })

    expect(await rig.agentExec(green, '/usr/sbin/reboot')).toMatchObject({ exitCode: 0 })
    await rig.until(async () => { expect(rig.driver.guest(112)?.state).not.toBe('running') })
    await rig.agentUp(green)
    expect(await active(green)).toMatchObject({ active: true, serviceAddress: { held: true } })
  })
})
