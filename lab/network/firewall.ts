import type { FirewallState, NicSpec } from '../compute/driver.ts'

/** A guest's network card as the firewall sees it. */
export interface FirewallNic {
  readonly vmid: number
  readonly nic: NicSpec
  /** The tap's name. */
  readonly link: string
}

export function compileFirewall(_state: FirewallState, _nics: readonly FirewallNic[]): string {
  return ''
}
