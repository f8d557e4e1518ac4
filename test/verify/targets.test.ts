import { describe, expect, it } from 'vitest'
import { vmFlows } from '../../releases/flows.ts'
import { isOpen, isOpenToSome, surprises, temptations, tempting } from '../../verify/targets.ts'
import { exampleSite } from '../images/example.ts'

const site = exampleSite((input) => {
  input.groups.logging = {
    roles: ['logging'],
    service: '192.168.1.60',
    depot: 9300,
    slots: { blue: { vmid: 9301, address: '192.168.1.61' }, green: { vmid: 9302, address: '192.168.1.62' } },
  }
  input.network.admin = ['192.168.1.0/29']
})
const serena = vmFlows(site, 'serena', 'blue')
const logging = vmFlows(site, 'logging', 'blue')
const openTo = (flows: typeof serena, from: string | undefined, host: string) =>
  tempting(site).filter((port) => isOpen(flows, from, { host, port }))

describe('what should be open', () => {
  it('is what the flow table says, by who asks and which address is asked for', () => {
    expect(openTo(serena, '192.168.1.99', '192.168.1.50')).toEqual([80, 443])
    expect(openTo(serena, '192.168.1.99', '192.168.1.51')).toEqual([])
    // The peer slot.
    expect(openTo(serena, '192.168.1.52', '192.168.1.51')).toEqual([443])
    expect(openTo(serena, '192.168.1.2', '192.168.1.51')).toEqual([22])
    expect(openTo(logging, '192.168.1.99', '192.168.1.60')).toEqual([])
    expect(openTo(logging, '192.168.1.51', '192.168.1.60')).toEqual([8443])
    expect(openTo(logging, '192.168.1.2', '192.168.1.60')).toEqual([22, 8443])
  })

  it('of somebody whose address nobody knows, only what is open to all', () => {
    expect(openTo(serena, undefined, '192.168.1.50')).toEqual([80, 443])
    expect(openTo(logging, undefined, '192.168.1.60')).toEqual([])
    expect(tempting(site).filter((port) => isOpenToSome(logging, { host: '192.168.1.60', port }))).toEqual([22, 8443])
  })

  it('and is not, or is and should not be, is said', () => {
    const tried = [22, 80, 443].map((port) => ({ host: '192.0.2.1', port }))
    const wanted = ({ port }: { port: number }) => (port === 22 ? undefined : port === 443)
    expect(surprises(tried, ['192.0.2.1:22', '192.0.2.1:443'], wanted)).toEqual([])
    expect(surprises(tried, ['192.0.2.1:80'], wanted)).toEqual(['192.0.2.1:80 is open', '192.0.2.1:443 is closed'])
  })
})

it('a container is tempted by the VMs, Proxmox, the gateway, other containers and the world', () => {
  const places = temptations(site, ['198.18.0.1']).map(({ host, port }) => `${host}:${port}`)
  for (const one of [
    '198.18.0.1:22',
    '192.168.1.60:8443',
    '192.168.1.5:8006',
    '192.168.1.1:53',
    '172.30.0.21:3100',
    '172.30.0.1:8099',
    '192.0.2.1:443',
  ])
    expect(places).toContain(one)
  expect(new Set(places).size).toBe(places.length)
})
