import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { FirewallRule, FirewallState, Machine } from '../../lab/compute/driver.ts'
import { decide, type Packet } from '../../lab/compute/fake/pve-firewall.ts'
import { Rig } from './fake-rig.ts'

const rule = (values: Partial<FirewallRule>): FirewallRule => ({ type: 'in', action: 'ACCEPT', enable: true, ...values })
const state = (
  rules: readonly FirewallRule[],
  options: Record<string, string> = {},
  change: Partial<FirewallState['vms'][number]> = {},
): FirewallState => ({
  cluster: {
    options: { enable: '1' },
    rules: [],
    ipsets: {
      admins: [
        { cidr: '10.9.0.0/16', nomatch: false },
        { cidr: '10.9.9.9', nomatch: true },
      ],
    },
    aliases: { Router: '10.77.0.1' },
  },
  vms: { 140: { options: { enable: '1', ...options }, rules, ipsets: {}, aliases: { gate: '10.77.0.1' }, ...change } },
})
const packet = (change: Partial<Packet> = {}): Packet => ({
  direction: 'in',
  proto: 'tcp',
  source: '10.77.0.1',
  dest: '10.77.0.40',
  dport: 22,
  ...change,
})
const verdict = (firewall: FirewallState, change: Partial<Packet> = {}, onCard = true): string =>
  decide(firewall, 140, 'net0', onCard, packet(change))

describe("PVE's firewall rules", () => {
  it('do nothing unless the datacenter, the VM and the card have them on', () => {
    const on = state([])
    expect(verdict(on)).toBe('DROP')
    expect(verdict({ ...on, cluster: { ...on.cluster, options: {} } })).toBe('ACCEPT')
    expect(verdict(state([], { enable: '0' }))).toBe('ACCEPT')
    expect(verdict(on, {}, false)).toBe('ACCEPT')
    expect(decide(on, 999, 'net0', true, packet())).toBe('ACCEPT')
  })

  it('are looked at in order, and then the policy', () => {
    expect(verdict(state([rule({ dport: '22', proto: 'tcp' }), rule({ action: 'DROP' })]))).toBe('ACCEPT')
    expect(verdict(state([rule({ action: 'REJECT' }), rule({})]))).toBe('REJECT')
    expect(verdict(state([], { policy_in: 'ACCEPT' }))).toBe('ACCEPT')
    expect(verdict(state([rule({ enable: false })]))).toBe('DROP')
    expect(verdict(state([], { policy_out: 'DROP' }), { direction: 'out' })).toBe('DROP')
    expect(verdict(state([]), { direction: 'out' })).toBe('ACCEPT')
  })

  it('match ports, sources, sets, aliases, cards and macros', () => {
    expect(verdict(state([rule({ proto: 'tcp', dport: '80,443,8000:8010' })]), { dport: 8005 })).toBe('ACCEPT')
    expect(verdict(state([rule({ proto: 'tcp', dport: '80,443,8000:8010' })]), { dport: 8011 })).toBe('DROP')
    expect(verdict(state([rule({ source: '10.77.0.0/24' })]))).toBe('ACCEPT')
    expect(verdict(state([rule({ source: '10.78.0.1-10.78.0.9,10.76.0.0/24' })]))).toBe('DROP')
    expect(verdict(state([rule({ source: '+dc/admins' })]), { source: '10.9.1.1' })).toBe('ACCEPT')
    expect(verdict(state([rule({ source: '+admins' })]), { source: '10.9.9.9' })).toBe('DROP')
    expect(verdict(state([rule({ source: 'guest/gate' })]))).toBe('ACCEPT')
    expect(verdict(state([rule({ source: 'router' })]))).toBe('ACCEPT')
    expect(verdict(state([rule({ iface: 'net1' })]))).toBe('DROP')
    expect(verdict(state([rule({ macro: 'SSH' })]))).toBe('ACCEPT')
    expect(verdict(state([rule({ macro: 'Web' })]))).toBe('DROP')
  })

  it('let a filtered card send only with its own addresses', () => {
    const filtered = state([], { ipfilter: '1' }, { ipsets: { 'ipfilter-net0': [{ cidr: '10.77.0.40', nomatch: false }] } })
    expect(verdict(filtered, { direction: 'out', source: '10.77.0.40' })).toBe('ACCEPT')
    expect(verdict(filtered, { direction: 'out', source: '10.77.0.41' })).toBe('DROP')
  })
})

describe('the LAN of fake guests', () => {
  let rig: Rig
  let machine: Machine
  beforeAll(async () => {
    ;({ rig, machine } = await Rig.withMachine(140, '10.77.0.40'))
    await rig.agentUp(machine)
  })
  afterAll(() => rig.close())

  it('knows the gateway', () => {
    expect(rig.driver.network).toMatchObject({ subnet: '10.77.0.0/24', gateway: '10.77.0.1' })
  })

  it('holds connections back as the rules say', async () => {
    const { network } = rig.driver
    await network.applyFirewall(state([rule({ proto: 'tcp', dport: '443' })]))
    await expect(network.dial('10.77.0.40', 22)).rejects.toMatchObject({ code: 'ETIMEDOUT' })
    await expect(network.dial('10.77.0.40', 443)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    await network.applyFirewall(state([rule({ proto: 'tcp', dport: '22', source: '10.77.0.1' })]))
    ;(await network.dial('10.77.0.40', 22)).destroy()
  })

  it('forwards the web ports of the router, and nothing else', async () => {
    const { network } = rig.driver
    await network.applyFirewall(state([rule({ macro: 'Web' })]))
    await expect(network.dialRouter(443)).rejects.toMatchObject({ code: 'ECONNREFUSED', address: 'router' })
    await network.setForwards({ target: '10.77.0.40' })
    await expect(network.dialRouter(22)).rejects.toMatchObject({ address: 'router' })
    await expect(network.dialRouter(443)).rejects.toMatchObject({ code: 'ECONNREFUSED', address: '10.77.0.40' })
    await network.applyFirewall(state([rule({ macro: 'Web', source: '10.77.0.0/24' })]))
    await expect(network.dialRouter(443)).rejects.toMatchObject({ code: 'ETIMEDOUT' })
  })

  it('is cut off from the internet on demand', async () => {
    const { network } = rig.driver
    await network.applyFirewall(state([], {}))
    await network.setInternet(false)
    expect(await rig.agentExec(machine, '/usr/bin/apt-get', 'update')).toMatchObject({
      exitCode: 100,
      stderr: expect.stringContaining('Temporary failure resolving'),
    })
    expect(await rig.agentExec(machine, '/usr/bin/curl', 'https://example.org/')).toMatchObject({ exitCode: 6 })
    await network.setInternet(true)
    expect(await rig.agentExec(machine, '/usr/bin/apt-get', 'update')).toMatchObject({ exitCode: 0 })
    expect(await rig.agentExec(machine, '/usr/bin/apt-get', 'install', '-y', 'jq')).toMatchObject({ exitCode: 0 })
    expect(await rig.agentExec(machine, '/bin/sh', '-c', 'echo \'{"a":[1,2]}\' | jq -c .a')).toMatchObject({ stdout: '[1,2]\n' })
    expect(await rig.agentExec(machine, '/usr/bin/apt-get', 'install', '-y', 'frobnicate')).toMatchObject({
      exitCode: 100,
      stderr: 'E: Unable to locate package frobnicate\n',
    })
  })
})
