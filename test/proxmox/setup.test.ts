import { expect, it } from 'vitest'
import { ProxmoxError, type Proxmox } from '../../proxmox/client.ts'
import { firewallQuestion, observeExposure, placeOf, type FirewallObserved } from '../../proxmox/datacenter-firewall.ts'
import { applySetup, observeSetup, planSetup, type SetupObserved, type SetupStep, type SetupWanted } from '../../proxmox/setup.ts'
import { privilegeTable } from '../../proxmox/privileges.ts'

const wanted: SetupWanted = {
  node: 'pve',
  pool: 'golden',
  depotPool: 'golden-depots',
  disks: 'local-lvm',
  iso: 'golden-iso',
  isoPath: '/var/lib/golden-iso',
  bridge: 'vmbr0',
  tokenId: 'golden@pve!golden',
  depots: [{ vmid: 9200, name: 'home-serena-depot' }],
  management: ['192.168.1.0/24'],
  enableFirewall: false,
  replaceToken: false,
}
const bare: SetupObserved = {
  nodes: [{ node: 'pve', status: 'online' }],
  bridges: ['vmbr0'],
  roles: [{ roleid: 'Administrator', privs: 'x' }],
  users: ['root@pam'],
  tokens: [],
  acl: [],
  pools: [],
  storages: [{ storage: 'local-lvm', type: 'lvmthin', content: 'images,rootdir' }],
  vms: [],
  protectedVms: new Set(),
  firewall: { enabled: false, rules: [] },
}

/** The host after these steps, as far as the plan looks at it. */
function after(observed: SetupObserved, steps: readonly SetupStep[]): SetupObserved {
  const state = {
    nodes: observed.nodes,
    bridges: observed.bridges,
    roles: [...observed.roles],
    users: [...observed.users],
    tokens: [...observed.tokens],
    acl: [...observed.acl],
    pools: [...observed.pools],
    storages: [...observed.storages],
    vms: [...observed.vms],
    protectedVms: new Set(observed.protectedVms),
    firewall: { enabled: observed.firewall.enabled, rules: observed.firewall.rules, management: observed.firewall.management },
  }
  for (const {
    call: { method, path, form },
  } of steps) {
    const text = (key: string): string => String(form[key])
    if (path === '/access/roles') state.roles.push({ roleid: text('roleid'), privs: text('privs') })
    else if (path.startsWith('/access/roles/') && method === 'PUT')
      state.roles = state.roles.map((role) => (role.roleid === path.split('/')[3] ? { ...role, privs: text('privs') } : role))
    else if (path === '/access/users') state.users.push(text('userid'))
    else if (path.includes('/token/')) state.tokens = method === 'DELETE' ? [] : [path.split('/').at(-1) as string]
    else if (path.startsWith('/access/roles/') && method === 'DELETE')
      state.roles = state.roles.filter((role) => role.roleid !== path.split('/')[3])
    else if (path === '/access/acl' && form.delete === 1)
      state.acl = state.acl.filter(
        (entry) => !(entry.path === form.path && entry.roleid === form.roles && [form.users, form.tokens].includes(entry.ugid)),
      )
    else if (path === '/access/acl')
      for (const ugid of [text('users'), text('tokens')]) state.acl.push({ path: text('path'), roleid: text('roles'), ugid })
    else if (path === '/pools') state.pools.push(text('poolid'))
    else if (path === '/storage') state.storages.push({ storage: text('storage'), type: 'dir', content: text('content') })
    else if (path.startsWith('/storage/'))
      state.storages = state.storages.map((entry) =>
        entry.storage === path.split('/')[2] ? { ...entry, content: text('content') } : entry,
      )
    else if (path === '/nodes/pve/qemu')
      state.vms.push({ vmid: Number(form.vmid), type: 'qemu', node: 'pve', name: text('name'), pool: text('pool') })
    else if (path.endsWith('/config')) state.protectedVms.add(Number(path.split('/')[4]))
    else if (path === '/cluster/firewall/ipset') state.firewall.management = []
    else if (path === '/cluster/firewall/ipset/management')
      state.firewall.management = [{ cidr: text('cidr') }, ...(state.firewall.management ?? [])]
    else if (path === '/cluster/firewall/options') state.firewall.enabled = true
    else throw new Error(`unknown call ${path}`)
  }
  return state
}

it('a bare host is prepared, and then there is nothing left to do', () => {
  const plan = planSetup({ ...wanted, enableFirewall: true }, bare)
  expect(plan.problems).toEqual([])
  expect(planSetup({ ...wanted, enableFirewall: true }, after(bare, plan.steps)).steps).toEqual([])
})

it('whatever step it was killed after, the next run ends where a whole run ends', () => {
  const whole = planSetup(wanted, bare).steps
  for (let done = 0; done <= whole.length; done++) {
    const between = after(bare, whole.slice(0, done))
    const rest = planSetup(wanted, between).steps
    expect(planSetup(wanted, after(between, rest)).steps).toEqual([])
    expect(rest.length).toBe(whole.length - done)
  }
})

it("the token never gets what would let it delete other people's disks or destroy a depot", () => {
  const table = privilegeTable(wanted)
  const on = (path: string): string[] => table.filter((row) => row.path === path).flatMap((row) => [...row.privileges])
  expect(on('/storage/local-lvm')).not.toContain('Datastore.Allocate')
  expect(on('/pool/golden-depots')).not.toContain('VM.Allocate')
  expect(table.filter((row) => row.path === '/' || row.path === '/vms')).toEqual([
    { role: expect.stringMatching(/^GoldenDatacenter-/), privileges: ['Sys.Audit'], path: '/', propagate: false },
  ])
})

it('the datacenter firewall is left alone without consent, and management access comes first with it', () => {
  expect(planSetup(wanted, bare).steps.some((step) => step.call.path.includes('firewall'))).toBe(false)
  const paths = planSetup({ ...wanted, enableFirewall: true }, bare).steps.map((step) => step.call.path)
  expect(paths.slice(-3)).toEqual(['/cluster/firewall/ipset', '/cluster/firewall/ipset/management', '/cluster/firewall/options'])
})

it.each<[string, readonly string[], FirewallObserved, string[]]>([
  [
    'what is there already',
    ['192.168.1.0/24', '10.0.0.1/32'],
    { enabled: false, rules: [], management: [{ cidr: '192.168.1.0/24' }, { cidr: '10.0.0.1' }] },
    [],
  ],
  ['everybody, whom no set can hold', ['0.0.0.0/0'], { enabled: false, rules: [], management: [] }, ['0.0.0.0/1', '128.0.0.0/1']],
  [
    'half of what is missing',
    ['192.168.1.0/24', '192.168.2.0/24'],
    { enabled: false, rules: [], management: [{ cidr: '192.168.2.0/24' }] },
    ['192.168.1.0/24'],
  ],
])('of the networks to be let in, %s is added once', (_what, management, firewall, added) => {
  const { steps } = planSetup({ ...wanted, enableFirewall: true, management }, { ...bare, firewall })
  expect(steps.filter((step) => step.call.path === '/cluster/firewall/ipset/management').map((step) => step.call.form.cidr)).toEqual(added)
  expect(steps.some((step) => step.call.path === '/cluster/firewall/ipset')).toBe(false)
})

it.each<[string, string[], ReturnType<typeof placeOf>]>([
  ['192.168.1.7', ['192.168.1.0/24'], 'inside'],
  ['::ffff:192.168.1.7', ['192.168.1.0/24'], 'inside'],
  ['192.168.2.7', ['192.168.1.0/24', '192.168.2.7/32'], 'inside'],
  ['192.168.2.7', ['192.168.1.0/24'], 'outside'],
  ['fd00::7', ['192.168.1.0/24'], 'outside'],
  ['127.0.0.1', ['192.168.1.0/24'], 'loopback'],
  ['8.8.8.8', ['0.0.0.0/0'], 'inside'],
])('%s is, for the networks %j, %s', (caller, networks, place) => {
  expect(placeOf(caller, networks)).toBe(place)
})

it('what the firewall closes is said: storages served here, Ceph, bridges without a port, rules that come first', async () => {
  const exposure = await observeExposure(
    reading(
      [],
      {},
      {
        '/cluster/status': [
          { type: 'cluster', name: 'home' },
          { type: 'node', name: 'pve', ip: '192.168.1.5', local: 1 },
          { type: 'node', name: 'pve2', ip: '192.168.1.6' },
        ],
        '/nodes/pve/network': [
          { iface: 'vmbr0', type: 'bridge', address: '192.168.1.5', cidr: '192.168.1.5/24', bridge_ports: 'eno1' },
          { iface: 'vmbr1', type: 'bridge', address: '10.10.10.1', cidr: '10.10.10.1/24', bridge_ports: '' },
        ],
        '/storage': [
          { storage: 'share', type: 'nfs', server: '192.168.1.5' },
          { storage: 'backup', type: 'pbs', server: 'pve.lan' },
          { storage: 'nas', type: 'nfs', server: '192.168.1.99' },
          { storage: 'pool', type: 'rbd', monhost: '10.0.0.1 192.168.1.6' },
        ],
        '/nodes/pve/ceph/status': { health: {} },
        '/cluster/sdn/zones': [{ zone: 'nat', dhcp: 'dnsmasq' }],
      },
    ),
    'pve',
  )
  const { lines, mayLockOut } = firewallQuestion(
    ['172.16.0.0/16'],
    {
      enabled: false,
      rules: [
        { type: 'in', action: 'DROP', enable: 1, source: '10.0.0.0/8' },
        { type: 'in', action: 'DROP', enable: 0, source: '10.1.0.0/16' },
      ],
      management: [{ cidr: '172.16.9.0/24', nomatch: 1 }],
    },
    exposure,
    '10.1.1.1',
  )
  const text = lines.join('\n')
  for (const part of [
    /NFS .*storage share/,
    /Backup Server .*storage backup/,
    /Ceph .*storage pool/,
    /vmbr1 \(10\.10\.10\.1\)/,
    /SDN zone nat/,
    /pve2/,
    /in DROP 10\.0\.0\.0\/8/,
    /172\.16\.9\.0\/24/,
    /172\.16\.0\.0\/16 into the IP set management/,
    /You come from 10\.1\.1\.1, .*LOCK YOURSELF OUT/,
    /NFS, Ceph, a backup server, DNS and DHCP/,
  ])
    expect(text).toMatch(part)
  expect(text).not.toMatch(/storage nas|vmbr0 \(|10\.1\.0\.0/)
  expect(mayLockOut).toBe(true)
  // The node's own network is let in by Proxmox itself.
  expect(firewallQuestion(['172.16.0.0/16'], bare.firewall, exposure, '192.168.1.77').mayLockOut).toBe(false)
})

it('what an installation does not have is no failure of the look, an outage is one', async () => {
  const answer = (status: number): Proxmox =>
    ({
      get: async (path: string) => {
        throw new ProxmoxError('proxmox-refused', 'no', '', { status, method: 'GET', path })
      },
    }) as unknown as Proxmox
  expect(await observeExposure(answer(501), 'pve')).toEqual({ served: [], otherNodes: [], ownNetwork: undefined })
  for (const status of [0, 502, 503, 504, 595, 596, 599]) await expect(observeExposure(answer(status), 'pve')).rejects.toThrow('no')
})

it.each([
  ['a VM', { type: 'qemu', node: 'pve', name: 'mail' }, 'VM mail of somebody else'],
  [
    'a VM of that name in another pool',
    { type: 'qemu', node: 'pve', name: 'home-serena-depot', pool: 'theirs' },
    'VM home-serena-depot of',
  ],
  ['a container', { type: 'lxc', node: 'pve', name: 'home-serena-depot', pool: 'golden-depots' }, 'container home-serena-depot of'],
  [
    'on another node',
    { type: 'qemu', node: 'pve2', name: 'home-serena-depot', pool: 'golden-depots' },
    'VM home-serena-depot on node pve2 of',
  ],
])('a depot VMID that is %s is a problem, and nothing is asked of it or done to it', async (_what, resource, message) => {
  const answers: Record<string, unknown> = {
    '/cluster/resources': [{ vmid: 9200, ...resource }],
    '/cluster/firewall/options': {},
    '/access/users': [],
  }
  const admin = {
    get: async (path: string) => {
      if (path.includes('/qemu/9200') && (resource.type !== 'qemu' || resource.node !== 'pve'))
        throw new Error('Configuration file does not exist')
      return answers[path] ?? []
    },
  } as unknown as Proxmox
  const { vms } = await observeSetup(admin, wanted)
  const plan = planSetup(wanted, { ...bare, vms })
  expect(plan.problems).toMatchObject([{ code: 'vmid-taken', message: expect.stringContaining(message) }])
  expect(plan.steps.some((step) => step.command.includes('9200'))).toBe(false)
})

it('storages that do not fit are problems', () => {
  const codes = (storages: SetupObserved['storages']): string[] =>
    planSetup(wanted, { ...bare, storages }).problems.map((problem) => problem.code)
  expect(codes([])).toEqual(['storage-missing'])
  expect(codes([{ storage: 'local-lvm', type: 'dir', content: 'iso' }])).toEqual(['storage-without-images'])
  expect(codes([...bare.storages, { storage: 'golden-iso', type: 'dir', content: 'iso,images' }])).toEqual(['iso-storage-shared'])
  expect(codes([...bare.storages, { storage: 'golden-iso', type: 'dir', content: 'iso,backup' }])).toEqual(['iso-storage-shared'])
  expect(codes([{ storage: 'local-lvm', type: 'lvmthin', content: 'images', nodes: 'pve2,pve3' }])).toEqual(['storage-missing'])
  expect(codes([...bare.storages, { storage: 'golden-iso', type: 'dir', content: 'import,iso', nodes: 'pve2' }])).toEqual([
    'storage-missing',
  ])
  expect(
    codes([
      ...bare.storages,
      { storage: 'golden-iso', type: 'dir', content: 'import,iso', path: '/var/lib/golden-iso' },
      { storage: 'local', type: 'dir', content: 'backup', path: '/var/lib/vz' },
    ]),
  ).toEqual([])
})

it.each(['/var/lib/golden-iso', '/var/lib/golden-iso/', '/var/lib', '/var/lib//golden-iso/deeper', '/'])(
  'a folder that a storage has at %s is no place for the ISO storage',
  (path) => {
    const theirs = { storage: 'local', type: 'dir', content: 'backup', path }
    const { problems } = planSetup(wanted, { ...bare, storages: [...bare.storages, theirs] })
    expect(problems).toMatchObject([{ code: 'iso-path-taken', message: expect.stringContaining('storage local') }])
    const there = { storage: 'golden-iso', type: 'dir', content: 'iso,import', path: '/var/lib/golden-iso' }
    expect(
      planSetup({ ...wanted, isoPath: '/srv/x' }, { ...bare, storages: [...bare.storages, there, theirs] }).problems.map(
        ({ code }) => code,
      ),
    ).toEqual(['iso-path-taken'])
  },
)

it.each<[string, Partial<SetupObserved>, string, string]>([
  ['is not there', { nodes: [{ node: 'pve1', status: 'online' }], bridges: [] }, 'node-missing', 'pve1'],
  ['is off', { nodes: [{ node: 'pve', status: 'offline' }], bridges: [] }, 'node-offline', 'Start'],
  ['has no such bridge', { bridges: ['vmbr1', 'vmbr2'] }, 'bridge-missing', 'vmbr1, vmbr2'],
])('a node that %s is a problem', (_what, observed, code, hint) => {
  expect(planSetup(wanted, { ...bare, ...observed }).problems).toMatchObject([{ code, hint: expect.stringContaining(hint) }])
})

it('nothing is asked of a node that is not there', async () => {
  const asked: string[] = []
  const admin = {
    get: async (path: string) => {
      asked.push(path)
      return path === '/nodes'
        ? [{ node: 'other', status: 'online' }]
        : path.endsWith('options')
          ? {}
          : path === '/cluster/resources'
            ? [{ vmid: 9200, type: 'qemu', node: 'pve' }]
            : []
    },
  } as unknown as Proxmox
  expect(planSetup(wanted, await observeSetup(admin, wanted)).problems).toMatchObject([
    { code: 'node-missing' },
    { code: 'storage-missing' },
  ])
  expect(asked.filter((path) => path.startsWith('/nodes/'))).toEqual([])
})

it('a token that somebody else may use is replaced only on request', () => {
  const shared = { ...after(bare, planSetup(wanted, bare).steps) }
  const elsewhere = { ...wanted, secretMissing: '/site/secrets/proxmox-token' }
  const refused = planSetup(elsewhere, shared)
  expect(refused.problems).toMatchObject([
    { code: 'token-exists', message: expect.stringContaining('/site/secrets/proxmox-token'), hint: expect.stringContaining('--new-token') },
  ])
  expect(refused.steps).toEqual([])
  const replaced = planSetup({ ...elsewhere, replaceToken: true }, shared)
  expect(replaced.problems).toEqual([])
  expect(replaced.steps.slice(0, 2).map(({ call }) => call.method)).toEqual(['DELETE', 'POST'])
  expect(planSetup(elsewhere, bare).problems).toEqual([])
})

it('a stop takes effect between two steps', async () => {
  const stop = new AbortController()
  const done: string[] = []
  const call = async (path: string): Promise<null> => {
    done.push(path)
    stop.abort(new Error('stopped'))
    return null
  }
  const admin = { post: call, put: call, del: call } as unknown as Proxmox
  await expect(
    applySetup(
      admin,
      planSetup(wanted, bare),
      () => {},
      async () => {},
      stop.signal,
    ),
  ).rejects.toThrow('stopped')
  expect(done).toHaveLength(1)
})

it('a role that somebody changed is corrected', () => {
  const done = after(bare, planSetup(wanted, bare).steps)
  const changed = {
    ...done,
    roles: done.roles.map((role) => (role.roleid.startsWith('GoldenDepot') ? { ...role, privs: `${role.privs ?? ''},VM.Allocate` } : role)),
  }
  expect(planSetup(wanted, changed).steps.map((step) => step.title)).toEqual([expect.stringMatching(/^correct role GoldenDepot-/)])
})

const everyone = ['golden@pve', 'golden@pve!golden']
/** As the first versions of this project left it: roles that all sites of a host had in common, whatever they held. */
function before(privs: (kind: string) => string): SetupObserved {
  const done = after(bare, planSetup(wanted, bare).steps)
  const old = (role: string): string => role.replace(/-[0-9a-f]+$/, '')
  return {
    ...done,
    roles: [
      ...bare.roles,
      ...done.roles.slice(1).map(({ roleid, privs: held = '' }) => ({ roleid: old(roleid), privs: privs(old(roleid)) || held })),
    ],
    acl: done.acl.map((entry) => ({ ...entry, roleid: old(entry.roleid) })),
  }
}

it('roles of an earlier version are followed by those of this one, and go with the last that had them', () => {
  const old = before((kind) => (kind === 'GoldenDisks' ? 'Datastore.AllocateSpace' : ''))
  const { steps } = planSetup(wanted, old)
  const now = after(old, steps)
  expect(now.roles.map(({ roleid }) => roleid).filter((roleid) => !/-[0-9a-f]{8}$/.test(roleid))).toEqual(['Administrator'])
  expect(now.acl).toHaveLength(14)
  expect(planSetup(wanted, now).steps).toEqual([])
  // Never without permissions in between.
  for (let done = 0; done <= steps.length; done++) {
    const { acl, roles } = after(old, steps.slice(0, done))
    for (const { path, privileges } of privilegeTable(wanted)) {
      for (const ugid of everyone) {
        const held = acl
          .filter((entry) => entry.path === path && entry.ugid === ugid)
          .flatMap(({ roleid }) => (roles.find((role) => role.roleid === roleid)?.privs ?? '').split(','))
        expect(held.length).toBeGreaterThan(0)
        expect(path === '/storage/local-lvm' || privileges.every((privilege) => held.includes(privilege))).toBe(true)
      }
    }
  }
})

it('another site, or an earlier version at work, loses nothing', () => {
  const old = before((kind) => (kind === 'GoldenDisks' ? 'Datastore.AllocateSpace,Datastore.Allocate' : ''))
  const theirs = [
    { path: '/pool/theirs', roleid: 'GoldenPool', ugid: 'theirs@pve' },
    { path: '/pool/theirs', roleid: 'GoldenPool', ugid: 'theirs@pve!golden' },
  ]
  const now = after({ ...old, acl: [...old.acl, ...theirs] }, planSetup(wanted, { ...old, acl: [...old.acl, ...theirs] }).steps)
  expect(now.acl).toEqual(expect.arrayContaining(theirs))
  expect(now.roles.find(({ roleid }) => roleid === 'GoldenPool')).toEqual(old.roles.find(({ roleid }) => roleid === 'GoldenPool'))
  // What holds more than ours stays: somebody may need it.
  expect(now.acl.filter(({ roleid }) => roleid === 'GoldenDisks').map(({ ugid }) => ugid)).toEqual(everyone)
  expect(planSetup(wanted, now).steps).toEqual([])
})

it('setup of a version with other privileges touches no role of this one', () => {
  const ours = after(bare, planSetup(wanted, bare).steps)
  // The other version, as Proxmox 8 needs it.
  const other = { ...wanted, tokenId: 'second@pve!golden', pool: 'second', depotPool: 'second-depots', depots: [] }
  const both = after({ ...ours, release: { major: 8, minor: 4 } }, planSetup(other, { ...ours, release: { major: 8, minor: 4 } }).steps)
  expect(both.roles.slice(0, ours.roles.length)).toEqual(ours.roles)
  expect(planSetup(wanted, { ...both, release: undefined }).steps).toEqual([])
})

it('on Proxmox VE 8 a role holds what guest agents take there', () => {
  const roles = privilegeTable(wanted, { major: 8, minor: 4 })
  expect(roles.flatMap(({ privileges }) => privileges).filter((privilege) => /Monitor|GuestAgent/.test(privilege))).toEqual(['VM.Monitor'])
  expect(privilegeTable(wanted, { major: 10, minor: 0 })).toEqual(privilegeTable(wanted))
})

it.each<[string, object, object, string | undefined]>([
  ['9.1', { release: '9.1', version: '9.1.1' }, { release: '9.1' }, undefined],
  ['10.0', { version: '10.0~1' }, { version: '10.0~1' }, undefined],
  ['8.4', { release: '8.4' }, { release: '8.4' }, undefined],
  ['8.3', { release: '8.3' }, {}, 'version-too-old'],
  ['7.4', { release: '7.4', version: '7.4-3' }, {}, 'version-too-old'],
  ['9.1 with a node of 8.4', { release: '9.1' }, { release: '8.4' }, 'version-mixed'],
  ['8.4 with a node of 8.2', { release: '8.4' }, { release: '8.2' }, 'version-too-old'],
])('Proxmox VE %s is told first of all', async (_what, api, node, code) => {
  const asked: string[] = []
  const admin = reading([], {}, { '/version': api, '/nodes/pve/version': node })
  const watched = {
    get: async (path: string, query?: object) => {
      asked.push(path)
      return admin.get(path, query as never)
    },
  } as unknown as Proxmox
  const ended = await observeSetup(watched, wanted).then(
    ({ release }) => release,
    (error: unknown) => error,
  )
  if (code === undefined) expect(ended).toMatchObject({ major: expect.any(Number) })
  else expect(ended).toMatchObject({ code, hint: expect.stringContaining('Nothing was touched') })
  expect(asked[0]).toBe('/version')
})

it("the new token's secret is kept before anything else can fail", async () => {
  const { steps } = planSetup(wanted, bare)
  const kept: string[] = []
  const answer = async (path: string): Promise<unknown> => {
    if (path.includes('/token/')) return { value: 'the-secret' }
    // The first step after the token.
    if (path === '/access/acl') throw new Error(`refused, with ${kept.length} kept`)
    return null
  }
  const admin = { post: answer, put: answer, del: answer, task: async () => {} } as unknown as Proxmox
  await expect(
    applySetup(
      admin,
      { steps, problems: [] },
      () => {},
      async (secret) => {
        await Promise.resolve()
        kept.push(secret)
      },
    ),
  ).rejects.toThrow('refused, with 1 kept')
  expect(kept).toEqual(['the-secret'])
})

/** An administrator's connection that only reads: answers by path, and the configurations of VMs. */
function reading(resources: readonly object[], configs: Record<string, object>, more: Record<string, unknown> = {}): Proxmox {
  const answers: Record<string, unknown> = {
    '/cluster/resources': resources,
    '/cluster/firewall/options': {},
    '/nodes': bare.nodes,
    ...configs,
    ...more,
  }
  return {
    get: async (path: string, query?: { poolid?: string }) => {
      const key = query?.poolid === undefined ? path : `${path}?${query.poolid}`
      if (path.includes('/qemu/') && answers[key] === undefined)
        throw new ProxmoxError('vm-missing', `Configuration file '${path}' does not exist`, '', { status: 500, method: 'GET', path })
      return answers[key] ?? []
    },
  } as unknown as Proxmox
}
const depotDescription = String(planSetup(wanted, bare).steps.find((step) => step.title.startsWith('make depot'))?.call.form.description)

it('its own depots are known at once, by their configuration: a list of VMs has no names for the first seconds', async () => {
  const listed = { vmid: 9200, type: 'qemu', node: 'pve', pool: 'golden-depots', status: 'unknown' }
  const config = { name: 'home-serena-depot', description: depotDescription, protection: 1 }
  const { vms, protectedVms } = await observeSetup(reading([listed], { '/nodes/pve/qemu/9200/config': config }), wanted)
  expect(planSetup(wanted, { ...after(bare, planSetup(wanted, bare).steps), vms, protectedVms })).toEqual({ steps: [], problems: [] })
  // A name of before is late, too.
  const renamed = await observeSetup(
    reading([{ ...listed, name: 'home-serena-depot' }], { '/nodes/pve/qemu/9200/config': { ...config, name: 'mail', description: '' } }),
    wanted,
  )
  expect(planSetup(wanted, { ...bare, ...renamed, bridges: bare.bridges, storages: bare.storages }).problems).toMatchObject([
    { code: 'vmid-taken', message: expect.stringContaining('VM mail') },
  ])
})

it('a VM that goes while setup looks is not there', async () => {
  const { vms } = await observeSetup(reading([{ vmid: 9200, type: 'qemu', node: 'pve', pool: 'golden-depots' }], {}), wanted)
  expect(vms).toEqual([])
})

const image = '{\n "schema": 1,\n "kind": "image",\n "site": "other",\n "fingerprint": "' + 'a'.repeat(64) + '"\n}'
it.each<[string, object, object | undefined, string | undefined]>([
  ['a VM', { type: 'qemu' }, { name: 'payroll' }, 'VM 500 (payroll)'],
  ['a VM in a pool below', { type: 'qemu', pool: 'golden/theirs' }, { name: 'payroll' }, 'VM 500 (payroll)'],
  ['a VM with a tag of ours', { type: 'qemu' }, { name: 'payroll', tags: 'golden' }, 'VM 500 (payroll)'],
  [
    'a VM that Packer builds for somebody else',
    { type: 'qemu' },
    { name: 'their-build', description: 'Packer ephemeral build VM' },
    'VM 500 (their-build)',
  ],
  ['a container', { type: 'lxc', name: 'mail' }, undefined, 'container 500 (mail)'],
  ['a VM of a node that is off', { type: 'qemu', node: 'pve2' }, undefined, 'VM 500 of node pve2, which is off'],
  [
    'a template of another site of ours',
    { type: 'qemu' },
    { name: 'golden-other-aaaaaaaaaaaa', description: `Golden image of other\n\n\`\`\`json\n${image}\n\`\`\`` },
    undefined,
  ],
  [
    'a slot of another site of ours',
    { type: 'qemu' },
    { name: 'other-serena-blue', description: 'Slot blue of group serena of other (serena-golden): image …' },
    undefined,
  ],
  [
    'a depot of another site of ours',
    { type: 'qemu', pool: 'golden-depots' },
    { name: 'other-serena-depot', description: depotDescription },
    undefined,
  ],
  [
    'a VM that a bake of ours builds',
    { type: 'qemu' },
    { name: 'golden-build-other-0123456789ab', description: 'Packer ephemeral build VM\n' },
    undefined,
  ],
])('a pool with %s is taken for what it is', async (_what, resource, config, stranger) => {
  const listed = { vmid: 500, node: 'pve', pool: 'golden', ...resource }
  const { vms } = await observeSetup(reading([listed], config === undefined ? {} : { '/nodes/pve/qemu/500/config': config }), wanted)
  const { problems } = planSetup(wanted, { ...bare, pools: ['golden', 'golden-depots'], vms })
  expect(problems).toMatchObject(
    stranger === undefined
      ? []
      : [{ code: 'pool-shared', message: expect.stringContaining(stranger), hint: expect.stringContaining('proxmox.pool') }],
  )
})

it("a pool with a storage is nobody's to take, and all that is wrong is said at once", async () => {
  const admin = reading(
    [{ vmid: 500, type: 'qemu', node: 'pve', pool: 'golden' }],
    { '/nodes/pve/qemu/500/config': {} },
    {
      '/pools': [{ poolid: 'golden' }, { poolid: 'golden-depots' }, { poolid: 'theirs' }],
      '/pools?golden-depots': [{ poolid: 'golden-depots', members: [{ id: 'storage/pve/backup', storage: 'backup' }] }],
      '/pools?theirs': [{ poolid: 'theirs', members: [{ storage: 'isos' }] }],
    },
  )
  const observed = await observeSetup(admin, wanted)
  expect(planSetup(wanted, { ...observed, bridges: bare.bridges, storages: bare.storages }).problems).toMatchObject([
    { code: 'pool-shared', message: expect.stringContaining('VM 500'), hint: expect.stringContaining('proxmox.pool ') },
    { code: 'pool-shared', message: expect.stringContaining('storage backup'), hint: expect.stringContaining('proxmox.depotPool ') },
  ])
})

it('a vnet of SDN gets its rights below its own zone', () => {
  const observed: SetupObserved = { ...bare, bridges: ['vmbr0', 'home'], vnets: [{ vnet: 'home', zone: 'simple' }] }
  const paths = (bridge: string): string[] =>
    planSetup({ ...wanted, bridge }, observed).steps.flatMap(({ call: { path, form } }) =>
      path === '/access/acl' && String(form.roles).startsWith('GoldenNetwork') ? [String(form.path)] : [],
    )
  expect(paths('home')).toEqual(['/sdn/zones/simple/home'])
  expect(paths('vmbr0')).toEqual(['/sdn/zones/localnetwork/vmbr0'])
  expect(planSetup({ ...wanted, bridge: 'gone' }, observed).problems).toMatchObject([
    { code: 'bridge-missing', hint: expect.stringContaining('vmbr0, home') },
  ])
})

it('a node by its whole name is named with the short one', () => {
  expect(planSetup({ ...wanted, node: 'pve.example.org' }, bare).problems).toMatchObject([
    { code: 'node-missing', hint: expect.stringContaining('proxmox.node in site.ts to pve:') },
  ])
})
