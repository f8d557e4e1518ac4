/** What the names in Proxmox's firewall rules stand for: macros, and ports. */

export interface Service {
  readonly proto: string
  readonly dport?: string
  readonly icmp?: string
}

/** Those that are of use in the lab (PVE::Firewall's table of macros). */
const macros: Readonly<Record<string, readonly Service[]>> = {
  SSH: [{ proto: 'tcp', dport: '22' }],
  HTTP: [{ proto: 'tcp', dport: '80' }],
  HTTPS: [{ proto: 'tcp', dport: '443' }],
  Web: [
    { proto: 'tcp', dport: '80' },
    { proto: 'tcp', dport: '443' },
  ],
  DNS: [
    { proto: 'udp', dport: '53' },
    { proto: 'tcp', dport: '53' },
  ],
  NTP: [{ proto: 'udp', dport: '123' }],
  Ping: [
    { proto: 'icmp', icmp: 'echo-request' },
    { proto: 'icmpv6', icmp: 'echo-request' },
  ],
}

/** As `/etc/services` has them. */
export const servicePorts: Readonly<Record<string, number>> = { ssh: 22, domain: 53, http: 80, ntp: 123, https: 443 }

/** In any case of letters, as in Proxmox; undefined: none of them. */
export const macroServices = (name: string): readonly Service[] | undefined =>
  Object.entries(macros).find(([known]) => known.toLowerCase() === name.toLowerCase())?.[1]
