import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { FirewallRule, FirewallScope, FirewallState } from '../../lab/compute/driver.ts'
import { formatAddress, formatRange, parseAddress, parseCidr, rangesOf } from '../../lab/network/addresses.ts'
import { run } from '../../lab/network/command.ts'
import { compileFirewall, type FirewallNic } from '../../lab/network/firewall.ts'
import { layoutOf } from '../../lab/network/layout.ts'
import { compileRouter } from '../../lab/network/router.ts'
import { networkImpossible } from './network-guests.ts'

const scope = (rest: Partial<FirewallScope> = {}): FirewallScope => ({
  options: { enable: '1' },
  rules: [],
  ipsets: {},
  aliases: {},
  ...rest,
})
const port = (vmid: number, slot = 'net0'): FirewallNic => ({
  vmid,
  link: `lab${vmid}i${slot.slice(3)}`,
  nic: { slot, model: 'virtio', mac: 'BC:24:11:00:00:01', bridge: 'vmbr0', firewall: true },
})
const compile = (guest: Partial<FirewallScope>, cluster: Partial<FirewallScope> = {}) =>
  compileFirewall({ cluster: scope(cluster), vms: { 100: scope(guest) } }, [port(100)])
const accept = (rest: Partial<FirewallRule>): FirewallRule => ({ type: 'in', action: 'ACCEPT', enable: true, ...rest })
const checkRules = (script: string) => run(['unshare', '--net', 'nft', '-c', '-f', '-'], { input: script })

describe('addresses', () => {
  const four = fc.nat(0xffffffff).map((value) => formatAddress(BigInt(value), 4))
  const six = fc.bigInt(0n, (1n << 128n) - 1n).map((value) => formatAddress(value, 6))

  it('are read as they are written', () => {
    fc.assert(fc.property(fc.oneof(four, six), (text) => formatAddress(parseAddress(text).value, parseAddress(text).family) === text))
  })

  it.each([
    ['::1', '0:0:0:0:0:0:0:1'],
    ['fe80::', 'fe80:0:0:0:0:0:0:0'],
    ['::ffff:10.0.0.1', '0:0:0:0:0:ffff:a00:1'],
    ['1:2::8', '1:2:0:0:0:0:0:8'],
  ])('%s is short for %s', (short, long) => {
    expect(formatAddress(parseAddress(short).value, 6)).toBe(long)
  })

  it.each([
    '',
    '10.0.0',
    '10.0.0.256',
    '10.0.0.0/33',
    '10.0.0.9-10.0.0.1',
    '1:2:3',
    '::1::2',
    'fe80::/129',
    '10.0.0.1/',
    'name',
    '1::2:3:4:5:6:7:8',
  ])('%j is none', (text) => {
    expect(() => parseCidr(text)).toThrow()
  })

  it('of a set: the narrowest entry decides', () => {
    const entry = fc.record({ address: fc.nat(255), prefix: fc.integer({ min: 24, max: 32 }), nomatch: fc.boolean() })
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 8 }), fc.nat(255), (entries, last) => {
        const unique = [...new Map(entries.map((each) => [`${each.address >> (32 - each.prefix)}/${each.prefix}`, each])).values()]
        const parsed = unique.map((each) => ({
          range: parseCidr(`10.0.0.${each.address}/${each.prefix}`),
          nomatch: each.nomatch,
          prefix: each.prefix,
        }))
        const value = parseAddress(`10.0.0.${last}`).value
        const narrowest = parsed
          .filter((each) => each.range.first <= value && value <= each.range.last)
          .sort((a, b) => b.prefix - a.prefix)[0]
        const held = rangesOf(parsed, 4).some((range) => range.first <= value && value <= range.last)
        expect(held).toBe(narrowest !== undefined && !narrowest.nomatch)
      }),
    )
  })

  it('of a set come out as ranges without overlap', () => {
    const entries = ['10.0.0.0/25', '10.0.0.128/25', '10.0.0.5', '10.2.0.0/16'].map((text) => ({ range: parseCidr(text), nomatch: false }))
    expect(rangesOf(entries, 4).map(formatRange)).toEqual(['10.0.0.0-10.0.0.255', '10.2.0.0-10.2.255.255'])
  })
})

describe("the guests' firewall", () => {
  it('has no rule while the datacenter has it off', () => {
    const state: FirewallState = { cluster: scope({ options: {} }), vms: { 100: scope() } }
    expect(compileFirewall(state, [port(100)]).script).not.toContain('chain')
  })

  it('applies to guarded cards only', () => {
    const unguarded = { ...port(100, 'net1'), nic: { ...port(100, 'net1').nic, firewall: false } }
    const { script } = compileFirewall({ cluster: scope(), vms: { 100: scope(), 101: scope({ options: {} }) } }, [
      port(100),
      unguarded,
      port(101),
    ])
    expect(script).toContain('lab100i0')
    expect(script).not.toContain('lab100i1')
    expect(script).not.toContain('lab101i0')
  })

  it('a rule of one card is not for the other', () => {
    const rules = [accept({ proto: 'tcp', dport: '4444', iface: 'net1' })]
    const { script } = compileFirewall({ cluster: scope(), vms: { 100: scope({ rules }) } }, [port(100), port(100, 'net1')])
    expect(script.split('4444')).toHaveLength(2)
    expect(script.indexOf('4444')).toBeGreaterThan(script.indexOf('chain in-lab100i1'))
  })

  it.each<[string, Partial<FirewallRule>]>([
    ['a macro it does not know', { macro: 'Unheard' }],
    ['a port without a protocol', { dport: '80' }],
    ['a port that is none', { proto: 'tcp', dport: '80; accept' }],
    ['a port out of range', { proto: 'tcp', dport: '70000' }],
    ['an IP set that is not there', { source: '+nowhere' }],
    ['an alias that is not there', { dest: 'nowhere' }],
    ['an unknown protocol', { proto: 'tcp } accept' }],
    ['an unknown action', { action: 'MAYBE' }],
    ['a security group', { type: 'group', action: 'web' }],
  ])('ignores a rule with %s, and says so', (_, rule) => {
    const { script, ignored } = compile({ rules: [accept(rule)] })
    expect(script).toBe(compile({}).script)
    expect(ignored).toEqual([expect.stringMatching(/^VM 100, rule 0: ./)])
  })

  it('an IP set without entries lets nobody in', () => {
    expect(compile({ rules: [accept({ source: '+empty' })], ipsets: { empty: [] } }).script).toBe(compile({}).script)
  })

  it("a name is the guest's own before it is the datacenter's", () => {
    const rules = [accept({ source: 'home' }), accept({ source: 'dc/home' })]
    const { script } = compile({ rules, aliases: { home: '10.1.1.1' } }, { aliases: { Home: '10.2.2.2' } })
    expect(script.indexOf('10.1.1.1')).toBeLessThan(script.indexOf('10.2.2.2'))
    expect(script.indexOf('10.1.1.1')).toBeGreaterThan(0)
  })

  it('a sender set with a mistake in it lets nothing out', () => {
    const { script, ignored } = compile({ ipsets: { 'ipfilter-net0': [{ cidr: 'nowhere', nomatch: false }] } })
    expect(script).toContain('meta nfproto ipv4 drop')
    expect(ignored).toHaveLength(1)
  })

  it.skipIf(networkImpossible !== undefined)(`is always something that nft takes (needs ${networkImpossible ?? 'root'})`, async () => {
    const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })
    const place = optional(
      fc.constantFrom(
        '10.0.0.0/8',
        'fe80::/10',
        '10.0.0.1,10.0.0.1,10.0.0.0/24',
        'home',
        '+set',
        '+guest/set',
        '10.0.0.1-10.0.0.9',
        '',
        'x y',
        '+',
      ),
    )
    const ports = optional(fc.constantFrom('80', '80,443', '1:65535,80', '443,80:90', 'ssh', '', '0', 'a;b', '{1}'))
    const rule = fc.record({
      type: fc.constantFrom('in', 'out', 'group'),
      action: fc.constantFrom('ACCEPT', 'DROP', 'REJECT'),
      enable: fc.boolean(),
      proto: optional(
        fc.constantFrom('tcp', 'udp', 'icmp', 'icmpv6', 'esp', '132', 'sctp', 'udplite', 'dccp', 'ah', 'gre', 'igmp', 'TCP', 'x'),
      ),
      source: place,
      dest: place,
      dport: ports,
      sport: ports,
      macro: optional(fc.constantFrom('SSH', 'https', 'Ping', 'DNS', 'Web', 'NTP', 'HTTP', 'Zorro')),
      'icmp-type': optional(fc.constantFrom('echo-request', 'any', '8', 'zorro', 'time-exceeded')),
    })
    const switches = fc.dictionary(fc.constantFrom('dhcp', 'ndp', 'radv', 'macfilter', 'ipfilter'), fc.constantFrom('0', '1'))
    const policies = fc.record({
      policy_in: fc.constantFrom('ACCEPT', 'DROP', 'REJECT'),
      policy_out: fc.constantFrom('ACCEPT', 'DROP', 'REJECT'),
    })
    const entries = fc.array(
      fc.record({ cidr: fc.constantFrom('10.0.0.0/8', '10.1.0.0/16', 'fe80::1', 'home', 'zorro'), nomatch: fc.boolean() }),
      { maxLength: 4 },
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(rule, { maxLength: 12 }),
        switches,
        policies,
        entries,
        entries,
        async (rules, some, policy, set, senders) => {
          const defined = rules.map(
            (each) => Object.fromEntries(Object.entries(each).filter(([, value]) => value !== undefined)) as unknown as FirewallRule,
          )
          const guest = scope({
            options: { enable: '1', ...some, ...policy },
            rules: defined,
            ipsets: { set, 'ipfilter-net1': senders },
            aliases: { home: '192.168.0.0/24' },
          })
          const { script } = compileFirewall({ cluster: scope(), vms: { 100: guest, 999999999: guest } }, [
            port(100),
            port(100, 'net1'),
            port(999999999),
          ])
          await checkRules(script)
        },
      ),
      { numRuns: 60 },
    )
  })
})

it.skipIf(networkImpossible !== undefined)(
  `the router's rules are something that nft takes (needs ${networkImpossible ?? 'root'})`,
  async () => {
    for (const target of [null, '10.77.0.9']) {
      for (const second of [null, '10.77.0.8', '10.77.0.9']) {
        for (const internet of [true, false]) await checkRules(compileRouter(layoutOf('10.77.0.0/24'), { target, second, internet }))
      }
    }
  },
)
