/** What is asked of Proxmox's firewall: of the datacenter's, which turns all of them on and off, and of one VM's. */
import type { Proxmox } from './client.ts'

/** A rule of the datacenter, in Proxmox's order: the first that fits decides. */
export interface FirewallRule {
  readonly type: string
  readonly action: string
  readonly enable?: number
  readonly source?: string
  readonly comment?: string
  readonly [narrowing: string]: unknown
}

export interface IpSetEntry {
  readonly cidr: string
  readonly nomatch?: number
  readonly comment?: string
}

export interface DatacenterFirewall {
  /** It takes Sys.Audit on `/`. */
  isOn(): Promise<boolean>
  turn(on: boolean): Promise<void>
  rules(): Promise<FirewallRule[]>
  ipSets(): Promise<string[]>
  ipSet(name: string): Promise<IpSetEntry[]>
}

/** Asks nothing by itself. */
export function datacenterFirewall(proxmox: Proxmox): DatacenterFirewall {
  const path = '/cluster/firewall'
  return {
    async isOn() {
      const { enable } = await proxmox.get<{ enable?: number }>(`${path}/options`)
      return Number(enable) === 1
    },
    async turn(on) {
      await proxmox.put(`${path}/options`, { enable: on ? 1 : 0 })
    },
    rules: () => proxmox.get(`${path}/rules`),
    async ipSets() {
      return (await proxmox.get<{ name: string }[]>(`${path}/ipset`)).map(({ name }) => name)
    },
    ipSet: (name) => proxmox.get(`${path}/ipset/${name}`),
  }
}

/** The same on all rules of a list: by it Proxmox tells whether the numbers are still theirs. */
export interface NumberedRule {
  readonly pos: number
  readonly digest: string
}

export interface VmFirewall {
  rules(): Promise<NumberedRule[]>
  /** Only from the list that it was seen in. */
  removeRule(rule: NumberedRule): Promise<void>
}

/** Asks nothing by itself. */
export function vmFirewall(proxmox: Proxmox, node: string, vmid: number): VmFirewall {
  const path = `/nodes/${node}/qemu/${vmid}/firewall/rules`
  return { rules: () => proxmox.get(path), removeRule: ({ pos, digest }) => proxmox.del(`${path}/${pos}`, { digest }) }
}
