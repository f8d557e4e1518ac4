/** An image as a bake's own scripts make it in a fake guest, and slots of it. */
import ssh2 from 'ssh2'
import { makeAuthority, makeServerCertificate } from '../../settings/secrets/certificates.ts'
import type { Machine } from '../../lab/compute/driver.ts'
import { startBuildVm } from './build-vm.ts'
import { key, type Rig } from './fake-rig.ts'

export const hostKey = ssh2.utils.generateKeyPairSync('ed25519')
export const certificate = await makeServerCertificate(await makeAuthority('test', new Date()), ['x'], new Date())

/** @returns what the scripts have said */
export async function bakeImage(rig: Rig): Promise<string> {
  const { machine, script } = await startBuildVm(rig)
  let output = ''
  // In the order in which packer/golden.pkr.hcl runs them.
  for (const name of ['packages.sh', 'files.sh', 'images.sh', 'trial.sh', 'finish.sh']) {
    const { stdout, stderr, exitCode } = await script(name)
    output += stdout + stderr
    if (exitCode !== 0) throw new Error(`${name} exited with ${exitCode}\n${stdout}${stderr}`)
  }
  await machine.shutdown()
  const { reason } = await machine.exited
  if (reason !== 'powerdown') throw new Error(`the build VM ended otherwise than it was asked to: ${reason}`)
  return output
}

/** A slot of that image, once its agent answers. */
export async function deploySlot(rig: Rig, vmid: number, slot: string, address: string, peer: string): Promise<Machine> {
  await rig.driver.volumes.link(rig.path('image.qcow2'), rig.path(`slot-${vmid}.qcow2`))
  const seed = {
    schema: 1,
    release: `r-${slot}`,
    site: 'test',
    group: 'main',
    slot,
    roles: ['serena'],
    hostname: `main-${slot}`,
    image: { fingerprint: 'f00', vmid: 110 },
    address,
    prefix: 24,
    service: '10.77.0.50',
    peer,
    gateway: '10.77.0.1',
    nameservers: [],
    ntp: [],
    public: { host: 'x', httpsPort: 443, httpPort: 80 },
    serena: { transports: ['streamable-http'], interface: 'tools', shell: false, memoryMiB: 512, projects: [{ name: 'demo' }] },
    ssh: { projectKeys: [], adminKeys: [key.public.trim()] },
  }
  const files = {
    'golden/seed.json': JSON.stringify(seed),
    'golden/nftables.nft':
      'table inet golden\ndelete table inet golden\ntable inet golden {\n  chain input { type filter hook input priority filter; policy drop; }\n}\n',
    'golden/tls/public.pem': certificate.certificate,
    'golden/tls/public.key': certificate.key,
    'golden/tls/peer.pem': certificate.certificate,
    'golden/tls/peer.key': certificate.key,
    'golden/htpasswd/serena': 'a:b',
    'golden/ssh/ssh_host_ed25519_key': hostKey.private,
    'golden/ssh/ssh_host_ed25519_key.pub': hostKey.public,
  }
  const machine = await rig.start({
    vmid,
    address,
    disk: `slot-${vmid}.qcow2`,
    files,
    userData: '#cloud-config\nusers: []\nssh_deletekeys: false\nssh_genkeytypes: []\n',
    instance: `iid-r-${slot}`,
  })
  await rig.agentUp(machine)
  return machine
}
