// The example site. `golden init` copies it to your site folder (site/site.ts); edit it there.
// Every setting is described in settings/site.ts; your editor shows it.
import { defineSite, fromFile } from 'serena-golden'

export default defineSite({
  name: 'home',
  proxmox: { url: 'https://192.168.1.5:8006', node: 'pve', storage: { disks: 'local-lvm', iso: 'golden-iso' }, bridge: 'vmbr0' },
  network: { subnet: '192.168.1.0/24', gateway: '192.168.1.1', nameservers: ['192.168.1.1'], admin: ['192.168.1.0/24'] },
  public: { host: 'serena.example.org' },
  image: {
    // A dated build stays what it is. The checksum is in SHA256SUMS beside it; compare it when you move to a newer one.
    base: {
      os: 'ubuntu-24.04',
      url: 'https://cloud-images.ubuntu.com/releases/noble/release-20260814/ubuntu-24.04-server-cloudimg-amd64.img',
      sha256: '6e40c07ae715f744f84af0bec76415cc1987dd115b4b8de437818561f01a3733',
    },
    build: { address: '192.168.1.40' },
  },
  serena: {
    transports: ['streamable-http', 'sse'],
    projects: [{ name: 'playground' }],
    users: [{ name: 'me', password: fromFile('secrets/users/me') }],
  },
  groups: {
    serena: {
      roles: ['serena'],
      service: '192.168.1.50',
      depot: 9200,
      slots: { blue: { vmid: 9201, address: '192.168.1.51' }, green: { vmid: 9202, address: '192.168.1.52' } },
    },
    logging: {
      roles: ['logging'],
      service: '192.168.1.60',
      memoryMiB: 2048,
      depot: 9300,
      slots: { blue: { vmid: 9301, address: '192.168.1.61' }, green: { vmid: 9302, address: '192.168.1.62' } },
    },
  },
})
