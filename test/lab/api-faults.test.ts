/** Faults that tests of reliability order, through the handle and through the control socket. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { Agent, request as requestHttps } from 'node:https'
import type { Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest'
import { startRig, type Rig } from './api-rig.ts'

let rig: Rig
beforeAll(async () => {
  rig = await startRig()
  await rig.done('POST', '/nodes/pve/qemu', { form: { vmid: 100, memory: 64 } })
})
afterEach(() => rig.lab.faults.clear())
afterAll(() => rig.close())

function control(method: string, path: string, body?: unknown): Promise<{ status: number; body: any }> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath: rig.lab.connection.controlSocket, method, path }, (incoming) => {
      let text = ''
      incoming
        .setEncoding('utf8')
        .on('data', (chunk: string) => (text += chunk))
        .on('end', () => {
          resolve({ status: incoming.statusCode ?? 0, body: /json/.test(incoming.headers['content-type'] ?? '') ? JSON.parse(text) : text })
        })
    })
    outgoing.on('error', reject)
    outgoing.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

it('so many requests of one kind fail, then all goes on', async () => {
  rig.lab.faults.order({ request: { method: 'GET', path: '/config$' }, status: 503, reason: 'too busy', times: 2 })
  const statuses = []
  for (let i = 0; i < 3; i += 1) statuses.push((await rig.call('GET', '/nodes/pve/qemu/100/config')).status)
  expect(statuses).toEqual([503, 503, 200])
  expect((await rig.call('PUT', '/nodes/pve/qemu/100/config', { form: { name: 'x' } })).status).toBe(200)
})

it('a connection is dropped before the work, or after it', async () => {
  const rename = (name: string) => rig.call('PUT', '/nodes/pve/qemu/100/config', { form: { name } })
  rig.lab.faults.order({ request: { method: 'PUT', path: '/100/config$' }, drop: 'before' })
  await expect(rename('before')).rejects.toThrow()
  expect((await rig.ok('GET', '/nodes/pve/qemu/100/config')).name).not.toBe('before')
  rig.lab.faults.order({ request: { method: 'PUT', path: '/100/config$' }, drop: 'after' })
  await expect(rename('after')).rejects.toThrow()
  expect((await rig.ok('GET', '/nodes/pve/qemu/100/config')).name).toBe('after')
})

it('a connection is kept and closed once it is answered, after so many that are let through', async () => {
  rig.lab.faults.order({ request: { path: '^/version$' }, drop: 'idle', skip: 1 })
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: readFileSync(rig.lab.connection.caFile) })
  const ask = (): Promise<Socket> =>
    new Promise((resolve, reject) => {
      const { hostname, port } = new URL(rig.lab.connection.apiUrl)
      const outgoing = requestHttps(
        { hostname, port, path: '/api2/json/version', agent, headers: { Authorization: `PVEAPIToken=${rig.lab.connection.rootToken}` } },
        (incoming) => {
          const { socket } = incoming
          incoming.resume().on('end', () => resolve(socket))
        },
      )
      outgoing.on('error', reject).end()
    })
  const first = await ask()
  expect(await ask()).toBe(first)
  if (!first.destroyed) await once(first, 'close')
  expect(await ask()).not.toBe(first)
  agent.destroy()
})

it('the API is away for a while, and what it has begun goes on', async () => {
  rig.lab.faults.order({ task: { type: 'qmstart' }, delayMs: 50 })
  rig.lab.faults.order({ request: { method: 'POST', path: '/100/status/start$' }, drop: 'after', awayMs: 300 })
  await expect(rig.call('POST', '/nodes/pve/qemu/100/status/start')).rejects.toThrow()
  await expect(rig.call('GET', '/version')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  await vi.waitFor(() => rig.ok('GET', '/version'), { timeout: 10_000, interval: 50 })
  await vi.waitUntil(async () => (await rig.ok('GET', '/nodes/pve/qemu/100/status/current')).status === 'running', {
    timeout: 10_000,
    interval: 50,
  })
  await rig.done('POST', '/nodes/pve/qemu/100/status/stop')
})

it('a task fails with the text ordered; a slow one can be stopped', async () => {
  rig.lab.faults.order({ task: { type: 'qmstart', id: '100' }, reason: 'start failed: QEMU exited with code 1' })
  expect(await rig.wait(await rig.ok('POST', '/nodes/pve/qemu/100/status/start'))).toBe('start failed: QEMU exited with code 1')
  rig.lab.faults.order({ task: { type: 'qmstart' }, delayMs: 600_000 })
  const upid = await rig.ok('POST', '/nodes/pve/qemu/100/status/start')
  expect((await rig.ok('GET', `/nodes/pve/tasks/${upid}/status`)).status).toBe('running')
  await rig.ok('DELETE', `/nodes/pve/tasks/${upid}`)
  expect(await rig.wait(upid)).toBe('received interrupt')
  expect((await rig.ok('GET', '/nodes/pve/qemu/100/status/current')).status).toBe('stopped')
})

it('who waits for a delay goes on when the order is taken back', async () => {
  const task = rig.lab.faults.order({ task: { type: 'qmstart' }, delayMs: 600_000 })
  const upid = await rig.ok('POST', '/nodes/pve/qemu/100/status/start')
  expect((await rig.ok('GET', `/nodes/pve/tasks/${upid}/status`)).status).toBe('running')
  rig.lab.faults.clear(task)
  expect(await rig.wait(upid)).toBe('OK')
  rig.lab.faults.order({ request: { path: '/100/config$' }, delayMs: 600_000 })
  const asked = rig.ok('GET', '/nodes/pve/qemu/100/config')
  while (rig.lab.faults.list()[0]?.left === 1) await new Promise(setImmediate)
  rig.lab.faults.clear()
  expect(await asked).toBeTypeOf('object')
  await rig.done('POST', '/nodes/pve/qemu/100/status/stop')
})

it('the control socket orders and lists faults, kills VMs, and says what it does not know', async () => {
  const { body } = await control('POST', '/faults', { request: { path: '^/version$' }, status: 500, reason: 'ordered' })
  expect((await control('GET', '/faults')).body).toMatchObject([{ id: body.id, left: 1, status: 500 }])
  expect((await rig.call('GET', '/version')).reason).toBe('ordered')
  await control('POST', '/faults', { request: { path: '^/version$' }, status: 500 })
  await control('DELETE', '/faults')
  expect((await rig.call('GET', '/version')).status).toBe(200)
  await rig.done('POST', '/nodes/pve/qemu/100/status/start')
  expect((await control('POST', '/vms/100/kill')).status).toBe(200)
  expect((await rig.ok('GET', '/nodes/pve/qemu/100/status/current')).status).toBe('stopped')
  expect((await control('POST', '/vms/100/kill')).body).toEqual({ error: 'VM 100 is not running' })
  expect((await control('PUT', '/internet', { on: 'maybe' })).status).toBe(400)
  expect((await control('PUT', '/internet', { on: false })).status).toBe(200)
  expect((await control('PUT', '/router/forwards', { target: null })).status).toBe(200)
  expect((await control('POST', '/nonsense')).body.error).toBe('no such control call: POST /nonsense')
  expect((await control('POST', '/faults', { status: 500 })).body.error).toBe('a fault needs `request` or `task`')
})

it('POST /stop asks for the end', async () => {
  await control('POST', '/stop')
  await rig.lab.stopRequested
})
