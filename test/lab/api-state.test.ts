/** A lab that is stopped and started again has what it had; one that is killed in the middle leaves no halves. */
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, readFile, readdir, stat, symlink, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { startLab } from '../../lab/index.ts'
import { claimFolder } from '../../lab/state/claim.ts'
import { startRig, type Rig } from './api-rig.ts'

let rig: Rig
beforeEach(async () => {
  rig = await startRig()
})
afterEach(() => rig.close())

it('VMs, disks, users, tokens, tickets, pools, firewall, tasks and the port are there again; VMs are stopped', async () => {
  const { admin, apiUrl, rootToken } = rig.lab.connection
  const { ticket } = await rig.ok('POST', '/access/ticket', { token: null, form: { ...admin } })
  await rig.ok('POST', '/access/users', { form: { userid: 'robot@pve' } })
  const { value } = await rig.ok('POST', '/access/users/robot@pve/token/tk', { form: { privsep: 0 } })
  await rig.ok('PUT', '/access/acl', { form: { path: '/vms', roles: 'PVEAuditor', users: 'robot@pve' } })
  await rig.ok('POST', '/pools', { form: { poolid: 'kept' } })
  await rig.done('POST', '/nodes/pve/qemu', {
    form: { vmid: 100, pool: 'kept', description: 'two\nlines', scsi0: 'local-disks:1,format=qcow2', memory: 64 },
  })
  await rig.done('POST', '/nodes/pve/qemu/100/status/start')
  await rig.ok('PUT', '/nodes/pve/qemu/100/config', { form: { cores: 4 } })
  await rig.ok('POST', '/nodes/pve/qemu/100/firewall/rules', { form: { type: 'in', action: 'ACCEPT', enable: 1 } })
  const before = await rig.ok('GET', '/nodes/pve/qemu/100/config')
  const tasks = (await rig.ok('GET', '/nodes/pve/tasks')).length

  await rig.restart()

  expect(rig.lab.connection).toMatchObject({ apiUrl, rootToken, admin })
  expect(await rig.ok('GET', '/nodes/pve/qemu/100/config')).toEqual(before)
  expect(await rig.ok('GET', '/nodes/pve/qemu/100/pending')).toContainEqual({ key: 'cores', pending: 4 })
  expect((await rig.ok('GET', '/nodes/pve/qemu/100/status/current')).status).toBe('stopped')
  expect((await rig.ok('GET', '/pools', { query: { poolid: 'kept' } }))[0].members[0].vmid).toBe(100)
  expect(await rig.ok('GET', '/nodes/pve/qemu/100/firewall/rules')).toHaveLength(1)
  expect((await rig.call('GET', '/nodes/pve/qemu/100/config', { token: `robot@pve!tk=${value}` })).status).toBe(200)
  expect((await rig.call('GET', '/version', { token: null, headers: { Cookie: `PVEAuthCookie=${ticket}` } })).status).toBe(200)
  expect(await rig.ok('GET', '/nodes/pve/tasks')).toHaveLength(tasks)
  await rig.done('POST', '/nodes/pve/qemu/100/status/start')
})

it('connection.json is there, for its owner only, while the lab answers', async () => {
  const file = rig.lab.connectionFile
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  expect(JSON.parse(await readFile(file, 'utf8'))).toEqual(rig.lab.connection)
  await rig.lab.close()
  expect(existsSync(file)).toBe(false)
  expect(existsSync(rig.lab.connection.controlSocket)).toBe(false)
})

it('two labs never share a state folder; the first one is not disturbed', async () => {
  await expect(startLab({ stateDir: join(rig.folder, 'state'), driver: 'fake' })).rejects.toMatchObject({
    name: 'LabFailure',
    code: 'lab-running',
  })
  expect((await rig.call('GET', '/version')).status).toBe(200)
  expect(existsSync(rig.lab.connectionFile)).toBe(true)
})

it('of two that start on one folder at once, one does, before it has touched anything; then the next one may', async () => {
  await rig.lab.close()
  // What a killed one was making, which only one of them may clear away.
  await writeFile(
    join(rig.folder, 'state', 'vms', '300.json'),
    JSON.stringify({ vmid: 300, config: { lock: 'create' }, pending: {}, deletions: {} }),
  )
  const link = join(rig.folder, 'same')
  await symlink(join(rig.folder, 'state'), link)
  const started = await Promise.allSettled([rig.folder + '/state', link].map((stateDir) => startLab({ stateDir, driver: 'fake' })))
  const running = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  try {
    expect(running).toHaveLength(1)
    expect(started.find((one) => one.status === 'rejected')?.reason).toMatchObject({ code: 'lab-running' })
  } finally {
    for (const lab of running) await lab.close()
  }
  await rig.restart()
})

it('a failure to start gives the folder back', async () => {
  await rig.lab.close()
  const failing = {
    stateDir: join(rig.folder, 'state'),
    driver: 'fake' as const,
    createDriver: () => Promise.reject(new Error('no guests today')),
  }
  for (let times = 0; times < 2; times += 1) await expect(startLab(failing)).rejects.toThrow('no guests today')
  await rig.restart()
})

it('all its ports are the same the next time; one that is taken is another one', async () => {
  const ports = () => {
    const { apiUrl, socksProxy, router } = rig.lab.connection
    return [apiUrl, socksProxy.port, router.https.port, router.http.port]
  }
  const [api, socks, https, http] = ports()
  await rig.restart()
  expect(ports()).toEqual([api, socks, https, http])
  await rig.lab.close()
  const other = createServer().listen(https as number, '127.0.0.1')
  await once(other, 'listening')
  await rig.restart()
  const [, , moved] = ports()
  other.close()
  expect(moved).not.toBe(https)
  expect(ports()).toEqual([api, socks, moved, http])
})

it.each([
  ['taken', undefined],
  ['below a file', 'state/secrets.json/x'],
  ['too long for a socket in it', 'x'.repeat(100)],
])('a port or folder that is %s is named', async (_, folder) => {
  const port = Number(new URL(rig.lab.connection.apiUrl).port)
  const attempt = startLab({ stateDir: join(rig.folder, folder ?? 'other'), driver: 'fake', port })
  await expect(attempt).rejects.toMatchObject({
    name: 'LabFailure',
    code: folder === undefined ? 'port' : 'state-folder',
    next: expect.stringContaining('--'),
  })
})

it("the folder is its owner's only, also one that was there before", async () => {
  const state = join(rig.folder, 'state')
  await rig.lab.close()
  await chmod(state, 0o755)
  await rig.restart()
  expect((await stat(state)).mode & 0o777).toBe(0o700)
  // A folder with other things in it is not the lab's to close.
  const claim = await claimFolder(rig.folder)
  await chmod(rig.folder, 0o755)
  await claim.release()
  await (await claimFolder(rig.folder)).release()
  expect((await stat(rig.folder)).mode & 0o777).toBe(0o755)
})

it('what a killed lab was making is cleared away', async () => {
  const state = join(rig.folder, 'state')
  await rig.lab.close()
  await writeFile(join(state, 'vms', '300.json'), JSON.stringify({ vmid: 300, config: { lock: 'clone' }, pending: {}, deletions: {} }))
  await mkdir(join(state, 'storage', 'local-disks', 'images', '300'), { recursive: true })
  await writeFile(join(state, 'storage', 'local-disks', 'images', '300', 'vm-300-disk-0.raw'), 'half')
  await mkdir(join(state, 'uploads'), { recursive: true })
  await writeFile(join(state, 'uploads', 'pveupload-0'), 'half')
  const isos = join(state, 'storage', 'local', 'template', 'iso')
  for (const name of [`a.iso.pveupload-${'0'.repeat(32)}`, 'b.iso.tmp.123', 'whole.iso']) await writeFile(join(isos, name), 'x')
  await writeFile(
    join(state, 'firewall-vms.json'),
    JSON.stringify({ 300: { options: { enable: '1' }, rules: [], ipsets: {}, aliases: {} } }),
  )
  const left = await mkdtemp(join(tmpdir(), 'lab-'))
  const secrets = JSON.parse(await readFile(join(state, 'secrets.json'), 'utf8'))
  await writeFile(join(state, 'secrets.json'), JSON.stringify({ ...secrets, runFolder: left }))
  await rig.restart()
  expect(existsSync(left)).toBe(false)
  expect(await readdir(isos)).toEqual(['whole.iso'])
  expect(JSON.parse(await readFile(join(state, 'firewall-vms.json'), 'utf8'))).toEqual({})
  expect((await rig.call('GET', '/nodes/pve/qemu/300/config')).status).toBe(500)
  expect(existsSync(join(state, 'storage', 'local-disks', 'images', '300'))).toBe(false)
  expect(await readdir(join(state, 'uploads'))).toEqual([])
})

it('secrets are kept as hashes, and in files of their owner only', async () => {
  const { rootToken } = rig.lab.connection
  const state = join(rig.folder, 'state')
  expect(await readFile(join(state, 'access.json'), 'utf8')).not.toContain(rootToken.split('=')[1] as string)
  for (const name of ['access.json', 'secrets.json', 'tls/server.key']) expect((await stat(join(state, name))).mode & 0o077).toBe(0)
})
