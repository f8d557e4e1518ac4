/** What the demo tries on the VMs' addresses is what the flow table says of them. */
import { expect, it } from 'vitest'
import { probes, temptations } from '../../demo/firewall.ts'
import { containerNetworks } from '../../settings/containers.ts'
import { nftables } from '../../releases/nftables.ts'
import { vmFlows } from '../../releases/flows.ts'
import { proxmoxRules } from '../../releases/proxmox-rules.ts'
import { exampleSite } from '../images/example.ts'
import { nftAdmits, proxmoxAdmits } from '../releases/packets.ts'

const site = exampleSite((input) => {
  input.network.admin = ['192.168.1.8/29']
  input.groups.logging = {
    roles: ['logging'],
    service: '192.168.1.60',
    depot: 9300,
    slots: { blue: { vmid: 9301, address: '192.168.1.61' }, green: { vmid: 9302, address: '192.168.1.62' } },
  }
})
const sources = { admin: '192.168.1.10', stranger: '192.168.1.77', internet: '198.51.100.9' }

it("every probe expects what the table admits, at service addresses and slots' own", () => {
  const list = probes(site)
  expect(new Set(list.map(({ host }) => host))).toEqual(new Set(['192.168.1.50', '192.168.1.51', '192.168.1.60', '192.168.1.61']))
  for (const { from, host, port, open } of list) {
    const [group = ''] = Object.entries(site.groups).find(([, one]) => [one.service, one.slots.blue.address].includes(host)) ?? []
    const admitted = proxmoxAdmits(proxmoxRules(vmFlows(site, group, 'blue')), {
      direction: 'in',
      source: sources[from],
      dest: host,
      protocol: 'tcp',
      port,
    })
    expect(admitted, `${from} → ${host}:${port}`).toBe(open)
  }
  expect(list).toContainEqual({ from: 'admin', host: '192.168.1.51', port: 443, open: false })
  expect(list).toContainEqual({ from: 'stranger', host: '192.168.1.50', port: 443, open: true })
})

it('what a container is tried with is what the table lets nobody of it reach', () => {
  const list = temptations(site)
  for (const { host, port } of list) {
    const packet = {
      source: containerNetworks(site.network.containers).serenaMcp,
      dest: host,
      protocol: 'tcp' as const,
      port,
      iifname: 'golden-serena',
      oifname: 'eth0',
      state: 'new' as const,
    }
    expect(nftAdmits(nftables(vmFlows(site, 'serena', 'blue')), { ...packet, chain: 'forward' }), `${host}:${port}`).toBe(false)
  }
  for (const target of [
    { host: '192.168.1.60', port: 8443 },
    { host: '192.168.1.61', port: 8443 },
    { host: '192.168.1.52', port: 443 },
    { host: '172.30.0.1', port: 8099 },
    { host: '192.168.1.2', port: 8006 },
  ])
    expect(list).toContainEqual(target)
})
