/** The CD of a slot that is for nothing but being moved data to: no roles. */
import { renderIso } from '../../core/formats/iso.ts'
import { seedFiles } from '../../images/contract/files.ts'
import type { Seed } from '../../images/contract/seed.ts'

export function slotSeed(release: string): Buffer {
  const seed: Seed = {
    schema: 1,
    release,
    site: 'home',
    group: 'all',
    slot: 'blue',
    roles: [],
    hostname: 'home-all-blue',
    image: { fingerprint: '0'.repeat(64), vmid: 9001 },
    address: '10.77.0.11',
    prefix: 24,
    service: '10.77.0.10',
    peer: '10.77.0.12',
    gateway: '10.77.0.1',
    nameservers: [],
    ntp: [],
    public: { host: 'localhost', httpsPort: 443, httpPort: 80 },
    ssh: { projectKeys: [], adminKeys: [] },
  }
  const network = { match: { name: 'ens18' }, 'set-name': 'eth0', addresses: [`${seed.address}/24`] }
  const files = new Map([
    ['meta-data', `instance-id: ${release}\n`],
    ['user-data', '#cloud-config\nusers: []\nssh_genkeytypes: []\n'],
    ['network-config', JSON.stringify({ version: 2, ethernets: { lan: network } })],
    [`golden/${seedFiles.seed}`, JSON.stringify(seed)],
    [`golden/${seedFiles.firewall}`, 'table inet golden\ndelete table inet golden\ntable inet golden {\n}\n'],
    [`golden/${seedFiles.sshHostKey}`, ''],
  ])
  return renderIso('cidata', files)
}
