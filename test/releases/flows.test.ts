import { execFileSync, spawnSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { acme } from '../../settings/acme.ts'
import { containerNetworks } from '../../settings/containers.ts'
import { contains, parseNetwork } from '../../settings/address.ts'
import { vmFlows } from '../../releases/flows.ts'
import { owner } from '../../images/guest/places.ts'
import { nftables } from '../../releases/nftables.ts'
import { proxmoxFirewallOptions, proxmoxRules } from '../../releases/proxmox-rules.ts'
import { slotNames, type Site, type SlotName } from '../../settings/site.ts'
import { exampleSite } from '../images/example.ts'
import { addressOf, nftAdmits, proxmoxAdmits, type Packet } from './packets.ts'

const logging = {
  roles: ['logging'],
  service: '192.168.1.60',
  depot: 9300,
  slots: { blue: { vmid: 9301, address: '192.168.1.61' }, green: { vmid: 9302, address: '192.168.1.62' } },
}
const twoVms = exampleSite((input) => {
  input.groups.logging = logging
  input.network.admin = ['192.168.1.8/29', '10.9.0.0/16']
  input.network.outgoing = [
    { to: '140.82.112.0/20', port: 443 },
    { to: '203.0.113.7/32', port: 9418, protocol: 'tcp' },
  ]
})
const oneVm = exampleSite((input) => {
  input.groups.serena.roles = ['serena', 'logging']
})
const withNtp = exampleSite((input) => {
  input.network.ntp = ['192.168.1.3']
})
const elsewhere = exampleSite((input) => {
  input.groups.logging = logging
  input.network.containers = '10.200.0.0/22'
})
const sites: Record<string, Site> = { twoVms, oneVm, withNtp, elsewhere }

/** Addresses that mean something in those sites, and any other. */
const address = fc.oneof(
  fc.constantFrom(
    '192.168.1.1',
    '192.168.1.3',
    '192.168.1.5',
    '192.168.1.10',
    '192.168.1.50',
    '192.168.1.51',
    '192.168.1.52',
    '192.168.1.60',
    '192.168.1.61',
    '192.168.1.62',
    '10.9.3.4',
    '140.82.121.3',
    '203.0.113.7',
    '8.8.8.8',
    '172.30.0.11',
  ),
  fc.integer({ min: 1, max: 2 ** 32 - 2 }).map(addressOf),
)
const packet: fc.Arbitrary<Packet> = fc.record({
  direction: fc.constantFrom('in', 'out'),
  source: address,
  dest: address,
  protocol: fc.constantFrom('tcp', 'udp', 'icmp'),
  port: fc.oneof(fc.constantFrom(22, 53, 80, 123, 443, 3100, 8006, 8443, 9121, 9418), fc.integer({ min: 1, max: 65_535 })),
})
const vm = fc.constantFrom(
  ...Object.entries(sites).flatMap(([name, site]) =>
    Object.keys(site.groups).flatMap((group) => slotNames.map((slot) => ({ name, site, group, slot }))),
  ),
)
const onNic = (one: Packet) => ({
  ...one,
  state: 'new' as const,
  ...(one.direction === 'in'
    ? { chain: 'input' as const, iifname: 'eth0', oifname: '' }
    : { chain: 'output' as const, iifname: '', oifname: 'eth0' }),
})

/** What comes from elsewhere and goes out is what the slot steers to its peer; it is not tracked. */
const steered = (one: Packet, nexthop: string) => ({ ...onNic(one), state: 'untracked' as const, nexthop })
const peerOf = (site: Site, group: string, slot: SlotName): string => site.groups[group]!.slots[slot === 'blue' ? 'green' : 'blue'].address

it('Proxmox and the guest admit exactly the same connections', () => {
  fc.assert(
    fc.property(vm, packet, ({ site, group, slot }, one) => {
      const flows = vmFlows(site, group, slot)
      const own = one.direction === 'in' || flows.local.includes(one.source)
      const seen = own ? onNic(one) : steered(one, peerOf(site, group, slot))
      // Proxmox can't tell the VM's own packets to the service address from those that it steers; the guest can.
      const rows = own ? flows.flows.filter((flow) => flow.steered === undefined) : flows.flows
      expect(nftAdmits(nftables(flows), seen)).toBe(proxmoxAdmits(proxmoxRules({ ...flows, flows: rows }), one))
    }),
    { numRuns: 3000 },
  )
})

it('only what the service is for, and only to the peer slot, is steered', () => {
  fc.assert(
    fc.property(vm, packet, fc.boolean(), ({ site, group, slot }, one, astray) => {
      const flows = vmFlows(site, group, slot)
      const peer = peerOf(site, group, slot)
      const sent = { ...one, direction: 'out' as const, dest: fc.sample(fc.constantFrom(one.dest, flows.local[1]), 1)[0]! }
      const admitted = nftAdmits(nftables(flows), steered(sent, astray ? '192.168.1.1' : peer))
      const letIn = proxmoxAdmits(proxmoxRules(flows), { ...sent, direction: 'in' })
      const expected = !astray && sent.dest === flows.local[1] && letIn && sent.port !== 22 && !flows.local.includes(sent.source)
      // The VM's own packets go where they may, tracked or not.
      if (!flows.local.includes(sent.source)) expect(admitted).toBe(expected)
      expect(nftAdmits(nftables(flows), { ...steered(sent, peer), chain: 'forward', iifname: 'eth0' })).toBe(false)
    }),
    { numRuns: 3000 },
  )
})

/** In which network the containers of a site are. */
const containersOf = (site: Site): ReturnType<typeof containerNetworks> => containerNetworks(site.network.containers)

it('containers get DNS and what the site lists, and nothing else of what the VM gets', () => {
  fc.assert(
    fc.property(vm, packet, ({ site, group, slot }, one) => {
      const fromContainer = nftAdmits(nftables(vmFlows(site, group, slot)), {
        ...one,
        source: containersOf(site).serenaMcp,
        chain: 'forward',
        iifname: 'br-golden',
        oifname: 'eth0',
        state: 'new',
      })
      const { nameservers, outgoing } = site.network
      const dns = one.protocol !== 'icmp' && one.port === 53 && nameservers.includes(one.dest)
      const listed = outgoing.some(
        ({ to, port, protocol }) => port === one.port && protocol === one.protocol && contains(parseNetwork(to)!, one.dest),
      )
      expect(fromContainer).toBe(dns || listed)
    }),
    { numRuns: 3000 },
  )
})

const withAcme = exampleSite((input) => {
  input.public.certificate = acme({ dns: { provider: 'rfc2136', environment: { DNSUPDATE_NAMESERVER: '192.168.1.3' } } })
})

it('with an ACME server its client gets out, and nobody else of the VM; to Proxmox the VM does', () => {
  const ways = (one: Packet): boolean =>
    (one.protocol === 'tcp' && one.port === 443) || (one.protocol !== 'icmp' && one.port === 53 && one.dest === '192.168.1.3')
  fc.assert(
    fc.property(fc.constantFrom(...slotNames), packet, fc.constantFrom(0, owner.acme, owner.nginx), (slot, one, uid) => {
      const [flows, plain] = [withAcme, exampleSite(() => {})].map((site) => vmFlows(site, 'serena', slot))
      const sent = { ...one, direction: 'out' as const, source: flows!.local[0] }
      const before = nftAdmits(nftables(plain!), { ...onNic(sent), uid })
      expect(nftAdmits(nftables(flows!), { ...onNic(sent), uid })).toBe(before || (uid === owner.acme && ways(sent)))
      const fromContainer = {
        ...onNic(sent),
        chain: 'forward' as const,
        iifname: 'golden-serena',
        source: containersOf(withAcme).serenaMcp,
      }
      expect(nftAdmits(nftables(flows!), fromContainer)).toBe(nftAdmits(nftables(plain!), fromContainer))
      expect(proxmoxAdmits(proxmoxRules(flows!), sent)).toBe(proxmoxAdmits(proxmoxRules(plain!), sent) || ways(sent))
    }),
    { numRuns: 1000 },
  )
})

it('what is pinned by an earlier version renders to the same ways out', () => {
  const { local, flows } = vmFlows(twoVms, 'serena', 'blue')
  const pinned = nftables({ local, flows: flows.map(({ hostOnly: _new, ...flow }) => flow) })
  expect(
    nftAdmits(pinned, {
      source: '172.30.0.11',
      dest: '192.168.1.60',
      protocol: 'tcp',
      port: 8443,
      chain: 'forward',
      iifname: 'golden-serena',
      oifname: 'eth0',
      state: 'new',
    }),
  ).toBe(true)
})

it('nobody gets through a VM into its containers, and containers do not reach their host', () => {
  fc.assert(
    fc.property(vm, packet, ({ site, group, slot }, one) => {
      const text = nftables(vmFlows(site, group, slot))
      expect(nftAdmits(text, { ...one, chain: 'forward', iifname: 'eth0', oifname: 'br-golden', state: 'new' })).toBe(false)
      expect(
        nftAdmits(text, { ...one, source: containersOf(site).serenaMcp, chain: 'input', iifname: 'br-golden', oifname: '', state: 'new' }),
      ).toBe(false)
      expect(nftAdmits(text, { ...one, chain: 'input', iifname: 'eth0', oifname: '', state: 'invalid' })).toBe(false)
      expect(nftAdmits(text, { ...one, chain: 'input', iifname: 'eth0', oifname: '', state: 'established' })).toBe(true)
    }),
    { numRuns: 1000 },
  )
})

it("who works on the projects over SSH gets nowhere from the VM, and Serena's network not to Loki", () => {
  fc.assert(
    fc.property(
      vm,
      packet,
      fc.constantFrom('lo', 'eth0', 'golden-logging'),
      fc.constantFrom(owner.projects, 1000),
      ({ site, group, slot }, one, oifname, uid) => {
        const text = nftables(vmFlows(site, group, slot))
        const sent = { ...one, chain: 'output' as const, iifname: '', oifname, uid }
        expect(nftAdmits(text, { ...sent, state: 'new' })).toBe(false)
        expect(nftAdmits(text, { ...sent, state: 'established' })).toBe(true)
        expect(
          nftAdmits(text, {
            ...one,
            source: containersOf(site).serenaMcp,
            dest: containersOf(site).loki,
            chain: 'forward',
            iifname: 'golden-serena',
            oifname: 'golden-logging',
            state: 'new',
          }),
        ).toBe(false)
        expect(
          nftAdmits(text, {
            ...one,
            source: containersOf(site).grafana,
            dest: containersOf(site).loki,
            chain: 'forward',
            iifname: 'golden-logging',
            oifname: 'golden-logging',
            state: 'new',
          }),
        ).toBe(true)
      },
    ),
    { numRuns: 500 },
  )
})

describe('the table of the design', () => {
  const admits = (site: Site, group: string, change: Partial<Packet>): boolean =>
    proxmoxAdmits(proxmoxRules(vmFlows(site, group, 'blue')), {
      direction: 'in',
      source: '198.51.100.9',
      dest: '',
      protocol: 'tcp',
      port: 443,
      ...change,
    })
  const serena = { dest: '192.168.1.50' }
  const push = { dest: '192.168.1.60', port: 8443 }
  it.each([
    ['anywhere → Serena, 443', true, admits(twoVms, 'serena', serena)],
    ['anywhere → Serena, 80', true, admits(twoVms, 'serena', { ...serena, port: 80 })],
    ["anywhere → Serena by its slot's own address, 443", false, admits(twoVms, 'serena', { dest: '192.168.1.51' })],
    ["anywhere → Serena by its slot's own address, 80", false, admits(twoVms, 'serena', { dest: '192.168.1.51', port: 80 })],
    ["admin → Serena by its slot's own address, 443", false, admits(twoVms, 'serena', { dest: '192.168.1.51', source: '192.168.1.10' })],
    ['admin → Serena, 443', true, admits(twoVms, 'serena', { ...serena, source: '192.168.1.10' })],
    ["admin → SSH by the slot's own address", true, admits(twoVms, 'serena', { dest: '192.168.1.51', port: 22, source: '192.168.1.10' })],
    ["Serena's peer slot → 443", true, admits(twoVms, 'serena', { dest: '192.168.1.51', source: '192.168.1.52' })],
    ["Serena's peer slot → 80", false, admits(twoVms, 'serena', { dest: '192.168.1.51', source: '192.168.1.52', port: 80 })],
    ["another VM of the site → Serena's own address", false, admits(twoVms, 'serena', { dest: '192.168.1.51', source: '192.168.1.61' })],
    ['anywhere → Serena itself, past nginx', false, admits(twoVms, 'serena', { ...serena, port: 9121 })],
    ['anywhere → SSH', false, admits(twoVms, 'serena', { ...serena, port: 22 })],
    ['admin → SSH', true, admits(twoVms, 'serena', { ...serena, port: 22, source: '192.168.1.10' })],
    ['LAN, not admin → SSH', false, admits(twoVms, 'serena', { ...serena, port: 22, source: '192.168.1.100' })],
    ['admin → Grafana', true, admits(twoVms, 'logging', { ...push, source: '10.9.1.1' })],
    ['anywhere → Grafana', false, admits(twoVms, 'logging', push)],
    ['anywhere → Grafana, both roles on one VM', false, admits(oneVm, 'serena', { ...serena, port: 8443 })],
    ['anywhere → the logging VM, 443', false, admits(twoVms, 'logging', { dest: '192.168.1.60' })],
    ['a VM of the site → Loki push', true, admits(twoVms, 'logging', { ...push, source: '192.168.1.52' })],
    [
      "the logging VM's peer slot → its service address",
      false,
      admits(twoVms, 'logging', { dest: '192.168.1.60', source: '192.168.1.62' }),
    ],
    ['the peer slot → 443', true, admits(twoVms, 'logging', { dest: '192.168.1.61', source: '192.168.1.62' })],
    ['out to the LAN', false, admits(twoVms, 'serena', { direction: 'out', source: '192.168.1.51', dest: '192.168.1.77' })],
    ['out to Proxmox', false, admits(twoVms, 'serena', { direction: 'out', source: '192.168.1.51', dest: '192.168.1.5', port: 8006 })],
    ['out to the world', false, admits(twoVms, 'serena', { direction: 'out', source: '192.168.1.51', dest: '198.51.100.1' })],
    ['out to what the site lists', true, admits(twoVms, 'serena', { direction: 'out', source: '192.168.1.51', dest: '140.82.121.3' })],
    [
      'out to DNS',
      true,
      admits(twoVms, 'serena', { direction: 'out', source: '192.168.1.51', dest: '192.168.1.1', protocol: 'udp', port: 53 }),
    ],
    [
      'out to another DNS',
      false,
      admits(twoVms, 'serena', { direction: 'out', source: '192.168.1.51', dest: '8.8.8.8', protocol: 'udp', port: 53 }),
    ],
    ['out to Loki push', true, admits(twoVms, 'serena', { direction: 'out', source: '192.168.1.51', dest: '192.168.1.60', port: 8443 })],
    [
      'out to any NTP, none listed',
      false,
      admits(twoVms, 'serena', { direction: 'out', source: '192.168.1.51', dest: '198.51.100.1', protocol: 'udp', port: 123 }),
    ],
    [
      'out to the NTP server that is listed',
      true,
      admits(withNtp, 'serena', { direction: 'out', source: '192.168.1.51', dest: '192.168.1.3', protocol: 'udp', port: 123 }),
    ],
    [
      'out to another NTP than listed',
      false,
      admits(withNtp, 'serena', { direction: 'out', source: '192.168.1.51', dest: '198.51.100.1', protocol: 'udp', port: 123 }),
    ],
    [
      "out under another's address",
      false,
      admits(twoVms, 'serena', { direction: 'out', source: '192.168.1.61', dest: '192.168.1.1', protocol: 'udp', port: 53 }),
    ],
  ])('%s: %s', (_what, expected, admitted) => {
    expect(admitted).toBe(expected)
  })

  it('Proxmox drops what no rule names, and takes no other MAC address', () => {
    expect(proxmoxFirewallOptions).toMatchObject({ enabled: true, inputPolicy: 'DROP', outputPolicy: 'DROP', macfilter: true })
  })
})

it("the guest's table is replaced as a whole, and no other table is named", () => {
  const text = nftables(vmFlows(twoVms, 'serena', 'blue'))
  expect(text.split('\n').slice(0, 3)).toEqual(['table inet golden', 'delete table inet golden', 'table inet golden {'])
  expect(text).not.toMatch(/flush/)
  expect(text.match(/^table /gm)).toHaveLength(2)
})

/** A network namespace to try it in, and nft. */
const canLoad = spawnSync('unshare', ['-n', 'nft', 'list', 'tables']).status === 0
it.skipIf(!canLoad)("nft takes it, twice in a row, and leaves Docker's tables alone (needs nft and root)", () => {
  const text = nftables(vmFlows(withAcme, 'serena', 'green'))
  const listed = execFileSync(
    'unshare',
    [
      '-n',
      'sh',
      '-ec',
      'nft add table ip docker_like; t=$(mktemp); cat > "$t"; nft -c -f "$t"; nft -f "$t"; nft -f "$t"; rm "$t"; nft list tables',
    ],
    { input: text, encoding: 'utf8' },
  )
  expect(listed.trim().split('\n')).toEqual(['table ip docker_like', 'table inet golden'])
})
