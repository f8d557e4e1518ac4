/** The lab's own archive of packages, asked as a guest asks, and through the proxy. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, ProxyAgent, request } from 'undici'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { servePackages, type PackageServer } from '../../demo/package-server.ts'

let work: string
let server: PackageServer
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'golden-packages-'))
  await mkdir(join(work, 'archive/dists'), { recursive: true })
  await writeFile(join(work, 'archive/dists/InRelease'), 'signed')
  await writeFile(join(work, 'secret'), 'of somebody else')
  server = await servePackages(join(work, 'archive'), '10.77.0.3:8080')
})
afterAll(async () => {
  await server?.close()
  await rm(work, { recursive: true, force: true })
})

it('serves what is in its folder by its address in the LAN, as the proxy to it; what has not changed is not sent again', async () => {
  const dispatcher = new ProxyAgent({ uri: `http://127.0.0.1:${server.port}`, proxyTunnel: false })
  try {
    const url = 'http://10.77.0.3:8080/dists/InRelease'
    const first = await request(url, { dispatcher })
    expect([first.statusCode, await first.body.text()]).toEqual([200, 'signed'])
    const again = await request(url, { dispatcher, headers: { 'If-Modified-Since': String(first.headers['last-modified']) } })
    expect(again.statusCode).toBe(304)
    await again.body.dump()
    const missing = await request('http://10.77.0.3:8080/dists/other', { dispatcher })
    expect(missing.statusCode).toBe(404)
    await missing.body.dump()
    const elsewhere = await request('http://127.0.0.1:1/', { dispatcher })
    expect(elsewhere.statusCode).toBe(502)
    await elsewhere.body.dump()
  } finally {
    await dispatcher.close()
  }
})

it('serves nothing from beside its folder', async () => {
  const client = new Client(`http://127.0.0.1:${server.port}`)
  const { statusCode, body } = await client.request({ method: 'GET', path: '/..%2fsecret', headers: { Host: '10.77.0.3:8080' } })
  await body.dump()
  expect(statusCode).toBe(404)
  await client.close()
})
