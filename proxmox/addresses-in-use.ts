/**
 * Which IPv4 addresses guests have, as far as Proxmox knows: what cloud-init or a container's configuration gives them, and
 * what those say that run. A VM that sets its own address and has no guest agent is not seen.
 */
import type { Proxmox } from './client.ts'
import type { Guest } from './cluster.ts'
import { ProxmoxError } from './error.ts'
import { isPassingStatus } from './patience.ts'

export interface AddressInUse {
  readonly address: string
  /** For people: `VM 100 (mail)`. */
  readonly by: string
}

/** So many guests are asked at once: an agent that is away keeps Proxmox waiting for seconds. */
const atOnce = 8

/** @param guests on nodes that are online. Rejects when Proxmox is away; a guest that can't be asked has none */
export async function addressesInUse(admin: Proxmox, guests: readonly Guest[]): Promise<AddressInUse[]> {
  const found: AddressInUse[] = []
  const left = [...guests]
  const work = async (): Promise<void> => {
    for (let guest = left.shift(); guest !== undefined; guest = left.shift()) {
      const { type, vmid, name } = guest
      const by = `${type === 'lxc' ? 'container' : 'VM'} ${vmid}${name === undefined ? '' : ` (${name})`}`
      found.push(...(await addressesOf(admin, guest)).map((address) => ({ address, by })))
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  return found
}

async function addressesOf(admin: Proxmox, { type, node, vmid, status }: Guest): Promise<string[]> {
  const path = `/nodes/${node}/${type}/${vmid}`
  const config = (await ifTold(admin.get<Readonly<Record<string, unknown>>>(`${path}/config`))) ?? {}
  const configured = configuredAddresses(config)
  if (status !== 'running') return configured
  // Without an agent in its configuration nobody answers in the VM.
  if (type !== 'lxc' && !/(^|,)(enabled=)?1(,|$)/.test(String(config.agent ?? ''))) return configured
  const told =
    type === 'lxc'
      ? ofContainer(await ifTold(admin.get(`${path}/interfaces`)))
      : ofAgent(await ifTold(admin.get(`${path}/agent/network-get-interfaces`)))
  return [...new Set([...configured, ...told])]
}

/** `ip=192.168.1.7/24` in `ipconfig0` of a VM and in `net0` of a container; not `ip=dhcp`. Pure. */
export function configuredAddresses(config: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(config).flatMap(([key, value]) => {
    const [, address] = /^(ipconfig|net)\d+$/.test(key) ? (/(?:^|,)ip=(\d+\.\d+\.\d+\.\d+)/.exec(String(value)) ?? []) : []
    return address === undefined ? [] : [address]
  })
}

interface OfAgent {
  readonly result?: readonly {
    readonly 'ip-addresses'?: readonly { readonly 'ip-address': string; readonly 'ip-address-type': string }[]
  }[]
}

const ofAgent = (answer: OfAgent | undefined): string[] =>
  (answer?.result ?? []).flatMap((card) =>
    (card['ip-addresses'] ?? []).filter((each) => each['ip-address-type'] === 'ipv4').map((each) => each['ip-address']),
  )

const ofContainer = (answer: readonly { readonly inet?: string }[] | undefined): string[] =>
  (answer ?? []).flatMap(({ inet }) => (inet === undefined ? [] : [inet.split('/')[0] ?? '']))

/** Undefined: Proxmox, or the guest, does not tell: it is not running, has no agent, is gone by now, or nobody may ask. */
async function ifTold<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked
  } catch (error) {
    if (error instanceof ProxmoxError && error.status >= 400 && !isPassingStatus(error.status)) return undefined
    throw error
  }
}
