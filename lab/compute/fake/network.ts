/** The LAN of fake guests: connections go straight to the guest that has the address, past PVE's firewall rules. */
import type { Duplex } from 'node:stream'
import { routerPorts, type FirewallState, type LabNetwork, type RouterForwards } from '../driver.ts'
import type { Guest } from './guest.ts'
import { pipe } from './pipe.ts'
import { decide, type Packet } from './pve-firewall.ts'
import { serveWeb } from './web.ts'

/** Where connections from the internet seem to come from (RFC 5737). */
const OUTSIDE = '192.0.2.1'

const EMPTY = { options: {}, rules: [], ipsets: {}, aliases: {} }

export class FakeNetwork implements LabNetwork {
  readonly subnet: string
  readonly gateway: string
  readonly nameserver: string
  readonly #guests: () => Iterable<Guest>
  #firewall: FirewallState = { cluster: EMPTY, vms: {} }
  #forwards: RouterForwards = { target: null, second: null }
  #internetOn = true

  constructor(subnet: string, guests: () => Iterable<Guest>) {
    this.subnet = subnet
    this.gateway = subnet.replace(/\.\d+\/\d+$/, '.1')
    this.nameserver = this.gateway
    this.#guests = guests
  }

  async applyFirewall(state: FirewallState): Promise<void> {
    this.#firewall = state
  }
  async setForwards(forwards: Partial<RouterForwards>): Promise<void> {
    this.#forwards = { ...this.#forwards, ...forwards }
  }
  async setInternet(on: boolean): Promise<void> {
    this.#internetOn = on
  }

  async dial(host: string, port: number): Promise<Duplex> {
    return this.#connect(this.gateway, host, port)
  }

  async dialStranger(host: string, port: number): Promise<Duplex> {
    return this.#connect(this.subnet.replace(/\.\d+\/\d+$/, '.9'), host, port)
  }

  async dialRouter(port: number): Promise<Duplex> {
    for (const name of ['target', 'second'] as const) {
      const { http, https } = routerPorts[name]
      const to = this.#forwards[name]
      if (to !== null && (port === http || port === https)) return this.#connect(OUTSIDE, to, port === http ? 80 : 443)
    }
    throw failure('ECONNREFUSED', 'router', port)
  }

  /** Does anybody else in the LAN answer for this address (ARP, which no rule holds back)? */
  reachable(from: Guest, address: string): boolean {
    if (address === this.gateway) return true
    // Not by what is on `lo`: for that no guest answers in the LAN (arp_ignore).
    return [...this.#guests()].some(
      (guest) =>
        guest !== from &&
        guest.state === 'running' &&
        !guest.paused &&
        guest.interfaces.some((card) => card.up && !card.nic.linkDown && card.addresses.some((each) => each.address === address)),
    )
  }

  /** Whoever in the LAN a guest gets to on that port, rules of both included; what listens there is asked elsewhere. */
  neighbour(from: Guest, address: string, port: number): Guest | undefined {
    const to = this.#ownerOf(address)
    const source = from.interfaces.find((each) => each.up && each.addresses.length > 0)?.addresses[0]?.address
    if (to === undefined || to === from || to.paused || source === undefined) return undefined
    const packet = { proto: 'tcp', source, dest: address, dport: port } as const
    const isAllowed = this.#allowed(from, { ...packet, direction: 'out' }) && this.#allowed(to, { ...packet, direction: 'in' })
    return isAllowed ? to : undefined
  }

  /** Does the way to the internet work for this guest, rules included? */
  internet(guest: Guest, port: number): boolean {
    const card = guest.interfaces.find((each) => each.up && each.addresses.length > 0)
    const source = card?.addresses[0]?.address
    return (
      this.#internetOn &&
      guest.gateway === this.gateway &&
      source !== undefined &&
      this.#allowed(guest, { direction: 'out', proto: 'tcp', source, dest: OUTSIDE, dport: port })
    )
  }

  /** The guest that has the address; with two of them the network is as undecided as a real one, and says so. */
  #ownerOf(host: string): Guest | undefined {
    const owners = [...this.#guests()].filter(
      (guest) =>
        guest.state === 'running' &&
        guest.interfaces.some((card) => card.up && !card.nic.linkDown && card.addresses.some(({ address }) => address === host)),
    )
    if (owners.length > 1) throw new Error(`${host} is up on ${owners.map((guest) => guest.spec.vmid).join(' and ')}`)
    return owners[0]
  }

  async #connect(source: string, host: string, port: number): Promise<Duplex> {
    const guest = this.#ownerOf(host)
    if (!guest || guest.paused) throw failure('EHOSTUNREACH', host, port)
    const verdict = this.#verdict(guest, { direction: 'in', proto: 'tcp', source, dest: host, dport: port })
    if (verdict === 'DROP') throw failure('ETIMEDOUT', host, port)
    if (verdict === 'REJECT') throw failure('ECONNREFUSED', host, port)
    const [near, far] = pipe()
    if (!guest.accept(port, far) && !serveWeb(guest, far, { from: source, to: host, port })) {
      far.destroy()
      throw failure('ECONNREFUSED', host, port)
    }
    return near
  }

  #verdict(guest: Guest, packet: Packet): 'ACCEPT' | 'DROP' | 'REJECT' {
    const own = packet.direction === 'in' ? packet.dest : packet.source
    const card = guest.interfaces.find((each) => each.addresses.some(({ address }) => address === own))
    return card ? decide(this.#firewall, guest.spec.vmid, card.slot, card.nic.firewall, packet) : 'ACCEPT'
  }

  #allowed(guest: Guest, packet: Packet): boolean {
    return this.#verdict(guest, packet) === 'ACCEPT'
  }
}

function failure(code: string, host: string, port: number): Error {
  return Object.assign(new Error(`connect ${code} ${host}:${port}`), { code, syscall: 'connect', address: host, port })
}
