/** What answers whom: from the internet, from a stranger in the LAN, from the admin network; with each firewall alone. */
import { containerNetworks } from '../settings/containers.ts'
import type { Proxmox } from '../proxmox/client.ts'
import { datacenterFirewall } from '../proxmox/firewall.ts'
import { contains, parseNetwork } from '../settings/address.ts'
import { groupWithRole, type Site } from '../settings/site.ts'
import { expectThat, type Checks } from './checks.ts'
import type { Control } from './control.ts'
import { inGuest, type Guest } from './survive.ts'

export interface FirewallPlace {
  readonly site: Site
  /** The router's ports that lead to it. */
  readonly router: { readonly http: number; readonly https: number }
  readonly control: Control
  /** With root's token: only an administrator may switch the datacenter firewall. */
  readonly administrator: Proxmox
  readonly guests: Readonly<Record<string, Guest>>
}

/** Ports that something in the VMs listens on, or that people leave open by mistake. */
const tempting = [22, 2375, 2376, 3000, 3100, 8080, 8443, 9080, 9095, 9121, 24282]

interface Probe {
  readonly from: 'admin' | 'stranger' | 'internet'
  readonly host: string
  readonly port: number
  readonly open: boolean
}

/** What the flow table says of the VMs' addresses, as connections to try. */
export function probes(site: Site): Probe[] {
  const list: Probe[] = []
  for (const [, group] of Object.entries(site.groups)) {
    for (const host of [group.service, group.slots.blue.address]) {
      const logging = group.roles.includes('logging')
      for (const port of new Set([80, 443, site.logging.port, ...tempting])) {
        // Serena is at its service address alone: a slot's own address has 443 for its peer, who is not there.
        const web = host === group.service && group.roles.includes('serena') && (port === 80 || port === 443)
        list.push({ from: 'stranger', host, port, open: web })
        list.push({ from: 'admin', host, port, open: web || port === 22 || (logging && port === site.logging.port) })
      }
    }
  }
  return list
}

async function tryAll(control: Control, list: readonly Probe[]): Promise<void> {
  const wrong = (
    await Promise.all(
      list.map(async (probe) => {
        const reached = await control.reaches(probe.from, probe.host, probe.port)
        return reached === probe.open ? [] : [`${probe.from} → ${probe.host}:${probe.port} is ${reached ? 'open' : 'closed'}`]
      }),
    )
  ).flat()
  expectThat(wrong.length === 0, wrong.join('; '))
}

export async function checkFirewalls(checks: Checks, place: FirewallPlace, label: string): Promise<void> {
  const { site, router, control, administrator, guests } = place
  const all = probes(site)
  const datacenter = (on: boolean): Promise<void> => datacenterFirewall(administrator).turn(on)
  const eachGuest = async (command: string): Promise<void> => {
    for (const guest of Object.values(guests)) await inGuest(guest, command)
  }

  await checks.check(`${label}: on the router only two ports answer, for HTTP and HTTPS`, async () => {
    for (const port of [router.http, router.https])
      expectThat(await control.reaches('internet', 'router', port), `port ${port} does not answer`)
    const open: number[] = []
    for (const port of [site.logging.port, ...tempting]) if (await control.reaches('internet', 'router', port)) open.push(port)
    expectThat(open.length === 0, `also open: ${open.join(', ')}`)
  })
  const out = async (): Promise<void> => {
    const serena = groupWithRole(site, 'serena')
    const guest = serena && guests[serena.name]
    if (guest === undefined) throw new Error('no Serena VM')
    await nothingOutside(guest, site, control)
  }
  await checks.check(`${label}: the guests' own firewall alone admits exactly the flow table, in and out`, async () => {
    await datacenter(false)
    await tryAll(control, all)
    await out()
  })
  await checks.check(`${label}: from inside Serena's container nothing answers but itself, and nothing leaves but DNS`, async () => {
    const serena = groupWithRole(site, 'serena')
    const guest = serena && guests[serena.name]
    if (guest === undefined) throw new Error('no Serena VM')
    await scanFromContainer(guest, site)
  })
  await checks.check(`${label}: Proxmox's firewall alone admits exactly the flow table, in and out`, async () => {
    await datacenter(true)
    // The guest's own watch would put its table back.
    await eachGuest('systemctl stop golden-watch.service && nft delete table inet golden')
    try {
      await tryAll(control, all)
      await out()
    } finally {
      await eachGuest('systemctl restart golden-firewall.service && systemctl start golden-watch.service')
    }
  })
  await checks.check(`${label}: both firewalls together admit exactly the flow table`, () => tryAll(control, all))
}

/** Where a container of Serena's could go if it were let: the site's VMs, its peer slot, the gateway, Proxmox, a registry, its host, others. */
export function temptations(site: Site): { readonly host: string; readonly port: number }[] {
  const vms = Object.values(site.groups).flatMap((group) => [group.service, group.slots.blue.address, group.slots.green.address])
  const lan = (last: number): string => site.network.subnet.replace(/\d+\/\d+$/, String(last))
  const inside = containerNetworks(site.network.containers)
  const list = [
    ...[...vms, inside.serena.replace(/\d+\/\d+$/, '1')].flatMap((host) =>
      [22, 80, 443, 8099, site.logging.port].map((port) => ({ host, port })),
    ),
    ...[
      [site.network.gateway, 22],
      [site.network.gateway, 443],
      [lan(2), 8006],
      [lan(3), 5000],
      [inside.loki, 3100],
      [inside.grafana, 3000],
      ['192.0.2.1', 443],
    ].map(([host, port]) => ({ host: String(host), port: Number(port) })),
  ]
  return list.filter(
    ({ host, port }) =>
      !site.network.outgoing.some((way) => way.port === port && contains(parseNetwork(way.to) ?? { first: 1, last: 0, prefix: 0 }, host)),
  )
}

/**
 * The guest's own firewall alone tells containers apart. UDP is answered by nobody: what leaves the VM is counted, in a
 * table that is there for this alone.
 */
async function scanFromContainer(guest: Guest, site: Site): Promise<void> {
  const name = site.serena.transports.includes('streamable-http') ? 'serena_mcp' : 'serena_mcp_sse'
  const inside = 'nsenter --target "$pid" --net'
  const tcp = [...temptations(site), { host: '127.0.0.1', port: 9121 }].map(
    ({ host, port }) => `(${inside} timeout 10 bash -c 'exec 3<>/dev/tcp/${host}/${port}' 2>/dev/null && echo ${host}:${port}) &`,
  )
  const udp = (host: string, port: number): string => `${inside} bash -c 'echo x > /dev/udp/${host}/${port}' 2>/dev/null || true`
  const others = [
    ...new Set([
      site.network.gateway,
      site.network.nameservers[0] ?? '',
      ...Object.values(site.groups).map((group) => group.service),
      '192.0.2.1',
    ]),
  ]
  const seen = await inGuest(
    guest,
    `pid=$(docker inspect --format '{{.State.Pid}}' ${name}) || exit 1
nft -f - <<'END'
table inet scan {
  counter dns { }
  counter other { }
  chain out { type filter hook postrouting priority 300; oifname "eth0" udp dport 53 counter name dns; oifname "eth0" udp dport { 123, 514, 4789 } counter name other; }
}
END
trap 'nft delete table inet scan' EXIT
${tcp.join('\n')}
wait
${[123, 514, 4789].flatMap((port) => others.map((host) => udp(host, port))).join('\n')}
${udp(site.network.nameservers[0] ?? '', 53)}
for counter in dns other; do echo "$counter $(nft list counter inet scan $counter | sed -n 's/.*packets \\([0-9]*\\).*/\\1/p')"; done`,
  )
  const lines = seen.trim().split('\n')
  expectThat(lines.includes('127.0.0.1:9121'), `Serena does not reach itself, so the check would prove nothing: ${seen}`)
  expectThat(
    !lines.includes('dns 0') && lines.some((line) => line.startsWith('dns ')),
    `no question for a name left the VM, so the check would prove nothing: ${seen}`,
  )
  const reached = lines.filter((line) => line.includes(':') && line !== '127.0.0.1:9121')
  expectThat(reached.length === 0, `the container reaches ${reached.join(', ')}`)
  expectThat(lines.includes('other 0'), `UDP other than DNS leaves the VM: ${lines.join(', ')}`)
}

/** Proxmox's API as seen from the LAN, and the image registry: what there is besides VMs. Both answer others. */
async function nothingOutside(guest: Guest, site: Site, control: Control): Promise<void> {
  const prefix = site.network.subnet.replace(/\d+\/\d+$/, '')
  const places = [
    [`${prefix}2`, 8006],
    [`${prefix}3`, 5000],
  ] as const
  for (const [host, port] of places)
    expectThat(await control.reaches('stranger', host, port), `nothing listens at ${host}:${port}, so the check would prove nothing`)
  const tries = places.map(([host, port]) => `(timeout 4 bash -c 'exec 3<>/dev/tcp/${host}/${port}' 2>/dev/null && echo ${host}:${port}) &`)
  const reached = (await inGuest(guest, `${tries.join(' ')} wait`)).trim()
  expectThat(reached === '', `the Serena VM reaches ${reached}`)
}
