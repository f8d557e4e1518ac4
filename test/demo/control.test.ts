/** The demo's two clients: of the lab's control socket, and of web servers as somebody outside sees them. */
import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { ask } from '../../clients/web.ts'
import { control } from '../../demo/control.ts'
import { startRig } from '../lab/api-rig.ts'

it("speaks with the lab's control socket, and says what the lab refuses", async () => {
  const rig = await startRig()
  const { controlSocket } = rig.lab.connection
  const lab = control(controlSocket)
  try {
    expect(await lab.ping()).toBe(true)
    await lab.internet(false)
    await lab.forward({ target: null })
    await expect(lab.forward({ target: 5 as never })).rejects.toThrow(/^the lab says to PUT \/router\/forwards: .*address or null/)
    expect(typeof (await lab.reaches('admin', '127.0.0.1', 1))).toBe('boolean')
  } finally {
    await rig.close()
  }
  expect(await lab.ping()).toBe(false)
})

it('asks once, follows nothing, trusts what it is told to, and gives up on silence', async () => {
  const rig = await startRig()
  const server = createServer((request, response) => {
    if (request.url === '/silent') return
    response.writeHead(301, { Location: '/elsewhere', 'Set-Cookie': ['a=1', 'b=2'] }).end(request.method)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  try {
    expect(await ask(url, { method: 'POST', body: 'x', headers: { 'X-Y': 'z' } })).toMatchObject({
      status: 301,
      body: 'POST',
      headers: { location: '/elsewhere', 'set-cookie': ['a=1', 'b=2'] },
    })
    await expect(ask(`${url}/silent`, { timeoutMs: 300 })).rejects.toThrow()
    const { apiUrl, caFile } = rig.lab.connection
    expect((await ask(`${apiUrl}/api2/json/version`, { caPem: readFileSync(caFile, 'utf8') })).status).toBe(401)
    await expect(ask(`${apiUrl}/api2/json/version`)).rejects.toThrow()
  } finally {
    server.closeAllConnections()
    server.close()
    await rig.close()
  }
  await expect(ask(url)).rejects.toThrow()
})
