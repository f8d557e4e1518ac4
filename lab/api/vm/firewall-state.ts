/** Hands the whole firewall configuration to the network. */
import type { FirewallRule, FirewallScope, FirewallState } from '../../compute/driver.ts'
import type { FirewallDocument } from '../../state/types.ts'
import type { Context } from '../context.ts'

function scopeOf(document: FirewallDocument): FirewallScope {
  return {
    options: document.options,
    rules: document.rules.map(
      ({ comment: _, enable, ...rule }) => ({ ...rule, enable: enable !== '0' && enable !== undefined }) as unknown as FirewallRule,
    ),
    ipsets: Object.fromEntries(
      Object.entries(document.ipsets).map(([name, { entries }]) => [
        name,
        entries.map(({ cidr, nomatch }) => ({ cidr, nomatch: nomatch === true })),
      ]),
    ),
    aliases: Object.fromEntries(Object.entries(document.aliases).map(([name, { cidr }]) => [name, cidr])),
  }
}

export const firewallState = (context: Context): FirewallState => ({
  cluster: scopeOf(context.state.clusterFirewall.value),
  vms: Object.fromEntries(Object.entries(context.state.vmFirewalls.value).map(([vmid, document]) => [vmid, scopeOf(document)])),
})

/** Resolves when it is in force. */
export const applyFirewall = (context: Context): Promise<void> => context.driver.network.applyFirewall(firewallState(context))

/** What holds for one VM holds for its clone. */
export async function copyFirewall(context: Context, from: number, to: number): Promise<void> {
  const { vmFirewalls } = context.state
  const rules = vmFirewalls.value[from]
  if (rules === undefined) return
  vmFirewalls.value[to] = structuredClone(rules)
  vmFirewalls.save()
  await applyFirewall(context)
}

/** For a VM that is gone. */
export async function dropFirewall(context: Context, vmid: number): Promise<void> {
  const { vmFirewalls } = context.state
  if (vmFirewalls.value[vmid] === undefined) return
  delete vmFirewalls.value[vmid]
  vmFirewalls.save()
  await applyFirewall(context)
}
