/** Stand-ins for guests: a namespace each, plugged into the lab's bridge where a guest's tap would be. */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import type { FirewallScope, NicSpec } from '../../lab/compute/driver.ts'
import { missingPackages } from '../../lab/debian/packages.ts'
import { startGateway, type Gateway } from '../../lab/network/gateway-client.ts'
import { createNamespace, type Namespace } from '../../lab/network/namespaces.ts'
import { bridgeName, type RealNetwork } from '../../lab/network/network.ts'

/** Why tests of the real network can't run here, or undefined. */
export const networkImpossible =
  process.getuid?.() !== 0
    ? 'root'
    : missingPackages(['iproute2', 'nftables', 'slirp4netns', 'util-linux']).length > 0
      ? 'nftables and slirp4netns'
      : undefined

export interface Guest extends Gateway {
  readonly vmid: number
  readonly address: string
  readonly namespace: Namespace
}

export function nicOf(vmid: number): NicSpec {
  return {
    slot: 'net0',
    model: 'virtio',
    mac: `BC:24:11:00:00:${vmid.toString(16).padStart(2, '0').slice(-2).toUpperCase()}`,
    bridge: bridgeName,
    firewall: true,
  }
}

export async function plugGuest(network: RealNetwork, vmid: number, address: string): Promise<Guest> {
  const nic = nicOf(vmid)
  const link = await network.attach(vmid, nic)
  const namespace = await createNamespace()
  const folder = await mkdtemp(join(tmpdir(), 'sgl-guest-'))
  await network.bridge.ip([
    `link del ${link}`,
    `link add ${link} type veth peer name eth0 netns ${namespace.pid}`,
    `link set ${link} addrgenmode none`,
    `link set ${link} master ${bridgeName} up`,
  ])
  await namespace.ip([
    `link set eth0 address ${nic.mac}`,
    `address add ${address}/24 dev eth0`,
    'link set eth0 up',
    `route add default via ${network.gateway}`,
  ])
  const gateway = await startGateway(namespace, address, join(folder, 'gateway'), 1_000)
  return {
    ...gateway,
    vmid,
    address,
    namespace,
    close: async () => {
      await gateway.close()
      await namespace.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** A server on loopback that says who it is and ends. */
export async function greeter(text: string): Promise<{ port: number; close(): Promise<void> }> {
  const server = createServer((socket) => void socket.on('error', () => {}).end(text))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { port: (server.address() as AddressInfo).port, close: () => new Promise((resolve) => server.close(() => resolve())) }
}

/** What a connection says until it ends, or the code of the error. */
export async function outcome(dial: Promise<Duplex>): Promise<string> {
  try {
    const socket = await dial
    let text = ''
    for await (const chunk of socket) text += String(chunk)
    socket.destroy()
    return text
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error)
  }
}

export const openScope: FirewallScope = { options: {}, rules: [], ipsets: {}, aliases: {} }
