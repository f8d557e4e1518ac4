/** A VM's flows as Proxmox's firewall configuration of that VM. */
import type { VmFlows } from './flows.ts'

/** As bpg's `proxmox_virtual_environment_firewall_rules` takes it. */
export interface ProxmoxRule {
  readonly type: 'in' | 'out'
  readonly action: 'ACCEPT'
  readonly proto: 'tcp' | 'udp'
  readonly dport: string
  readonly source?: string
  readonly dest?: string
  readonly comment: string
  readonly enabled: true
}

/**
 * What is not admitted is dropped, both ways. No address of the VM comes from a DHCP server, and IPv6 is off:
 * neither router advertisements nor neighbour discovery pass. `macfilter` keeps the VM to its own MAC address.
 */
export const proxmoxFirewallOptions = {
  enabled: true,
  inputPolicy: 'DROP',
  outputPolicy: 'DROP',
  dhcp: false,
  ndp: false,
  radv: false,
  macfilter: true,
  ipfilter: false,
  logLevelIn: 'nolog',
  logLevelOut: 'nolog',
} as const

/** The local end is always named: a rule without addresses would admit IPv6 as well. */
export function proxmoxRules({ local, flows }: VmFlows): ProxmoxRule[] {
  return flows.map((flow) => {
    const remote = flow.remote.length === 0 ? undefined : flow.remote.join(',')
    const own = (flow.local ?? local).join(',')
    // What is steered goes out as it has come in.
    const [source, dest] = flow.direction === 'in' || flow.steered !== undefined ? [remote, own] : [own, remote]
    return {
      type: flow.direction,
      action: 'ACCEPT',
      proto: flow.protocol,
      dport: flow.ports.join(','),
      comment: flow.purpose,
      enabled: true,
      ...(source === undefined ? {} : { source }),
      ...(dest === undefined ? {} : { dest }),
    }
  })
}
