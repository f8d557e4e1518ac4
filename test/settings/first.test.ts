/** The first site: from what a host tells to what is proposed, and from that to a file that says it. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { NodeInterface } from '../../proxmox/nodes.ts'
import type { StorageOnNode } from '../../proxmox/storage.ts'
import { contains, parseNetwork } from '../../settings/address.ts'
import { siteOf } from '../../settings/first/answers.ts'
import { dotted, freeAddresses, freeTemplates, freeVmids } from '../../settings/first/free.ts'
import { lanOf, nameserversFor, sortBridges, sortStorages, vlansOn } from '../../settings/first/place.ts'
import { openQuestion, propose, type Given, type Known } from '../../settings/first/propose.ts'
import { parseSetting, withSettings } from '../../settings/first/set.ts'
import { siteText, withoutDefaults } from '../../settings/first/site-text.ts'
import { summary } from '../../settings/first/summary.ts'
import { problemWith, readLan, readProxmox, readProxy, readPublicHost, readVlan, readVmid } from '../../settings/first/words.ts'
import { loadSiteFile } from '../../settings/load.ts'
import { parseSite, type SiteInput } from '../../settings/site.ts'

describe('free addresses', () => {
  const lan = '192.168.1.0/24'
  it('are a row near the end, past what is taken', () => {
    expect(freeAddresses(lan, new Set(), 3)).toEqual(['192.168.1.224', '192.168.1.225', '192.168.1.226'])
    expect(freeAddresses(lan, new Set(['192.168.1.226', '192.168.1.229']), 3)).toEqual(['192.168.1.230', '192.168.1.231', '192.168.1.232'])
  })
  it('are a row elsewhere where the end is full, and any that there are where there is no row', () => {
    const end = Array.from({ length: 31 }, (_, index) => `192.168.1.${224 + index}`)
    expect(freeAddresses(lan, new Set([...end, '192.168.1.1']), 3)).toEqual(['192.168.1.2', '192.168.1.3', '192.168.1.4'])
    const even = new Set(Array.from({ length: 128 }, (_, index) => `192.168.1.${index * 2}`))
    expect(freeAddresses(lan, even, 3)).toEqual(['192.168.1.1', '192.168.1.3', '192.168.1.5'])
  })
  it('pass over what is taken after the first one that is said', () => {
    expect(freeAddresses(lan, new Set(['192.168.1.41']), 3, '192.168.1.40')).toEqual(['192.168.1.40', '192.168.1.42', '192.168.1.43'])
    expect(freeAddresses(lan, new Set(), 3, '192.168.1.253')).toEqual(['192.168.1.253', '192.168.1.254'])
  })
  it('of a small network are those of machines alone', () => {
    expect(freeAddresses('10.0.0.8/29', new Set(['10.0.0.9']), 7)).toEqual([
      '10.0.0.10',
      '10.0.0.11',
      '10.0.0.12',
      '10.0.0.13',
      '10.0.0.14',
    ])
    expect(freeAddresses('10.0.0.8/31', new Set(), 1)).toEqual([])
  })
  it('of the largest network are found at once', () => {
    expect(freeAddresses('10.0.0.0/8', new Set(), 7)[0]).toBe('10.224.0.0')
  })
})

describe('free VMIDs', () => {
  const templates = { first: 9000, last: 9099 }
  it('are a row from 9200 on, past what is taken', () => {
    expect(freeVmids({ taken: new Set(), templates }, 3)).toEqual([9200, 9201, 9202])
    expect(freeVmids({ taken: new Set([9201, 9204]), templates }, 3)).toEqual([9205, 9206, 9207])
  })
  it('that are said pass over what is taken, and the range of templates', () => {
    expect(freeVmids({ taken: new Set([101]), templates }, 3, 100)).toEqual([100, 102, 103])
    expect(freeVmids({ taken: new Set(), templates }, 3, 8999)).toEqual([8999, 9100, 9101])
  })
  it('for templates are the usual ones, unless most of them are in use', () => {
    expect(freeTemplates(new Set([9000, 9001]))).toEqual(templates)
    expect(freeTemplates(new Set(Array.from({ length: 60 }, (_, index) => 9000 + index)))).toEqual({ first: 9100, last: 9199 })
  })
})

const GiB = 2 ** 30
const storage = (name: string, type: string, more: Partial<StorageOnNode> = {}): StorageOnNode => ({
  storage: name,
  type,
  content: 'images,rootdir',
  active: 1,
  enabled: 1,
  avail: 200 * GiB,
  ...more,
})

describe('storages', () => {
  it('are those that can make templates and clones, the best one first; of the others it is told why', () => {
    const { fit, unfit } = sortStorages([
      storage('local', 'dir', { content: 'iso,vztmpl' }),
      storage('nas', 'nfs', { avail: 900 * GiB }),
      storage('local-lvm', 'lvmthin', { avail: 30 * GiB }),
      storage('tank', 'zfspool'),
      storage('san', 'lvm'),
      storage('linstor', 'drbd', { avail: 5000 * GiB }),
      storage('backup', 'pbs', { content: 'backup' }),
      storage('off', 'zfspool', { active: 0 }),
    ])
    expect(fit.map((one) => one.storage)).toEqual(['tank', 'local-lvm', 'nas', 'linstor'])
    expect(fit[1]?.about).toBe('LVM-thin, templates and linked clones, 30 GiB free, which is little')
    expect(fit[3]?.about).toContain('full clones')
    expect(Object.fromEntries(unfit.map((one) => [one.storage, one.why]))).toEqual({
      local: expect.stringContaining('pvesm set local --content iso,vztmpl,images'),
      san: expect.stringMatching(/^it is thick LVM, where Proxmox makes no templates/),
      backup: expect.stringMatching(/^it is Proxmox Backup Server/),
      off: 'it is not active on this node',
    })
  })
})

const vmbr0: NodeInterface = { iface: 'vmbr0', type: 'bridge', address: '192.168.1.5', cidr: '192.168.1.5/24', gateway: '192.168.1.1' }
const aware = { ...vmbr0, bridge_vlan_aware: 1 }
const vlan20: NodeInterface = {
  iface: 'vmbr0.20',
  type: 'vlan',
  address: '10.20.0.5',
  cidr: '10.20.0.5/22',
  'vlan-id': '20',
  'vlan-raw-device': 'vmbr0',
}
const named: NodeInterface = {
  iface: 'storage',
  type: 'vlan',
  address: '10.30.0.5',
  cidr: '10.30.0.5/24',
  'vlan-id': 30,
  'vlan-raw-device': 'vmbr0',
}
const inner: NodeInterface = { iface: 'vmbr1', type: 'bridge', address: '10.5.0.1', cidr: '10.5.0.1/24' }

describe('bridges and their networks', () => {
  it('the one with the way to the world is first; VLANs are offered where the bridge knows them', () => {
    const list = sortBridges(['apps', 'vmbr1', 'vmbr0'], [inner, aware])
    expect(list.map(({ name, vlans, about }) => [name, vlans, about])).toEqual([
      ['vmbr0', true, '192.168.1.0/24'],
      ['apps', false, 'the node has no address there'],
      ['vmbr1', false, '10.5.0.0/24'],
    ])
    const onVlan = { ...vlan20, gateway: '10.20.0.1' }
    expect(sortBridges(['vmbr1', 'vmbr0'], [inner, { iface: 'vmbr0', type: 'OVSBridge' }, onVlan])[0]).toMatchObject({
      name: 'vmbr0',
      vlans: true,
    })
  })
  it('a network is known by the address that the node has in it', () => {
    expect(lanOf('vmbr0', undefined, [vmbr0])).toEqual({ subnet: '192.168.1.0/24', gateway: '192.168.1.1' })
    // The node is the router of a bridge of its own.
    expect(lanOf('vmbr1', undefined, [inner])).toEqual({ subnet: '10.5.0.0/24', gateway: '10.5.0.1' })
    expect(lanOf('vmbr0', 20, [aware, vlan20])).toEqual({ subnet: '10.20.0.0/22', gateway: '10.20.0.5' })
    expect(lanOf('vmbr0', 30, [aware, named])?.subnet).toBe('10.30.0.0/24')
    expect(lanOf('vmbr0', 40, [aware, vlan20, named])).toBeUndefined()
    expect(lanOf('vmbr0', undefined, [{ iface: 'vmbr0', type: 'bridge' }])).toBeUndefined()
    expect(lanOf('vmbr0', undefined, [{ ...vmbr0, cidr: '192.0.2.7/32' }])).toBeUndefined()
  })
  it('VLANs are those that the node is in, with their networks', () => {
    expect(
      vlansOn('vmbr0', [aware, named, vlan20, { iface: 'vmbr0.7', type: 'vlan' }, { ...named, iface: 'x', 'vlan-raw-device': 'vmbr1' }]),
    ).toEqual(['7', '20 (10.20.0.0/22)', '30 (10.30.0.0/24)'])
  })
  it('name servers are those of the node that others can ask, too', () => {
    expect(nameserversFor(['192.168.1.1', '9.9.9.9', '9.9.9.9'], '192.168.1.1')).toEqual(['192.168.1.1', '9.9.9.9'])
    expect(nameserversFor(['127.0.0.1', 'fd00::1'], '192.168.1.1')).toEqual(['192.168.1.1'])
  })
})

/** A host as a home has it. */
function known(
  change: { node?: Partial<Known['node']>; host?: Partial<Known['host']> } & Partial<Omit<Known, 'node' | 'host'>> = {},
): Known {
  const { node, host, ...more } = change
  return {
    url: 'https://192.168.1.5:8006',
    host: { nodes: [{ node: 'pve', status: 'online' }], here: 'pve', guests: [], tokens: [], ...host },
    node: { node: 'pve', storages: [storage('local-lvm', 'lvmthin')], bridges: ['vmbr0'], interfaces: [vmbr0], nameservers: [], ...node },
    taken: new Map(),
    own: ['192.168.1.7/24'],
    from: '192.168.1.7',
    ...more,
  }
}

describe('a proposal', () => {
  it('needs no answer but how many VMs there are and what clients call, on the usual host', () => {
    const proposal = propose({}, known())
    expect(openQuestion({}, proposal)).toBe('vms')
    expect(openQuestion({ oneVm: false }, proposal)).toBe('publicHost')
    expect(openQuestion({ oneVm: false, publicHost: { host: 'a.example', port: undefined } }, proposal)).toBeUndefined()
    expect(proposal.answers).toMatchObject({
      name: 'home',
      subnet: '192.168.1.0/24',
      admin: ['192.168.1.0/24'],
      nameservers: ['192.168.1.1'],
      publicHost: '192.168.1.225',
      tokenId: undefined,
      vmids: [9200, 9201, 9202, 9203, 9204, 9205],
    })
  })
  it('is asked for where there is a choice: storage, bridge', () => {
    const storages = [storage('a', 'lvmthin'), storage('b', 'zfspool')]
    const two = known({ node: { storages, bridges: ['vmbr0', 'vmbr1'], interfaces: [vmbr0, inner] } })
    expect(openQuestion({}, propose({}, two))).toBe('disks')
    expect(openQuestion({ disks: 'a' }, propose({ disks: 'a' }, two))).toBe('bridge')
    expect(propose({ bridge: 'vmbr1' }, two).answers).toMatchObject({ subnet: '10.5.0.0/24', gateway: '10.5.0.1' })
  })
  it('of a VLAN whose network the node is not in is the answer of whoever knows it', () => {
    const given: Given = { vlan: 40 }
    const proposal = propose(given, known({ node: { interfaces: [aware] } }))
    expect(proposal).toMatchObject({ lan: undefined, answers: undefined, bridge: { vlans: true } })
    expect(openQuestion(given, proposal)).toBe('network')
    expect(propose({ ...given, ...readLan('10.40.0.0/24 10.40.0.1') }, known()).answers).toMatchObject({
      vlan: 40,
      nameservers: ['10.40.0.1'],
    })
  })
  it('a gateway that the node has is not that of another network', () => {
    expect(propose({ subnet: '10.0.0.0/24' }, known()).lan).toBeUndefined()
  })
  it('from elsewhere, the way to the VMs is asked for, and the own network gets in', () => {
    const away = known({ url: 'https://pve.example.org:8006', own: ['172.20.3.9/20'], from: '172.20.3.9' })
    const proposal = propose({ oneVm: true }, away)
    expect(openQuestion({ oneVm: true }, proposal)).toBe('way')
    expect(proposal.answers?.admin).toEqual(['192.168.1.0/24', '172.20.0.0/20'])
    expect(propose({ socksProxy: null }, away).wayUnclear).toBe(false)
    // Proxmox is in the VMs' network, and is reached there.
    expect(propose({}, known({ own: ['172.20.3.9/20'], from: '172.20.3.9' })).wayUnclear).toBe(false)
  })
  it('in a network that is too small for two VMs is one for both, or another network', () => {
    const cidr = '192.168.1.9/29'
    const small = known({
      node: { interfaces: [{ ...vmbr0, address: '192.168.1.9', cidr, gateway: '192.168.1.14' }] },
      url: 'https://192.168.1.9:8006',
    })
    const proposal = propose({}, small)
    expect(proposal.short).toMatchObject({
      code: 'no-free-addresses',
      message: expect.stringMatching(/4 free addresses.*takes 7/),
      hint: expect.stringContaining('--one-vm'),
    })
    expect(openQuestion({}, proposal)).toBe('vms')
    expect(openQuestion({ oneVm: false }, propose({ oneVm: false }, small))).toBe('network')
    expect(propose({ oneVm: true }, small).answers?.addresses).toEqual(['192.168.1.10', '192.168.1.11', '192.168.1.12', '192.168.1.13'])
  })
  it('is none where no storage will do, and says of each why', () => {
    const node = { storages: [storage('local', 'dir', { content: 'iso' }), storage('san', 'iscsi')] }
    expect(() => propose({}, known({ node }))).toThrow(
      expect.objectContaining({
        code: 'no-disk-storage',
        message: expect.stringMatching(/local: it is not enabled[\s\S]*san: it is iSCSI/),
      }),
    )
    expect(() => propose({}, known({ node: { bridges: [] } }))).toThrow(expect.objectContaining({ code: 'bridge-missing' }))
  })
  it('leaves what others have: VMIDs, addresses, the name and the token of another site', () => {
    const guests = [9200, 9202].map((vmid) => ({ vmid, type: 'qemu', node: 'pve', name: vmid === 9200 ? 'home-serena-depot' : 'mail' }))
    const taken = new Map([['192.168.1.227', 'VM 9202 (mail)']])
    const { answers } = propose({ oneVm: true }, known({ host: { guests, tokens: ['golden@pve!golden'] }, taken }))
    expect(answers).toMatchObject({
      name: 'home2',
      tokenId: 'golden-home2@pve!golden',
      vmids: [9203, 9204, 9205],
      addresses: ['192.168.1.228', '192.168.1.229', '192.168.1.230', '192.168.1.231'],
    })
  })
  it('is told in full before it is written', () => {
    const proposal = propose({ oneVm: false }, known())
    const text = summary(proposal.answers!, proposal, true)
    for (const part of [
      '192.168.1.0/24 on vmbr0',
      'local-lvm: LVM-thin',
      'blue 192.168.1.226 (VM 9201)',
      'depot VM 9203',
      'DHCP',
      'Nobody in the LAN answers',
    ])
      expect(text).toContain(part)
    expect(summary(proposal.answers!, proposal, false)).toContain("can't be asked from this computer")
  })
})

describe('answers as people write them', () => {
  it.each([
    ['192.168.1.5', 'https://192.168.1.5:8006'],
    ['PVE.example.org', 'https://pve.example.org:8006'],
    ['https://pve:8006/#v1:0:18:4', 'https://pve:8006'],
    ['pve:443', 'https://pve:443'],
    ['fd00::5', 'https://[fd00::5]:8006'],
  ])('a host: %s', (text, url) => {
    expect(readProxmox(text)).toBe(url)
  })
  it.each(['', 'a b', 'http://pve', 'https://me:secret@pve'])('no host: "%s"', (text) => {
    expect(problemWith(readProxmox, text)).toMatch(/wanted/)
  })
  it('what clients call, and its port', () => {
    expect(readPublicHost('Serena.example.org:8443')).toEqual({ host: 'serena.example.org', port: 8443 })
    expect(readPublicHost('10.0.0.5:443')).toEqual({ host: '10.0.0.5', port: undefined })
    for (const text of ['', 'a:0', 'a:70000', 'https://a']) expect(problemWith(readPublicHost, text), text).toBeDefined()
  })
  it('a network with gateway and name servers', () => {
    expect(readLan(' 10.0.0.0/24 10.0.0.1, 9.9.9.9 ')).toEqual({ subnet: '10.0.0.0/24', gateway: '10.0.0.1', nameservers: ['9.9.9.9'] })
    for (const text of ['', '10.0.0.0/24', '10.0.0.1/24 10.0.0.1', '10.0.0.0/24 10.0.1.1', '10.0.0.0/24 10.0.0.1 dns'])
      expect(problemWith(readLan, text), text).toBeDefined()
  })
  it('none, where that is an answer', () => {
    expect([readVlan('none'), readVlan(''), readVlan('20'), readProxy('none'), readProxy('socks5://jump:1080')]).toEqual([
      null,
      null,
      20,
      null,
      { host: 'jump', port: 1080 },
    ])
    for (const text of ['0', '4095', 'x']) expect(problemWith(readVlan, text), text).toBeDefined()
    for (const text of ['', '99', '999999999', '1e3']) expect(problemWith(readVmid, text), text).toBeDefined()
  })
})

describe('any other setting', () => {
  it('takes its place in the site, as JSON or as a word', () => {
    const site = siteOf(propose({}, known()).answers!)
    const changed = withSettings(site, ['serena.shell=true', 'image.base={"os":"debian-13"}', 'public.host=a=b'].map(parseSetting))
    expect(changed).toMatchObject({
      serena: { shell: true, users: [{ name: 'me' }] },
      image: { base: { os: 'debian-13' } },
      public: { host: 'a=b' },
    })
  })
  it.each(['serena.shell', '=1', 'a..b=1', '__proto__.a=1'])('%s is none', (text) => {
    expect(() => parseSetting(text)).toThrow(expect.objectContaining({ code: 'usage' }))
  })
})

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'golden-first-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

let files = 0
async function read(input: SiteInput): Promise<{ text: string; site: unknown }> {
  const text = siteText(input)
  const file = join(folder, `site-${++files}.ts`)
  await writeFile(file, text)
  return { text, site: await loadSiteFile(file) }
}

const lan = fc
  .record({
    first: fc.constantFrom('10', '172.16', '192.168.7'),
    prefix: fc.integer({ min: 24, max: 28 }),
    third: fc.integer({ min: 0, max: 255 }),
  })
  .map(({ first, prefix, third }) => {
    const [a = 0, b = third, c = third] = first.split('.').map(Number)
    const begin = ((a * 256 + b) * 256 + c) * 256
    return {
      subnet: `${dotted(begin)}/${prefix}`,
      node: `${dotted(begin + 2)}/${prefix}`,
      gateway: dotted(begin + 1),
      at: (index: number) => dotted(begin + index),
    }
  })
const word = fc.constantFrom('none', 'ann', 'bob_2', 'c.d')
const some = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined, freq: 2 })
const given = fc.record({
  name: some(fc.constantFrom('shop', 'a-1')),
  vlan: some(fc.constantFrom(null, 12)),
  oneVm: some(fc.boolean()),
  os: some(fc.constantFrom('ubuntu-24.04' as const, 'debian-13' as const)),
  transports: some(fc.constantFrom<readonly ('sse' | 'streamable-http')[]>(['sse'], ['streamable-http'], ['sse', 'streamable-http'])),
  user: some(word),
  publicHost: some(fc.constantFrom({ host: 'serena.example.org', port: undefined }, { host: 'localhost', port: 8443 })),
  socksProxy: some(fc.constantFrom(null, { host: "it's", port: 1080 }, { host: 'jump', port: 1080 })),
  vmidsFrom: some(fc.integer({ min: 100, max: 10_000 })),
})

it("whatever is answered and whatever is taken, the file loads and says just that, with nobody else's address or VMID", async () => {
  await fc.assert(
    fc.asyncProperty(
      lan,
      given,
      fc.uniqueArray(fc.integer({ min: 3, max: 12 }), { maxLength: 3 }),
      fc.uniqueArray(fc.integer({ min: 9000, max: 9210 }), { maxLength: 9 }),
      async (net, loose, used, vmids) => {
        const answered = {
          ...(Object.fromEntries(Object.entries(loose).filter(([, value]) => value !== undefined)) as Given),
          subnet: net.subnet,
          gateway: net.gateway,
        }
        const taken = new Map(used.map((index) => [net.at(index), 'somebody']))
        const [address = ''] = net.node.split('/')
        const guests = vmids.map((vmid) => ({ vmid, type: 'qemu', node: 'pve' }))
        const world = known({ url: `https://${address}:8006`, taken, host: { guests }, own: [`${net.at(6)}/24`], from: net.at(6) })
        const { answers, short } = propose({ ...answered, oneVm: answered.oneVm ?? true }, world)
        if (answers === undefined) {
          expect(short?.code).toBe('no-free-addresses')
          return
        }
        const input = siteOf(answers)
        const parsed = parseSite(input)
        if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems))
        const { text, site } = await read(input)
        expect(site).toEqual(parsed.site)
        // Nothing in it could be left out.
        expect(withoutDefaults(withoutDefaults(input))).toEqual(withoutDefaults(input))
        expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(140)
        const subnet = parseNetwork(net.subnet)!
        for (const one of answers.addresses) {
          expect(contains(subnet, one)).toBe(true)
          expect([...taken.keys(), net.gateway, address, net.at(6)]).not.toContain(one)
        }
        for (const vmid of answers.vmids) expect(vmids).not.toContain(vmid)
        expect(new Set([...answers.addresses, ...answers.vmids]).size).toBe(answers.addresses.length + answers.vmids.length)
      },
    ),
    { numRuns: 60 },
  )
})

it('whatever a setting is made of, the file says it', async () => {
  const values = fc.oneof(fc.string(), fc.constantFrom('\'"', '\\', '\\"', '${x}', '`', '\u2028', 'a\nb', '*/'))
  const secret = fc.oneof(
    fc.record({ kind: fc.constant('file' as const), path: values }),
    fc.record({ kind: fc.constant('env' as const), name: values }),
    fc.record({ kind: fc.constant('command' as const), command: fc.tuple(fc.constant('pass'), values) }),
  )
  const site = siteOf(propose({}, known()).answers!)
  await fc.assert(
    fc.asyncProperty(
      values,
      secret,
      fc.dictionary(values, fc.oneof(values, fc.integer(), fc.boolean(), fc.constant(null))),
      async (text, token, config) => {
        const input = withSettings(site, [
          { path: ['proxmox', 'bridge'], value: `b${text}` },
          { path: ['proxmox', 'token'], value: token },
          { path: ['backend'], value: { type: 'http', config } },
        ])
        const parsed = parseSite(input)
        fc.pre(parsed.ok)
        expect((await read(input)).site).toEqual(parsed.site)
      },
    ),
    { numRuns: 60 },
  )
})

it('a file says nothing that goes without saying, and all that does not', async () => {
  const { text } = await read(siteOf(propose({ oneVm: true }, known()).answers!))
  expect(text).not.toMatch(/vmbr0|local-lvm|9000|golden@pve|443,|memoryMiB: 4096/)
  expect(text).toContain("users: [{ name: 'me', password: fromFile('secrets/users/me') }]")
  expect(text).toContain("import { defineSite, fromFile } from 'serena-golden'")
})
