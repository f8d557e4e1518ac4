// The example site. `golden init` copies it to your site folder (site/site.ts); edit it there.
// Every setting is described in settings/site.ts; your editor shows it.
import { defineSite, fromFile } from 'serena-golden'

export default defineSite({
  name: 'home',
  proxmox: { url: 'https://192.168.1.5:8006', node: 'pve', storage: { disks: 'local-lvm', iso: 'golden-iso' }, bridge: 'vmbr0' },
  network: { subnet: '192.168.1.0/24', gateway: '192.168.1.1', nameservers: ['192.168.1.1'], admin: ['192.168.1.0/24'] },
  public: { host: 'serena.example.org' },
  image: {
    // "golden lock" finds the newest build and its checksum, and keeps to it until "golden lock --base". Or pin one: url, sha256.
    base: { os: 'ubuntu-24.04' },
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
