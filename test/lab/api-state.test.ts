/** A lab that is stopped and started again has what it had; one that is killed in the middle leaves no halves. */
import { mkdir, readFile, readdir, stat, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startRig, type Rig } from './api-rig.ts'

let rig: Rig
beforeEach(async () => {
  rig = await startRig()
})
afterEach(() => rig.close())

test('VMs, disks, users, tokens, tickets, pools, firewall, tasks and the port are there again; VMs are stopped', async () => {
  const { admin, apiUrl, rootToken } = rig.lab.connection
  const { ticket } = await rig.ok('POST', '/access/ticket', { token: null, form: { ...admin } })
  await rig.ok('POST', '/access/users', { form: { userid: 'robot@pve' } })
  const { value } = await rig.ok('POST', '/access/users/robot@pve/token/tk', { form: { privsep: 0 } })
  await rig.ok('PUT', '/access/acl', { form: { path: '/vms', roles: 'PVEAuditor', users: 'robot@pve' } })
  await rig.ok('POST', '/pools', { form: { poolid: 'kept' } })
  await rig.done('POST', '/nodes/pve/qemu', { form: { vmid: 100, pool: 'kept', description: 'two\nlines', scsi0: 'local-disks:1,format=qcow2', memory: 64 } })
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

test('connection.json is there, for its owner only, while the lab answers', async () => {
  const file = rig.lab.connectionFile
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  expect(JSON.parse(await readFile(file, 'utf8'))).toEqual(rig.lab.connection)
  await rig.lab.close()
  expect(existsSync(file)).toBe(false)
  expect(existsSync(rig.lab.connection.controlSocket)).toBe(false)
})

test('two labs never share a state folder; the first one is not disturbed', async () => {
  const { startLab } = await import('../../lab/index.ts')
  await expect(startLab({ stateDir: join(rig.folder, 'state'), driver: 'fake' })).rejects.toThrow('is running with the state folder')
  expect((await rig.call('GET', '/version')).status).toBe(200)
  expect(existsSync(rig.lab.connectionFile)).toBe(true)
})

test('what a killed lab was making is cleared away', async () => {
  const state = join(rig.folder, 'state')
  await rig.lab.close()
  await writeFile(join(state, 'vms', '300.json'), JSON.stringify({ vmid: 300, config: { lock: 'clone' }, pending: {}, deletions: {} }))
  await mkdir(join(state, 'storage', 'local-disks', 'images', '300'), { recursive: true })
  await writeFile(join(state, 'storage', 'local-disks', 'images', '300', 'vm-300-disk-0.raw'), 'half')
  await mkdir(join(state, 'uploads'), { recursive: true })
  await writeFile(join(state, 'uploads', 'pveupload-0'), 'half')
  await rig.restart()
  expect((await rig.call('GET', '/nodes/pve/qemu/300/config')).status).toBe(500)
  expect(existsSync(join(state, 'storage', 'local-disks', 'images', '300'))).toBe(false)
  expect(await readdir(join(state, 'uploads'))).toEqual([])
})

test('secrets are kept as hashes, and in files of their owner only', async () => {
  const { rootToken } = rig.lab.connection
  const state = join(rig.folder, 'state')
  expect(await readFile(join(state, 'access.json'), 'utf8')).not.toContain(rootToken.split('=')[1] as string)
  for (const name of ['access.json', 'secrets.json', 'tls/server.key']) expect((await stat(join(state, name))).mode & 0o077).toBe(0)
})
