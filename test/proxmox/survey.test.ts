/** What is read of a host before there is a site. */
import { expect, it } from 'vitest'
import { addressesInUse, configuredAddresses } from '../../proxmox/addresses-in-use.ts'
import type { Proxmox } from '../../proxmox/client.ts'
import { ProxmoxError } from '../../proxmox/error.ts'
import { lookAtHost, lookAtNode, lookForAddresses } from '../../proxmox/survey.ts'

const refusal = (status: number, code: 'proxmox-refused' | 'permission-denied' | 'proxmox-unreachable', message: string): ProxmoxError =>
  new ProxmoxError(code, message, '', { status, method: 'GET', path: '' })

/** Answers by path; what is not there is refused. */
function host(answers: Readonly<Record<string, unknown>>): { proxmox: Proxmox; asked: string[] } {
  const asked: string[] = []
  const get = async (path: string): Promise<unknown> => {
    asked.push(path)
    const answer = answers[path] ?? refusal(500, 'proxmox-refused', 'QEMU guest agent is not running')
    if (answer instanceof Error) throw answer
    return answer
  }
  return { proxmox: { get } as unknown as Proxmox, asked }
}

const guest = (vmid: number, more: object = {}) => ({ vmid, type: 'qemu', node: 'pve', status: 'running', name: `vm${vmid}`, ...more })

it('addresses are those that a configuration gives, not those of DHCP', () => {
  expect(
    configuredAddresses({
      ipconfig0: 'gw=10.0.0.1,ip=10.0.0.7/24',
      ipconfig1: 'ip=dhcp,ip6=auto',
      net0: 'name=eth0,bridge=vmbr0,ip=10.0.0.8/24',
      net1: 'virtio=BC:24:11:00:00:01,bridge=vmbr0',
      description: 'ip=10.0.0.9/24',
    }),
  ).toEqual(['10.0.0.7', '10.0.0.8'])
})

it('guests tell theirs, as far as they run, have an agent, and may be asked', async () => {
  const addresses = (...list: string[]) =>
    list.map((address) => ({ 'ip-address': address, 'ip-address-type': address.includes(':') ? 'ipv6' : 'ipv4' }))
  const { proxmox, asked } = host({
    '/nodes/pve/qemu/100/config': { agent: '1,fstrim_cloned_disks=1', ipconfig0: 'ip=10.0.0.7/24' },
    '/nodes/pve/qemu/100/agent/network-get-interfaces': {
      result: [{ 'ip-addresses': addresses('10.0.0.7', 'fe80::1') }, {}, { 'ip-addresses': addresses('10.0.0.17') }],
    },
    '/nodes/pve/qemu/101/config': { agent: 'enabled=1' },
    '/nodes/pve/qemu/102/config': { ipconfig0: 'ip=10.0.0.9/24' },
    '/nodes/pve/qemu/103/config': refusal(403, 'permission-denied', 'Permission check failed'),
    '/nodes/pve/lxc/200/config': { net0: 'name=eth0,ip=dhcp' },
    '/nodes/pve/lxc/200/interfaces': [{ name: 'lo', inet: '127.0.0.1/8' }, { name: 'eth0', inet: '10.0.0.20/24' }, { name: 'eth1' }],
    '/nodes/pve/qemu/104/config': { agent: 1, ipconfig0: 'ip=10.0.0.11/24' },
  })
  const found = await addressesInUse(proxmox, [
    guest(100),
    guest(101),
    guest(102),
    guest(103),
    guest(104, { status: 'stopped' }),
    guest(200, { type: 'lxc', name: undefined }),
  ])
  expect(Object.fromEntries(found.map(({ address, by }) => [address, by]))).toEqual({
    '10.0.0.7': 'VM 100 (vm100)',
    '10.0.0.17': 'VM 100 (vm100)',
    '10.0.0.9': 'VM 102 (vm102)',
    '10.0.0.11': 'VM 104 (vm104)',
    '127.0.0.1': 'container 200',
    '10.0.0.20': 'container 200',
  })
  expect(asked.filter((path) => /10[24]\/agent/.test(path))).toEqual([])
})

it('a host that is away is not taken for one without addresses', async () => {
  const { proxmox } = host({ '/nodes/pve/qemu/100/config': refusal(0, 'proxmox-unreachable', 'away') })
  await expect(addressesInUse(proxmox, [guest(100)])).rejects.toMatchObject({ code: 'proxmox-unreachable' })
})

it('who may not see everything sees the rest', async () => {
  const denied = refusal(403, 'permission-denied', 'Permission check failed (/, Sys.Audit)')
  const { proxmox } = host({
    '/version': { release: '9.1', version: '9.1.1' },
    '/nodes': [
      { node: 'pve', status: 'online' },
      { node: 'off', status: 'offline' },
    ],
    '/cluster/status': denied,
    '/cluster/resources': [guest(300, { node: 'off' })],
    '/access/users': denied,
    '/nodes/pve/storage': [],
    '/nodes/pve/network': [{ iface: 'vmbr0', type: 'bridge', address: '10.0.0.5' }],
    '/nodes/pve/dns': denied,
  })
  const seen = await lookAtHost(proxmox, ['golden@pve!golden'])
  expect(seen).toMatchObject({ here: undefined, tokens: [], guests: [{ vmid: 300 }] })
  expect(await lookAtNode(proxmox, 'pve')).toMatchObject({ nameservers: [], bridges: ['vmbr0'] })
  // Of a node that is off nobody can ask anything.
  expect([...(await lookForAddresses(proxmox, seen))]).toEqual([['10.0.0.5', 'node pve']])
})

it('an old Proxmox is told so before anything else', async () => {
  await expect(lookAtHost(host({ '/version': { release: '7.4' } }).proxmox, [])).rejects.toMatchObject({ code: 'version-too-old' })
})
