/** The wire format that clients of Proxmox parse. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { connect } from 'node:tls'
import { readFile } from 'node:fs/promises'
import { startRig, type Rig } from './api-rig.ts'

let rig: Rig
beforeAll(async () => {
  rig = await startRig()
  await rig.done('POST', '/nodes/pve/qemu', { form: { vmid: 100, name: 'one', memory: 64 } })
})
afterAll(() => rig.close())

const description = async (): Promise<string> => (await rig.ok('GET', '/nodes/pve/qemu/100/config')).description
const put = (raw: string, type = 'application/x-www-form-urlencoded') =>
  rig.call('PUT', '/nodes/pve/qemu/100/config', { raw, headers: { 'Content-Type': type } })

it('speaks TLS 1.3 with a certificate of its own CA', async () => {
  const { apiUrl, caFile } = rig.lab.connection
  const ca = await readFile(caFile)
  const protocol = await new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: Number(new URL(apiUrl).port), ca, servername: 'localhost' }, () => {
      resolve(socket.getProtocol())
      socket.end()
    })
    socket.on('error', reject)
  })
  expect(protocol).toBe('TLSv1.3')
})

it('an error is a reason phrase, a message with a line end, and the end of the connection', async () => {
  const answer = await rig.call('GET', '/nodes/pve/qemu/999/config')
  expect(answer.status).toBe(500)
  expect(answer.reason).toBe("Configuration file 'nodes/pve/qemu-server/999.conf' does not exist")
  expect(answer.body).toEqual({ data: null, message: `${answer.reason}\n` })
  expect(answer.headers.connection).toBe('close')
})

it('wrong parameters are named one by one', async () => {
  const answer = await rig.call('POST', '/nodes/pve/qemu', { form: { vmid: 'x', cores: 0, nonsense: 1 } })
  expect([answer.status, answer.reason]).toEqual([400, 'Parameter verification failed.'])
  expect(answer.body.errors).toEqual({
    vmid: "type check ('integer') failed - got 'x'",
    cores: 'value must have a minimum value of 1',
    nonsense: 'property is not defined in schema and the schema does not allow additional properties',
  })
})

it('what no method does is 501', async () => {
  expect(await rig.call('GET', '/foo')).toMatchObject({ status: 501, reason: "Method 'GET /foo' not implemented" })
  expect((await rig.call('PATCH', '/version')).status).toBe(501)
  expect((await rig.call('GET', '/version', { raw: 'a=1' })).status).toBe(501)
})

it('the form parser splits at semicolons too and cuts a value at a raw equals sign', async () => {
  expect((await put('description=a=b=c;cores=2')).status).toBe(200)
  expect(await rig.ok('GET', '/nodes/pve/qemu/100/config')).toMatchObject({ description: 'a', cores: 2 })
})

it('escaped UTF-8 survives, also in a reason phrase', async () => {
  await put(`description=${encodeURIComponent('grün ✓ = & ;')}`)
  expect(await description()).toBe('grün ✓ = & ;')
  expect((await rig.call('GET', '/nodes/gr%C3%BCn/version')).reason).toContain("'grün'")
})

it('a key that comes twice is refused for a scalar and joined for a list', async () => {
  expect((await put('cores=1&cores=2')).status).toBe(400)
  expect((await put('delete=cores&delete=description')).status).toBe(200)
  expect(await rig.ok('GET', '/nodes/pve/qemu/100/config')).not.toHaveProperty('cores')
})

it('JSON bodies are taken, other types are not', async () => {
  expect((await put('{"onboot":true,"description":"json"}', 'application/json')).status).toBe(200)
  expect(await rig.ok('GET', '/nodes/pve/qemu/100/config')).toMatchObject({ onboot: 1, description: 'json' })
  expect((await put('x', 'multipart/form-data; boundary=x')).status).toBe(506)
})

it('extjs answers 200 to everything', async () => {
  const good = await rig.call('GET', '/api2/extjs/version')
  expect(good.body).toMatchObject({ success: 1, data: { release: '9.1' } })
  const bad = await rig.call('GET', '/api2/extjs/nodes/pve/qemu/999/config')
  expect(bad.status).toBe(200)
  expect(bad.body).toMatchObject({ success: 0, status: 500, data: null })
})

it('without credentials there is no body, and a trailing slash changes nothing', async () => {
  expect(await rig.call('GET', '/version', { token: null })).toMatchObject({ status: 401, reason: 'No ticket', text: '' })
  expect((await rig.call('GET', '/version/')).status).toBe(200)
})

it('a ticket works as cookie and as header, and writes need its CSRF token', async () => {
  const { admin } = rig.lab.connection
  const { ticket, CSRFPreventionToken } = await rig.ok('POST', '/access/ticket', { token: null, form: { ...admin } })
  const cookie = { Cookie: `PVEAuthCookie=${encodeURIComponent(ticket)}` }
  expect((await rig.call('GET', '/version', { token: null, headers: cookie })).status).toBe(200)
  expect((await rig.call('GET', '/version', { token: null, headers: { Authorization: `PVEAuthCookie=${ticket}` } })).status).toBe(200)
  const form = { poolid: 'byticket' }
  expect((await rig.call('POST', '/pools', { token: null, form, headers: cookie })).status).toBe(401)
  expect((await rig.call('POST', '/pools', { token: null, form, headers: { ...cookie, CSRFPreventionToken } })).status).toBe(200)
  const forged = cookie.Cookie.replace('admin', 'other')
  expect((await rig.call('GET', '/version', { token: null, headers: { Cookie: forged } })).status).toBe(401)
})
