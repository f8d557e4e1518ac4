/** The lab's LAN in network namespaces. See layout.ts for the picture. */
import type { ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, writeFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runChildSync } from '../child.ts'
import type { FirewallState, LabNetwork, NicSpec } from '../compute/driver.ts'
import { compileFirewall, type FirewallNic } from './firewall.ts'
import { startGateway, type Gateway } from './gateway-client.ts'
import { layoutOf, type Layout } from './layout.ts'
import { createNamespace, endProcess, type Namespace } from './namespaces.ts'
import { compileRouter, routerLinks, type RouterSettings } from './router.ts'
import { startSlirp } from './slirp.ts'

/** The one bridge, named as Proxmox names its first. */
export const bridgeName = 'vmbr0'

export interface RealNetwork extends LabNetwork {
  readonly layout: Layout
  /** Put before a command: it runs as the host that has the lab's service addresses (`.2` and `.3`). */
  readonly enter: readonly string[]
  /** Where the bridge and the guests' taps are. */
  readonly bridge: Namespace
  /** Makes a loopback port of this computer reachable in the LAN at one of the services' addresses. */
  publish(address: string, port: number, hostPort: number): Promise<void>
  /** Makes the tap of a card and puts it on the bridge, under the firewall. Returns its name. */
  attach(vmid: number, nic: NicSpec): Promise<string>
  detach(vmid: number, slot: string): Promise<void>
  close(): Promise<void>
}

export interface NetworkOptions {
  readonly stateDir: string
  readonly subnet: string
  readonly log: (line: string) => void
  /** How long a connection may take to be answered. @default 20 s */
  readonly dialTimeoutMs?: number
}

/** Builds the LAN; needs root. Rejects, leaving nothing, when it can't. */
export async function createNetwork(options: NetworkOptions): Promise<RealNetwork> {
  const layout = layoutOf(options.subnet)
  requireBridgeNetfilter()
  const namespaces: Namespace[] = []
  const gateways: Gateway[] = []
  let slirp: ChildProcess | undefined
  const close = async () => {
    await Promise.all(gateways.splice(0).map((gateway) => gateway.close()))
    if (slirp) await endProcess(slirp)
    await Promise.all(namespaces.splice(0).map((namespace) => namespace.close()))
  }
  try {
    for (let count = 0; count < 4; count++) namespaces.push(await createNamespace())
    const [bridge, router, services, internet] = namespaces as [Namespace, Namespace, Namespace, Namespace]
    await connectAll(layout, bridge, router, services, internet)
    let routerSettings: RouterSettings = { target: null, second: null, internet: true }
    const applyRouter = async (change: Partial<RouterSettings>) => {
      routerSettings = { ...routerSettings, ...change }
      await router.nft(compileRouter(layout, routerSettings))
    }
    await applyRouter({})
    slirp = await startSlirp(router, routerLinks.slirp, layout.slirpCidr)
    const folder = await shortFolder(options.stateDir)
    const admin = await startGateway(services, layout.admin, join(folder, 'lan'), options.dialTimeoutMs)
    gateways.push(admin)
    const stranger = await startGateway(services, layout.stranger, join(folder, 'stranger'), options.dialTimeoutMs)
    gateways.push(stranger)
    const outside = await startGateway(internet, layout.internetHost, join(folder, 'internet'), options.dialTimeoutMs)
    gateways.push(outside)
    options.log(`network ${layout.subnet} is up (nsenter -t ${bridge.pid} -n shows its bridge, -t ${router.pid} its router)`)

    let firewall: FirewallState = { cluster: { options: {}, rules: [], ipsets: {}, aliases: {} }, vms: {} }
    const nics = new Map<string, FirewallNic>()
    let reported: ReadonlySet<string> = new Set()
    let turn: Promise<unknown> = Promise.resolve()
    /** Rule sets go into force one after another, each from the newest state. */
    const refresh = () => {
      const next = turn.then(async () => {
        const { script, ignored } = compileFirewall(firewall, [...nics.values()])
        await bridge.nft(script)
        for (const line of ignored) if (!reported.has(line)) options.log(`firewall: ignored: ${line}`)
        reported = new Set(ignored)
      })
      turn = next.catch(() => {})
      return next
    }
    await refresh()

    return {
      layout,
      subnet: layout.subnet,
      gateway: layout.gateway,
      nameserver: layout.gateway,
      enter: services.enter,
      bridge,
      applyFirewall: async (state) => {
        firewall = state
        await refresh()
      },
      dial: (host, port) => admin.dial(host, port),
      dialStranger: (host, port) => stranger.dial(host, port),
      dialRouter: (port) => outside.dial(layout.outside, port),
      setForwards: async (forwards) => await applyRouter(forwards),
      setInternet: async (on) => await applyRouter({ internet: on }),
      publish: (address, port, hostPort) => admin.publish(address, port, hostPort),
      attach: async (vmid, nic) => {
        if (nic.bridge !== bridgeName) throw new Error(`bridge '${nic.bridge}' does not exist`)
        const link = `lab${vmid}i${nic.slot.replace('net', '')}`
        nics.set(link, { vmid, nic, link })
        try {
          await refresh() // before the first packet
          await bridge.ip([
            `tuntap add dev ${link} mode tap`,
            `link set ${link} addrgenmode none`,
            `link set ${link} master ${bridgeName} up`,
          ])
        } catch (error) {
          nics.delete(link)
          await bridge.ip([`link del ${link}`]).catch(() => {})
          throw error
        }
        return link
      },
      detach: async (vmid, slot) => {
        const link = `lab${vmid}i${slot.replace('net', '')}`
        if (!nics.delete(link)) return
        await bridge.ip([`link del ${link}`])
        await refresh()
      },
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

/**
 * Connection tracking of bridged packets is a kernel module that nothing loads by itself. It stays loaded: whatever
 * else the computer's bridges carry is not affected while their own `bridge-nf-call` settings are 0, so those are kept.
 */
function requireBridgeNetfilter(): void {
  const settings = '/proc/sys/net/bridge'
  if (existsSync(settings)) return
  const loaded = runChildSync(['modprobe', 'br_netfilter'])
  if (!existsSync(settings))
    throw new Error(
      `the lab's firewall needs the kernel module br_netfilter, and it can't be loaded: ${(loaded?.stderr ?? 'there is no modprobe').trim()}. Run: modprobe br_netfilter`,
    )
  // The module switches this on for the computer's own bridges; only the lab's namespace is to have it.
  for (const name of ['iptables', 'ip6tables', 'arptables']) writeFileSync(`${settings}/bridge-nf-call-${name}`, '0')
}

async function connectAll(layout: Layout, bridge: Namespace, router: Namespace, services: Namespace, internet: Namespace): Promise<void> {
  const { lan, outside } = routerLinks
  // Bridged IP packets pass the inet rules too: that is where connections are tracked.
  await bridge.sysctl({
    'bridge/bridge-nf-call-iptables': '1',
    'bridge/bridge-nf-call-ip6tables': '1',
    'bridge/bridge-nf-call-arptables': '0',
  })
  await bridge.ip([
    `link add ${bridgeName} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
    `link set ${bridgeName} addrgenmode none`,
    `link add router0 type veth peer name ${lan} netns ${router.pid}`,
    `link add services0 type veth peer name ${lan} netns ${services.pid}`,
    ...['router0', 'services0'].flatMap((link) => [`link set ${link} addrgenmode none`, `link set ${link} master ${bridgeName} up`]),
    `link set ${bridgeName} up`,
    // The kernel makes a firewall's REJECT only where it has a route, though it then sends it out by the port it came in.
    `route add default dev ${bridgeName}`,
  ])
  // The lab's own hosts speak IPv4 only: an address that came by itself would be a way past the router's rules.
  for (const namespace of [router, services, internet]) await namespace.ip6Off()
  await router.ip([
    `address add ${layout.gateway}/${layout.prefix} dev ${lan}`,
    `link set ${lan} up`,
    `link add ${outside} type veth peer name ${outside} netns ${internet.pid}`,
    `address add ${layout.outside}/30 dev ${outside}`,
    `link set ${outside} up`,
  ])
  await router.sysctl({ 'ipv4/ip_forward': '1' })
  await services.ip([
    `address add ${layout.admin}/${layout.prefix} dev ${lan}`,
    `address add ${layout.registry}/${layout.prefix} dev ${lan}`,
    `address add ${layout.stranger}/${layout.prefix} dev ${lan}`,
    `link set ${lan} up`,
    `route add default via ${layout.gateway}`,
  ])
  await internet.ip([`address add ${layout.internetHost}/30 dev ${outside}`, `link set ${outside} up`])
}

/** A folder for Unix sockets, whose paths are at most 107 bytes long (unix(7)): in the state folder if that is short enough. */
async function shortFolder(stateDir: string): Promise<string> {
  const preferred = join(stateDir, 'network')
  const folder =
    preferred.length <= 80 ? preferred : join(tmpdir(), `sgl-${createHash('sha256').update(stateDir).digest('hex').slice(0, 12)}`)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  return folder
}
