/** Each line of the doctor: one look in which it is fine, and one in which it is not and says what mends it. */
import { mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Failure } from '../../core/failure.ts'
import { allChecks } from '../../doctor/all.ts'
import type { Line, State } from '../../doctor/line.ts'
import { writeLock } from '../../images/lock.ts'
import { privilegeTable } from '../../proxmox/privileges.ts'
import { readPins, writePins } from '../../releases/pins.ts'
import { scopeOf } from '../../doctor/rights.ts'
import { deploy } from '../../rollout/deploy.ts'
import { makeAuthority } from '../../settings/secrets/certificates.ts'
import { toolEnvironment } from '../../tools/index.ts'
import { startRolloutLab, type RolloutLab } from '../rollout/lab.ts'
import { testLock } from '../set-up.ts'
import { around, look, lookAround, type Changed, type Lines } from './rig.ts'

let t: RolloutLab
beforeAll(async () => {
  t = await startRolloutLab(await toolEnvironment())
  await t.addImage(9001)
  await writeLock(t.folder, testLock)
  await t.root.put('/cluster/firewall/options', { enable: 1 })
  await deploy(t.options())
})
afterAll(() => t?.close())

const seen = new Map<string, Set<State>>()
function note(lines: Lines): Lines {
  for (const { id, state, waits } of lines.list) if (waits === undefined) seen.set(id, (seen.get(id) ?? new Set()).add(state))
  return lines
}

/** One line, after something was changed. */
async function line(id: string, change: Changed = {}, of?: string): Promise<Line> {
  return note(await look(t, change, [id])).get(id, of)
}

/** The same with what is in the site folder, as the verb finds it. */
async function fromFolder(id: string, folder = t.folder): Promise<Line> {
  return note(await lookAround(around(folder), [id])).get(id)
}

/** As long as a file says something else, or is gone. */
async function withFile<T>(name: string, content: string | undefined, work: () => Promise<T>): Promise<T> {
  const file = join(t.folder, name)
  await rename(file, `${file}.before`)
  try {
    if (content !== undefined) await writeFile(file, content)
    return await work()
  } finally {
    await rename(`${file}.before`, file)
  }
}

it('on a computer and a host where all is well every line is fine', async () => {
  expect(note(await look(t)).notFine()).toEqual([])
  expect(note(await lookAround(around(t.folder))).notFine()).toEqual([])
})

describe('this computer', () => {
  it('site: none, or one with a setting that can not be', async () => {
    const none = join(t.folder, 'none')
    expect(await fromFolder('site', none)).toMatchObject({
      state: 'bad',
      code: 'site-missing',
      mend: expect.stringContaining('npx golden init'),
    })
    const wrong = await mkdtemp(join(tmpdir(), 'golden-doctor-'))
    await writeFile(join(wrong, 'site.ts'), `export default { name: 'home' }\n`)
    expect(await fromFolder('site', wrong)).toMatchObject({ state: 'bad', code: 'site-invalid', note: expect.stringContaining('proxmox') })
    await rm(wrong, { recursive: true })
  })

  it('tools: to come, or not to be had', async () => {
    expect(await line('tools', { programs: async () => [{ name: 'packer', is: 'to-come', how: '1.16.0 is downloaded' }] })).toMatchObject({
      state: 'warn',
      note: expect.stringContaining('packer 1.16.0 is downloaded'),
      mend: expect.stringContaining('npx golden env'),
    })
    const failure = new Failure('go-missing', 'Go is not installed', 'Install Go.')
    expect(await line('tools', { programs: async () => [{ name: 'tofu', is: 'missing', failure }] })).toMatchObject({
      state: 'bad',
      code: 'go-missing',
      note: 'tofu: Go is not installed',
      mend: 'Install Go.',
    })
  })

  it('archive-programs: not on PATH', async () => {
    expect(await line('archive-programs', { env: { PATH: '/nonexistent' } })).toMatchObject({
      state: 'bad',
      code: 'archive-program-missing',
      mend: expect.stringContaining('gpgv'),
    })
    const bin = await mkdtemp(join(tmpdir(), 'golden-doctor-'))
    await symlink('/bin/true', join(bin, 'sqv'))
    expect(await line('archive-programs', { env: { PATH: bin } })).toMatchObject({ state: 'warn', mend: expect.stringContaining('xz') })
    await rm(bin, { recursive: true })
  })

  it('signing: without allowed-signers, without a key, and not asked for', async () => {
    expect(await withFile('allowed-signers', undefined, () => line('signing'))).toMatchObject({
      state: 'bad',
      code: 'signing-failed',
      mend: expect.stringContaining('golden init'),
    })
    const noKey = await line('signing', { site: (draft) => void (draft.image.signingKey = 'secrets/no-key') })
    expect(noKey).toMatchObject({ state: 'warn', code: 'signing-key-missing', mend: expect.stringContaining('golden init') })
    expect(await line('signing', { site: (draft) => void (draft.image.signed = false) })).toMatchObject({ state: 'fine' })
  })
})

describe('the site folder', () => {
  it('secrets: a password is not there', async () => {
    expect(await withFile('secrets/users/demo', undefined, () => line('secrets'))).toMatchObject({
      state: 'bad',
      code: 'secret-unavailable',
      note: expect.stringContaining('serena.users.0.password'),
      mend: expect.stringContaining('golden init'),
    })
  })

  it('secrets: programs are not asked', async () => {
    const asks = await line('secrets', {
      site: (draft) => void (draft.serena.users[0]!.password = { kind: 'command', command: ['/bin/false'] }),
    })
    expect(asks).toMatchObject({ state: 'fine', note: expect.stringContaining('1 more come from programs') })
  })

  it('lock: none yet, and one of another base', async () => {
    expect(await withFile('images.lock.json', undefined, () => line('lock'))).toMatchObject({
      state: 'warn',
      mend: 'Run "npx golden lock".',
    })
    const other = { ...testLock, base: { os: 'debian-13', sha256: 'a'.repeat(64), vouched: 'site' } }
    expect(await withFile('images.lock.json', JSON.stringify(other), () => line('lock'))).toMatchObject({
      state: 'bad',
      code: 'lock-outdated',
      mend: expect.stringContaining('golden lock'),
    })
  })

  it('pins: a file that is none of ours, and a rollout that was interrupted', async () => {
    expect(await withFile('deployment.json', '{}', () => fromFolder('pins'))).toMatchObject({
      state: 'bad',
      code: 'deployment-invalid',
      mend: expect.stringContaining('git'),
    })
    const before = await readPins(t.folder)
    const rollout = { to: 'green', phase: 'prepare', since: '2026-11-24T02:00:00.000Z' } as const
    await writePins(t.folder, { schema: 1, groups: { ...before.groups, serena: { ...before.groups.serena!, rollout } } })
    const half = note(await look(t, {}, ['pins', 'state', 'guest']))
    await writePins(t.folder, before)
    expect(half.get('pins')).toMatchObject({
      state: 'warn',
      of: 'serena',
      note: expect.stringContaining('under way'),
      mend: expect.stringContaining('golden rollout serena'),
    })
    // What runs is looked at all the same.
    expect(half.get('guest', 'serena')).toMatchObject({ state: 'fine' })
  })

  it('state: gone, broken, or where only the engine looks', async () => {
    expect(await withFile('state/home-serena.tfstate', undefined, () => line('state'))).toMatchObject({
      state: 'warn',
      of: 'serena',
      mend: expect.stringContaining('backup'),
    })
    expect(await withFile('state/home-serena.tfstate', 'x', () => line('state'))).toMatchObject({
      state: 'bad',
      of: 'serena',
      code: 'state-unreadable',
    })
    const remote = await line('state', { site: (draft) => void (draft.backend = { type: 's3', config: {} }) })
    expect(remote).toMatchObject({ state: 'unknown', note: expect.stringContaining('s3') })
  })

  it('certificates: they end soon, and have ended', async () => {
    const inDays = (days: number) => ({ now: () => new Date(Date.now() + days * 86_400_000) })
    const soon = await line('certificates', inDays(800))
    expect(soon).toMatchObject({
      state: 'warn',
      note: expect.stringMatching(/the public certificate ends in 2\d days/),
      mend: expect.stringContaining('npx golden init'),
    })
    expect(soon.mend).toContain('npx golden rollout serena')
    expect(await line('certificates', inDays(830))).toMatchObject({ state: 'bad', note: expect.stringContaining('has ended') })
  })
})

describe('the host', () => {
  it('api: nothing answers, and nothing of Proxmox is looked at, but this computer is', async () => {
    const port = await closedPort()
    const lines = note(await look(t, { site: (draft) => void (draft.proxmox.url = `https://127.0.0.1:${port}`) }))
    expect(lines.get('api')).toMatchObject({ state: 'bad', code: 'proxmox-unreachable', mend: expect.stringContaining('proxmox.url') })
    for (const id of ['certificate', 'token', 'rights-pool', 'disks', 'guest', 'image'])
      expect(lines.get(id)).toMatchObject({ state: 'unknown', waits: expect.any(Array) })
    for (const id of ['site', 'tools', 'signing', 'secrets', 'lock', 'pins', 'dns']) expect(lines.get(id)).toMatchObject({ state: 'fine' })
  })

  it('certificate: nothing pinned yet, another one pinned, and one that Proxmox should have renewed', async () => {
    const none = await line('certificate', { site: (draft) => void (draft.proxmox.caFile = 'secrets/none.pem') })
    expect(none).toMatchObject({ state: 'bad', code: 'certificate-not-trusted', mend: expect.stringContaining('npx golden setup') })
    const { certificate } = await makeAuthority('another', new Date())
    await writeFile(join(t.folder, 'secrets/other.pem'), certificate)
    const other = await line('certificate', { site: (draft) => void (draft.proxmox.caFile = 'secrets/other.pem') })
    expect(other).toMatchObject({ state: 'bad', code: 'certificate-not-trusted', note: expect.stringContaining('other.pem') })
    const old = await line('certificate', { now: () => new Date(Date.now() + 725 * 86_400_000) })
    expect(old).toMatchObject({ state: 'warn', mend: expect.stringContaining('pvecm updatecerts') })
  })

  it('token: there is none yet, and one that Proxmox does not accept', async () => {
    expect(await withFile('secrets/proxmox-token', undefined, () => fromFolder('token'))).toMatchObject({
      state: 'bad',
      code: 'secret-unavailable',
      mend: expect.stringContaining('golden setup'),
    })
    const wrong = await withFile('secrets/proxmox-token', '00000000-0000-4000-8000-000000000000\n', () => fromFolder('token'))
    expect(wrong).toMatchObject({ state: 'bad', code: 'not-authenticated', mend: expect.stringContaining('golden setup --new-token') })
    expect(JSON.stringify(wrong)).not.toContain('00000000-0000-4000')
  })

  it('version: too old, and a cluster between two', async () => {
    const old = await line('version', { answers: (path, answer) => (path === '/version' ? { release: '8.2', version: '8.2.4' } : answer) })
    expect(old).toMatchObject({ state: 'bad', code: 'version-too-old', mend: expect.stringContaining('Upgrade') })
    const mixed = await line('version', {
      answers: (path, answer) => (path === '/nodes/pve/version' ? { release: '8.4', version: '8.4.1' } : answer),
    })
    expect(mixed).toMatchObject({ state: 'bad', code: 'version-mixed' })
  })

  it('clock: this computer is behind, or ahead', async () => {
    const by = (seconds: number) => line('clock', { now: () => new Date(Date.now() + seconds * 1000) })
    expect(await by(-300)).toMatchObject({
      state: 'warn',
      note: expect.stringMatching(/(299|300|301) s behind/),
      mend: expect.stringContaining('timedatectl set-ntp true'),
    })
    expect(await by(300)).toMatchObject({ state: 'warn', note: expect.stringContaining('ahead') })
    expect(await by(30)).toMatchObject({ state: 'fine' })
  })

  it('node: not in this cluster, and off', async () => {
    expect(await line('node', { site: (draft) => void (draft.proxmox.node = 'other') })).toMatchObject({
      state: 'bad',
      code: 'node-missing',
      mend: expect.stringContaining('pve'),
    })
    const off = await line('node', { answers: (path, answer) => (path === '/nodes' ? [{ node: 'pve', status: 'offline' }] : answer) })
    expect(off).toMatchObject({ state: 'bad', code: 'node-offline' })
  })
})

describe('what the token may do', () => {
  const ids = [
    'rights-pool',
    'rights-depot-pool',
    'rights-disks',
    'rights-iso',
    'rights-bridge',
    'rights-node',
    'rights-datacenter',
  ] as const

  it('the lines are those of the table of privileges, in its order', () => {
    expect(allChecks.filter(({ id }) => id.startsWith('rights-')).map(({ id }) => id)).toEqual(ids)
    expect(privilegeTable(scopeOf(t.site)).map(({ path }) => path)).toEqual([
      '/pool/home',
      '/pool/home-depots',
      '/storage/local-lvm',
      '/storage/home-iso',
      '/sdn/zones/localnetwork/vmbr0',
      '/nodes/pve',
      '/',
    ])
  })

  it.each(ids.map((id, at) => [id, at] as const))('%s: each privilege is missed, with its path and what grants it', async (id, at) => {
    const { role, privileges, path } = privilegeTable(scopeOf(t.site))[at]!
    for (const gone of privileges) {
      await t.root.put(`/access/roles/${role}`, { privs: privileges.filter((one) => one !== gone).join(',') })
      try {
        const found = await line(id)
        expect(found).toMatchObject({ note: expect.stringContaining(gone), mend: expect.stringContaining('npx golden setup') })
        expect(found.note).toContain(` on ${path}`)
        const canDoWithout =
          id === 'rights-datacenter' || id === 'rights-node' || (id === 'rights-depot-pool' && gone === 'VM.Config.Options')
        expect(found.state).toBe(canDoWithout ? 'warn' : 'bad')
      } finally {
        await t.root.put(`/access/roles/${role}`, { privs: privileges.join(',') })
      }
    }
  })

  it('the node: only where Proxmox downloads the base image it has to', async () => {
    const url = (draft: { image: { base: { url?: string | undefined; file?: string | undefined } } }): void => {
      draft.image.base.url = 'https://example.org/base.qcow2'
      delete draft.image.base.file
    }
    const answers = (path: string, answer: unknown): unknown =>
      path === '/access/permissions' ? { ...(answer as object), '/nodes/pve': {} } : answer
    expect(await line('rights-node', { site: url, answers })).toMatchObject({ state: 'bad', code: 'permission-denied' })
  })

  it('of a storage or a bridge that is not there the setting is named', async () => {
    expect(await line('rights-disks', { site: (draft) => void (draft.proxmox.storage.disks = 'nowhere') })).toMatchObject({
      code: 'storage-missing',
      mend: expect.stringContaining('proxmox.storage.disks'),
    })
    expect(await line('rights-bridge', { site: (draft) => void (draft.proxmox.bridge = 'vmbr9') })).toMatchObject({
      code: 'bridge-missing',
      mend: expect.stringContaining('proxmox.bridge'),
    })
  })
})

describe('storages', () => {
  const saying = (storage: string, change: object): Changed => ({
    answers: (path, answer) => (path.endsWith(`/storage/${storage}/status`) ? { ...(answer as object), ...change } : answer),
  })

  it('disks: of a kind that can not hold them, off, and of a kind nobody knows', async () => {
    expect(await line('disks', saying('local-lvm', { type: 'lvm' }))).toMatchObject({
      state: 'bad',
      code: 'storage-kind',
      mend: expect.stringContaining('proxmox.storage.disks'),
    })
    expect(await line('disks', saying('local-lvm', { active: 0 }))).toMatchObject({ state: 'bad', code: 'storage-inactive' })
    expect(await line('disks', saying('local-lvm', { type: 'drbd' }))).toMatchObject({
      state: 'warn',
      note: expect.stringContaining('full copies'),
    })
  })

  it('iso: not enabled for seeds, or for imports alone', async () => {
    expect(await line('iso', saying('home-iso', { content: 'import' }))).toMatchObject({
      state: 'bad',
      code: 'storage-content',
      mend: expect.stringContaining('golden setup'),
    })
    expect(await line('iso', saying('home-iso', { content: 'iso' }))).toMatchObject({
      state: 'warn',
      note: expect.stringContaining('no base can be made'),
    })
  })

  it.each([
    ['space-disks', 'local-lvm'],
    ['space-iso', 'home-iso'],
  ])('%s: full, with what makes room', async (id, storage) => {
    expect(await line(id, saying(storage, { avail: 2 ** 30 }))).toMatchObject({
      state: 'bad',
      code: 'storage-full',
      note: expect.stringContaining('1.0 GiB left'),
      mend: expect.stringContaining('npx golden prune'),
    })
  })

  it('space-disks: not enough for what comes next, in numbers', async () => {
    const short = await line('space-disks', {
      ...saying('local-lvm', { avail: 10 * 2 ** 30 }),
      site: (draft) => void (draft.image.build.diskGiB = 30),
    })
    expect(short).toMatchObject({ state: 'warn', mend: expect.stringContaining('golden prune') })
    expect(short.note).toBe(
      'storage local-lvm has 10.0 GiB left, and what is to be made there may grow to 60.0 GiB (the base 30.0 GiB, the next image 30.0 GiB)',
    )
  })
})

describe('the network', () => {
  it('bridge: gone', async () => {
    const gone = await line('bridge', { answers: (path, answer) => (path === '/nodes/pve/network' ? [{ iface: 'vmbr7' }] : answer) })
    expect(gone).toMatchObject({
      state: 'bad',
      code: 'bridge-missing',
      note: expect.stringContaining('vmbr7'),
      mend: expect.stringContaining('proxmox.bridge'),
    })
  })

  it('firewall: off, and not for this token to see', async () => {
    const off = await line('firewall', { answers: (path, answer) => (path === '/cluster/firewall/options' ? { enable: 0 } : answer) })
    expect(off).toMatchObject({ state: 'warn', mend: expect.stringContaining('--enable-datacenter-firewall') })
    const { role, privileges } = privilegeTable(scopeOf(t.site)).at(-1)!
    await t.root.put(`/access/roles/${role}`, { privs: '' })
    const unseen = await line('firewall')
    await t.root.put(`/access/roles/${role}`, { privs: privileges.join(',') })
    expect(unseen).toMatchObject({
      state: 'warn',
      note: expect.stringContaining('not for this token'),
      mend: expect.stringContaining('golden setup'),
    })
  })

  it('addresses: somebody else has one, or nobody here can tell', async () => {
    const taken = await line('addresses', {
      whoHas: async (address) => (address === '10.77.0.23' ? { is: 'there', mac: '00:11:22:33:44:55' } : { is: 'silent' }),
    })
    expect(taken).toMatchObject({ state: 'bad', mend: expect.stringContaining('site.ts') })
    expect(taken.note).toBe("10.77.0.23 (groups.serena.slots.green.address) is somebody else's, with the MAC address 00:11:22:33:44:55")
    const far = await line('addresses', { whoHas: async () => ({ is: 'unasked', why: 'this computer is not in its network' }) })
    expect(far).toMatchObject({
      state: 'unknown',
      note: expect.stringContaining('ours: 10.77.0.21, 10.77.0.22'),
      mend: expect.stringContaining('arping'),
    })
  })
})

describe('VMs', () => {
  const withVm = async <T>(settings: Record<string, string | number>, work: () => Promise<T>): Promise<T> => {
    await t.root.task(await t.root.post<string>('/nodes/pve/qemu', { memory: 64, ...settings }))
    try {
      return await work()
    } finally {
      await t.root.task(await t.root.del<string>(`/nodes/pve/qemu/${settings.vmid}`))
    }
  }

  it("pools: somebody else's VM is in one", async () => {
    const shared = await withVm({ vmid: 7000, name: 'mail', pool: 'home' }, () => line('pools'))
    expect(shared).toMatchObject({
      state: 'bad',
      code: 'pool-shared',
      note: expect.stringContaining('VM 7000 (mail)'),
      mend: expect.stringContaining('proxmox.pool'),
    })
  })

  it('depots: not protected any more', async () => {
    await t.root.put('/nodes/pve/qemu/9010/config', { protection: 0 })
    const bare = await line('depots')
    await t.root.put('/nodes/pve/qemu/9010/config', { protection: 1 })
    expect(bare).toMatchObject({ state: 'bad', code: 'depot-unprotected', of: 'serena', mend: expect.stringContaining('npx golden setup') })
  })

  it("vmids: somebody else's, and no more for templates", async () => {
    const taken = await withVm({ vmid: 9012, name: 'mail' }, () => line('vmids'))
    expect(taken).toMatchObject({
      state: 'bad',
      code: 'vmid-taken',
      of: 'serena',
      mend: expect.stringContaining('groups.serena.slots.green.vmid'),
    })
    const full = await line('vmids', { site: (draft) => void (draft.proxmox.templates = { first: 9001, last: 9001 }) })
    expect(full).toMatchObject({ state: 'bad', code: 'template-range-full', of: 'templates' })
  })
})

describe('images', () => {
  it('images: Proxmox does not tell of one', async () => {
    const fault = t.lab.faults.order({ request: { path: '^/nodes/pve/qemu/9001/config$' }, status: 500, reason: 'got no answer', times: 9 })
    expect(await line('images')).toMatchObject({ state: 'bad', code: 'proxmox-refused', note: expect.stringContaining('got no answer') })
    t.lab.faults.clear(fault)
  })

  it('image: none of this base yet, and one that was changed since it was signed', async () => {
    const none = await line('image', { site: (draft) => void (draft.image.base.sha256 = 'a'.repeat(64)) })
    expect(none).toMatchObject({ state: 'warn', code: 'no-image', mend: expect.stringContaining('npx golden bake') })
    const altered = await line('image', {
      answers: (path, answer) =>
        path === '/nodes/pve/qemu/9001/config'
          ? {
              ...(answer as object),
              description: String((answer as { description: string }).description).replace('"services": {}', '"services": {"nginx": "x"}'),
            }
          : answer,
    })
    expect(altered).toMatchObject({ state: 'bad', code: 'image-altered', mend: expect.stringContaining('golden sign') })
  })

  it('pinned-images: revoked, and gone', async () => {
    const config = (change: object): Changed => ({
      answers: (path, answer) => (path === '/nodes/pve/qemu/9001/config' ? { ...(answer as object), ...change } : answer),
    })
    expect(await line('pinned-images', config({ tags: 'golden;golden-candidate;golden-revoked' }))).toMatchObject({
      state: 'bad',
      code: 'image-revoked',
      mend: expect.stringContaining('golden rollout'),
    })
    expect(await line('pinned-images', config({ tags: '' }))).toMatchObject({
      state: 'warn',
      note: expect.stringContaining("can't be made again"),
    })
  })
})

describe('what runs', () => {
  it('guest: its VM does not answer, is off, and is not there', async () => {
    t.world.mute.add('home-serena-blue')
    await t.root.task(await t.root.post<string>('/nodes/pve/qemu/9011/status/stop'))
    expect(await line('guest', {}, 'serena')).toMatchObject({
      state: 'bad',
      note: expect.stringContaining('9011 is off'),
      mend: expect.stringContaining('golden deploy'),
    })
    await t.root.task(await t.root.post<string>('/nodes/pve/qemu/9011/status/start'))
    expect(await line('guest', {}, 'serena')).toMatchObject({
      state: 'bad',
      note: expect.stringContaining('does not answer'),
      mend: expect.stringContaining('console'),
    })
    expect(await line('guest', {}, 'logging')).toMatchObject({ state: 'fine' })
    t.world.mute.clear()
    await t.root.task(await t.root.post<string>('/nodes/pve/qemu/9011/status/reset'))
  })

  it('handover: a snapshot holds the data', async () => {
    await t.root.task(await t.root.post<string>('/nodes/pve/qemu/9021/snapshot', { snapname: 'before' }))
    expect(await line('handover', {}, 'logging')).toMatchObject({
      state: 'bad',
      note: expect.stringContaining('qm delsnapshot 9021 before'),
    })
    await t.root.task(await t.root.del<string>('/nodes/pve/qemu/9021/snapshot/before'))
  })
})

describe('outside', () => {
  it('dns: no such name, one that only this computer knows, and no server', async () => {
    const named = (found: Awaited<ReturnType<NonNullable<Changed['addressesOf']>>>) => line('dns', { addressesOf: async () => found })
    expect(await named({ dns: [], here: [] })).toMatchObject({ state: 'bad', mend: expect.stringContaining('public.host') })
    expect(await named({ dns: [], here: ['127.0.0.1'] })).toMatchObject({
      state: 'warn',
      note: expect.stringContaining('only this computer'),
    })
    expect(await named({ dns: [], here: [], unanswered: 'ETIMEOUT' })).toMatchObject({
      state: 'unknown',
      note: expect.stringContaining('ETIMEOUT'),
    })
    expect(await named({ dns: ['203.0.113.7', '2001:db8::7'], here: [] })).toMatchObject({
      state: 'warn',
      mend: expect.stringContaining('2001:db8::7'),
    })
  })

  it('leads-here: elsewhere, inside, and nobody can tell', async () => {
    const leads = (address: string, from?: string) =>
      line('leads-here', {
        addressesOf: async () => ({ dns: [address], here: [] }),
        askOutside: async () => ({ open: true, ...(from === undefined ? {} : { from }) }),
      })
    expect(await leads('10.77.0.21')).toMatchObject({ state: 'fine', note: expect.stringContaining('service address') })
    expect(await leads('203.0.113.7', '198.51.100.4')).toMatchObject({ state: 'bad', mend: expect.stringContaining('198.51.100.4') })
    expect(await leads('10.77.0.99')).toMatchObject({ state: 'bad', mend: expect.stringContaining('10.77.0.21') })
    expect(await leads('203.0.113.7')).toMatchObject({ state: 'unknown', mend: expect.stringContaining('public.lookFromOutside') })
  })

  it('router: closed, asked of nobody, and a helper that does not tell', async () => {
    const asked = (askOutside: Changed['askOutside'], outside: string | undefined = 'https://helper.example.org/') =>
      line('router', { ...(askOutside === undefined ? {} : { askOutside }), outside })
    expect(await asked(async () => ({ open: false, from: '203.0.113.7' }))).toMatchObject({
      state: 'bad',
      note: expect.stringContaining('203.0.113.7'),
      mend: expect.stringMatching(/forward TCP \d+ to 10\.77\.0\.21/),
    })
    expect(await asked(async () => Promise.reject(new Error('it answers with 500')))).toMatchObject({
      state: 'unknown',
      note: expect.stringContaining('500'),
    })
    expect(await line('router', { outside: undefined })).toMatchObject({
      state: 'unknown',
      mend: expect.stringMatching(/mobile data.*401.*public\.lookFromOutside/),
    })
  })
})

it('every line was fine in one look, and not in another', () => {
  const wanted = allChecks.map(({ id }) => id)
  expect(wanted.filter((id) => seen.get(id)?.has('fine') !== true)).toEqual([])
  expect(wanted.filter((id) => [...(seen.get(id) ?? [])].every((state) => state === 'fine'))).toEqual([])
})

async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((done) => server.once('listening', done))
  const address = server.address()
  await new Promise((done) => server.close(done))
  return typeof address === 'object' && address !== null ? address.port : 9
}
