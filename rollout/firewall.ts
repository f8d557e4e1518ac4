/** Whether Proxmox enforces the rules of VMs at all. */
import type { Proxmox } from '../proxmox/client.ts'
import { isDenied } from '../proxmox/conditions.ts'
import { firewallWarning } from '../proxmox/datacenter-firewall.ts'
import { datacenterFirewall } from '../proxmox/firewall.ts'

/**
 * Proxmox's datacenter firewall, off by default: VM rules are inert until it is on. `unknown`: the token may not see
 * it, which takes Sys.Audit on `/`.
 */
export type FirewallState = 'on' | 'off' | 'unknown'

export async function firewallState(proxmox: Proxmox): Promise<FirewallState> {
  try {
    return (await datacenterFirewall(proxmox).isOn()) ? 'on' : 'off'
  } catch (error) {
    if (isDenied(error)) return 'unknown'
    throw error
  }
}

/** What people have to know about it, if anything. */
export function firewallNotice(state: FirewallState): string | undefined {
  switch (state) {
    case 'on':
      return undefined
    case 'off':
      return `Proxmox's datacenter firewall is off: only the guests' own firewalls are in force. "npx golden setup --enable-datacenter-firewall" shows what turning it on would close, and asks. ${firewallWarning}.`
    case 'unknown':
      return 'Whether Proxmox\'s datacenter firewall is on, without which only the guests\' own firewalls are in force, is not for this token to see: "npx golden setup" tells.'
  }
}
