/** Node, storages, bridge and image that are not where the site says: named before anything is made, by deploy and by status. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { listImages } from '../../images/catalog.ts'
import { renderRecord } from '../../images/record.ts'
import { seedForm } from '../../images/contract/seed.ts'
import { ProxmoxError, type Proxmox } from '../../proxmox/client.ts'
import { lookAtPlace } from '../../proxmox/place.ts'
import { checkImages } from '../../rollout/choose-image.ts'
import { deploy } from '../../rollout/deploy.ts'
import { checkDeleteData } from '../../rollout/delete-data.ts'
import { destroy, destroyGroup } from '../../rollout/destroy.ts'
import type { Engine } from '../../rollout/engine.ts'
import { checkIdentity, observeGroup, placesOf } from '../../rollout/observe.ts'
import { readPins, writePins } from '../../releases/pins.ts'
import { seedIsThere } from '../../releases/seed.ts'
import { renderStatus } from '../../rollout/render-status.ts'
import { readStatus } from '../../rollout/status.ts'
import { newRelease, type Release } from '../../releases/deployment.ts'
import { parseSite, type Site } from '../../settings/site.ts'
import { startRolloutLab, type RolloutLab } from './lab.ts'

/** What a client that stands in for another one leaves as it is. */
function ownOf(target: Proxmox, key: string | symbol): unknown {
  const value: unknown = Reflect.get(target, key)
  return typeof value === 'function' ? value.bind(target) : value
}

let t: RolloutLab
let before: unknown
const host = async (): Promise<unknown> => ({
  vms: (await t.root.get<{ vmid: number; name: string }[]>('/cluster/resources', { type: 'vm' })).map(({ vmid, name }) => [vmid, name]),
  files: await t.root.get(`/nodes/pve/storage/${t.site.proxmox.storage.iso}/content`),
})
const siteWith = (change: (proxmox: { -readonly [key in keyof Site['proxmox']]: Site['proxmox'][key] }) => void): Site => {
  const site = structuredClone(t.site)
  change(site.proxmox)
  return site
}
const grant = async (storage: string): Promise<void> => {
  const user = t.site.proxmox.tokenId.split('!')[0] ?? ''
  await t.root.put('/access/acl', { path: `/storage/${storage}`, roles: 'PVEDatastoreUser', users: user, tokens: t.site.proxmox.tokenId })
}
/** The same host, on which this VM is on another node. */
const with9001On = (node: string, status = 'online'): Proxmox =>
  new Proxy(t.proxmox, {
    get(target, key) {
      if (key !== 'get') return ownOf(target, key)
      return async (path: string, query?: Record<string, string>) => {
        if (path === '/nodes/pve/qemu/9001/config' || (status !== 'online' && path.startsWith(`/nodes/${node}/`)))
          throw new Error('asked of the wrong node')
        if (path === '/nodes') return [...(await target.get<object[]>(path)), { node, status }]
        const answer = await target.get<{ vmid: number }[]>(path.replace(`/nodes/${node}/qemu/9001/`, '/nodes/pve/qemu/9001/'), query)
        return path === '/cluster/resources' ? answer.map((one) => (one.vmid === 9001 ? { ...one, node } : one)) : answer
      }
    },
  })

beforeAll(async () => {
  t = await startRolloutLab()
  for (const [storage, form] of Object.entries({
    thick: { type: 'lvm', vgname: 'san' },
    tank: { type: 'zfspool', pool: 'tank' },
    remote: { type: 'zfs', pool: 'tank', portal: '192.168.1.9', target: 'iqn.2026-11.example:tank', iscsiprovider: 'LIO', blocksize: '8k' },
  })) {
    await t.root.post('/storage', { storage, ...form })
    await grant(storage)
  }
  await t.addImage(9001)
})
beforeEach(async () => {
  before = await host()
})
afterAll(() => t?.close())

const refused: [string, (proxmox: any) => void, { code: string; message: RegExp; hint: RegExp }][] = [
  [
    'thick LVM',
    (proxmox) => {
      proxmox.storage.disks = 'thick'
    },
    { code: 'storage-kind', message: /thick \(proxmox\.storage\.disks\) is thick LVM/, hint: /LVM-thin, ZFS/ },
  ],
  [
    'ZFS over iSCSI',
    (proxmox) => {
      proxmox.storage.disks = 'remote'
    },
    { code: 'storage-kind', message: /give a disk to another VM/, hint: /proxmox\.storage\.disks/ },
  ],
  [
    'a storage of files that holds none',
    (proxmox) => {
      proxmox.storage.iso = 'tank'
    },
    { code: 'storage-kind', message: /proxmox\.storage\.iso/, hint: /NFS/ },
  ],
  [
    "another storage than the image's",
    (proxmox) => {
      proxmox.storage.disks = 'tank'
    },
    {
      code: 'image-elsewhere',
      message: /9001.*on storage local-lvm, and proxmox\.storage\.disks is tank/,
      hint: /npx golden bake.*qm disk move 9001 scsi0 tank/,
    },
  ],
  [
    'a storage that is not there',
    (proxmox) => {
      proxmox.storage.disks = 'nowhere'
    },
    { code: 'storage-missing', message: /nowhere \(proxmox\.storage\.disks\)/, hint: /proxmox\.storage\.disks.*golden setup/ },
  ],
  [
    'a bridge that is not there, or was not there at setup',
    (proxmox) => {
      proxmox.bridge = 'vmbr7'
    },
    { code: 'bridge-missing', message: /vmbr7 \(proxmox\.bridge\).*vmbr0/, hint: /golden setup/ },
  ],
  [
    'a node that is not there',
    (proxmox) => {
      proxmox.node = 'pve2'
    },
    { code: 'node-missing', message: /no node pve2 \(proxmox\.node\)/, hint: /proxmox\.node in site\.ts to one of: pve\./ },
  ],
  [
    'a node by its whole name',
    (proxmox) => {
      proxmox.node = 'pve.example.org'
    },
    { code: 'node-missing', message: /pve\.example\.org/, hint: /proxmox\.node in site\.ts to pve:/ },
  ],
]
it.each(refused)('deploy refuses %s before it makes anything', async (_what, change, { code, message, hint }) => {
  await expect(deploy(t.options({ site: siteWith(change) }))).rejects.toMatchObject({
    code,
    message: expect.stringMatching(message),
    hint: expect.stringMatching(hint),
  })
  expect(await host()).toEqual(before)
  expect(await readPins(t.folder)).toEqual({ schema: 1, groups: {} })
})

it.each(refused.filter(([, , { code }]) => code !== 'image-elsewhere'))('status names %s', async (_what, change, { code, message }) => {
  const read = readStatus({ site: siteWith(change), folder: t.folder, proxmox: t.proxmox })
  if (code === 'node-missing') await expect(read).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
  else expect(await read).toMatchObject({ healthy: false, problems: [expect.stringMatching(message)] })
})

it('all that is wrong is said at once', async () => {
  const site = siteWith((proxmox) => {
    proxmox.bridge = 'vmbr7'
    ;(proxmox.storage as { disks: string }).disks = 'thick'
  })
  await expect(deploy(t.options({ site }))).rejects.toMatchObject({ code: 'storage-kind' })
  expect(t.shown.join('\n')).toContain('warning: node pve has no bridge or vnet vmbr7')
})

it('deploy refuses an image on another node of the cluster', async () => {
  const proxmox = with9001On('pve2')
  await expect(deploy(t.options({ proxmox }))).rejects.toMatchObject({
    code: 'image-elsewhere',
    message: expect.stringMatching(/9001.*on node pve2, and proxmox\.node is pve/),
    hint: expect.stringMatching(/npx golden bake.*qm migrate 9001 pve" on node pve2/),
  })
  expect(await host()).toEqual(before)
})

it('an image on a node that is down is as good as none', async () => {
  await expect(deploy(t.options({ proxmox: with9001On('pve2', 'offline') }))).rejects.toMatchObject({ code: 'no-image' })
  await expect(
    deploy(
      t.options({
        proxmox: with9001On('pve2', 'offline'),
        site: siteWith((proxmox) => {
          proxmox.node = 'pve2'
        }),
      }),
    ),
  ).rejects.toMatchObject({ code: 'node-offline', hint: expect.stringContaining('Start that node') })
})

it('a newer image elsewhere is passed over for one that is here', async () => {
  const { node, pool } = t.site.proxmox
  await t.root.task(await t.root.post<string>(`/nodes/${node}/qemu`, { vmid: 9002, name: 'golden-home-newer', pool, scsi0: 'tank:1' }))
  const record = renderRecord({
    schema: 1,
    kind: 'image',
    site: t.site.name,
    fingerprint: 'd'.repeat(64),
    lock: 'b'.repeat(64),
    base: { os: t.site.image.base.os, sha256: t.site.image.base.sha256 },
    built: '2026-11-27T12:00:00.000Z',
    seed: seedForm,
    services: {},
  })
  await t.root.put(`/nodes/${node}/qemu/9002/config`, { tags: 'golden;golden-candidate', description: record })
  await t.root.task(await t.root.post<string>(`/nodes/${node}/qemu/9002/template`))
  // Without an engine it comes as far as pinning what it would deploy.
  await expect(deploy(t.options())).rejects.toBeInstanceOf(Error)
  expect(t.shown.join('\n')).toContain('of image golden-home-000000009001 for slot blue')
  await t.root.task(await t.root.del<string>(`/nodes/${node}/qemu/9002`))
})

it('a slot is not made from a pinned image that has been migrated', async () => {
  const { images } = await listImages(t.proxmox, t.site)
  const release = newRelease(t.site, 'serena', 'blue', {
    id: '0123456789ab',
    created: new Date(),
    image: { vmid: 9001, name: 'golden-home', fingerprint: images[0]?.record.fingerprint ?? '' },
  })
  const pins = { active: 'blue' as const, slots: { blue: release } }
  checkImages(images, 'serena', pins, ['blue'])
  expect(() =>
    checkImages(
      images.map((one) => ({ ...one, node: 'pve2' })),
      'serena',
      pins,
      ['blue'],
    ),
  ).toThrow(expect.objectContaining({ code: 'image-elsewhere', hint: expect.stringContaining('qm migrate 9001 pve" on node pve2') }))
})

it('a depot on another node is named with where it is', async () => {
  const site = siteWith((proxmox) => {
    proxmox.node = 'pve2'
  })
  const proxmox: Proxmox = new Proxy(t.proxmox, {
    get: (target, key) =>
      key !== 'get'
        ? ownOf(target, key)
        : async (path: string, query?: Record<string, string>) => {
            if (path.startsWith('/nodes/pve2/'))
              throw new ProxmoxError('vm-missing', `Configuration file '${path}' does not exist`, '', { status: 500, method: 'GET', path })
            return target.get(path, query)
          },
  })
  const places = placesOf(site, 'serena', undefined)
  const seen = await observeGroup(proxmox, places)
  expect(seen.depot).toEqual({ there: 'elsewhere', node: 'pve' })
  expect(() => checkIdentity(places, seen)).toThrow(
    expect.objectContaining({
      code: 'vm-elsewhere',
      message: expect.stringContaining('on node pve, not on node pve2 (proxmox.node)'),
      hint: expect.stringMatching(/qm migrate 9010 pve2" on node pve.*proxmox\.node in site\.ts to pve/),
    }),
  )
})

describe('a group whose node is off, or gone', () => {
  let release: Release
  beforeAll(async () => {
    const made = newRelease(t.site, 'serena', 'blue', {
      id: '0123456789ab',
      created: new Date(),
      image: { vmid: 9001, name: 'golden-home', fingerprint: 'f'.repeat(64) },
    })
    release = { ...made, vm: { ...made.vm, node: 'pve2' } }
    await writePins(t.folder, {
      schema: 1,
      groups: { serena: { active: 'blue', slots: { blue: release }, dataDisk: 'made', depot: 9010 } },
    })
  })
  afterAll(() => writePins(t.folder, { schema: 1, groups: {} }))
  const code = { offline: 'node-offline', gone: 'node-missing' }
  it.each(['offline', 'gone'] as const)(
    'is named by deploy, destroy and delete-data at once, and by status as a problem of that group (%s)',
    async (how) => {
      const away = with9001On('pve2', 'offline')
      const proxmox =
        how === 'offline'
          ? away
          : new Proxy(away, {
              get: (target, key) =>
                key !== 'get'
                  ? ownOf(target, key)
                  : async (path: string, query?: Record<string, string>) =>
                      path === '/nodes' ? t.proxmox.get(path) : target.get(path, query),
            })
      const refusal = {
        code: code[how],
        message: expect.stringContaining('node pve2, where deployment.json has group serena'),
        hint: expect.stringContaining('Bring that node back'),
      }
      await expect(deploy(t.options({ proxmox }))).rejects.toMatchObject(refusal)
      await expect(destroy(t.options({ proxmox }), ['serena'])).rejects.toMatchObject(refusal)
      expect((await readStatus(t.options({ proxmox }))).groups).toMatchObject({
        serena: { health: 'unreachable', problems: [expect.stringContaining('node pve2')] },
        logging: { health: 'absent' },
      })
      // What is not deployed is looked for where site.ts says.
      await expect(
        checkDeleteData(
          t.options({
            proxmox,
            site: siteWith((wanted) => {
              wanted.node = 'pve2'
            }),
          }),
          'logging',
        ),
      ).rejects.toMatchObject({ code: code[how] })
    },
  )
})

it('a seed whose storage is gone does not hold up a destroy; deploy names it', async () => {
  const made = newRelease(t.site, 'serena', 'blue', {
    id: '0123456789ab',
    created: new Date(),
    image: { vmid: 9001, name: 'golden-home', fingerprint: 'f'.repeat(64) },
  })
  const release = { ...made, vm: { ...made.vm, seed: made.vm.seed.replace(/^[^:]+/, 'old-iso') } }
  await expect(seedIsThere(t.proxmox, release)).rejects.toMatchObject({
    code: 'storage-missing',
    message: expect.stringContaining('storage old-iso, where the seed of'),
    hint: expect.stringContaining('golden destroy serena'),
  })
  await writePins(t.folder, { schema: 1, groups: { serena: { active: 'blue', slots: { blue: release }, depot: 9010 } } })
  const engine: Partial<Engine> = { init: async () => {}, listState: async () => [] }
  expect(await destroyGroup(t.options(), engine as Engine, 'serena')).toMatchObject({ outcome: 'destroyed' })
  expect(t.shown.join('\n')).toMatch(/warning: the seed old-iso:iso\/seed-\S+, which holds that release's secrets, could not be removed/)
  expect(await readPins(t.folder)).toEqual({ schema: 1, groups: {} })
})

it('storages of other types are looked at by what they can do, and a host of the usual kind has nothing to say', async () => {
  const {
    node,
    bridge,
    storage: { iso },
  } = t.site.proxmox
  for (const disks of ['local-lvm', 'tank'])
    expect(await lookAtPlace(t.proxmox, { node, bridge, iso, disks })).toEqual({
      problems: [],
      notes: [],
      linkedClones: true,
      free: expect.any(Number),
    })
  const other: Proxmox = new Proxy(t.proxmox, {
    get: (target, key) =>
      key !== 'get'
        ? ownOf(target, key)
        : async (path: string, query?: Record<string, string>) => {
            const answer = await target.get<object>(path, query)
            return path.endsWith('/storage/tank/status') ? { ...answer, type: 'drbd' } : answer
          },
  })
  expect(await lookAtPlace(other, { node, bridge, iso, disks: 'tank' })).toEqual({
    problems: [],
    notes: [expect.stringContaining('full copies')],
    linkedClones: false,
    free: expect.any(Number),
  })
})

it('what works and differs from the usual is a warning of the status, not a problem', async () => {
  const { iso } = t.site.proxmox.storage
  const other: Proxmox = new Proxy(t.proxmox, {
    get: (target, key) =>
      key !== 'get'
        ? ownOf(target, key)
        : async (path: string, query?: Record<string, string>) => {
            const answer = await target.get<object>(path, query)
            return path.endsWith('/storage/tank/status')
              ? { ...answer, type: 'drbd', avail: 2 ** 30 }
              : path.endsWith(`/storage/${iso}/status`)
                ? { ...answer, content: 'iso' }
                : answer
          },
  })
  const status = await readStatus({
    site: siteWith((proxmox) => {
      ;(proxmox.storage as { disks: string }).disks = 'tank'
    }),
    folder: t.folder,
    proxmox: other,
  })
  expect(status).toMatchObject({
    problems: [],
    warnings: [
      expect.stringContaining('full copies'),
      expect.stringContaining('only 1024 MiB left'),
      expect.stringMatching(/\(proxmox\.storage\.iso\) is not enabled for import.*golden setup/),
    ],
  })
  expect(renderStatus(status)).toMatch(/^warning {4}storage tank has only 1024 MiB left$/m)
})

it('a node with a domain is refused where it is written', () => {
  const parsed = parseSite(
    siteWith((proxmox) => {
      proxmox.node = 'pve.example.org'
    }),
  )
  expect(parsed).toMatchObject({ ok: false, problems: [{ path: 'proxmox.node', message: expect.stringContaining('short name') }] })
})
