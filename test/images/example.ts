/** A site for tests of images/ and packer/. */
import { parseSite, type Site } from '../../settings/site.ts'

export const hash = (letter: string): string => letter.repeat(64)

export function exampleSite(change: (input: Record<string, any>) => void = () => {}): Site {
  const input: Record<string, any> = {
    name: 'home',
    proxmox: { url: 'https://192.168.1.5:8006', node: 'pve', pool: 'golden', templates: { first: 9000, last: 9009 } },
    network: { subnet: '192.168.1.0/24', gateway: '192.168.1.1', nameservers: ['192.168.1.1'], admin: ['192.168.1.0/24'] },
    public: { host: 'serena.example.org' },
    image: {
      base: { os: 'debian-13', url: 'https://images.example.org/debian-13.qcow2', sha256: hash('a') },
      build: { address: '192.168.1.40' },
      // What becomes of images that nobody has verified has tests of its own (test/rollout/choose-image).
      onlyVerified: false,
    },
    serena: { users: [{ name: 'me', password: { kind: 'env', name: 'PASSWORD' } }] },
    groups: {
      serena: {
        roles: ['serena'],
        service: '192.168.1.50',
        depot: 9200,
        slots: { blue: { vmid: 9201, address: '192.168.1.51' }, green: { vmid: 9202, address: '192.168.1.52' } },
      },
    },
  }
  change(input)
  const parsed = parseSite(input)
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems))
  return parsed.site
}
