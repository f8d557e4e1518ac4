/** Files that come into a storage, are listed, used and deleted. */
import { createHash } from 'node:crypto'
import { createServer, request, type Server } from 'node:http'
import { existsSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ApiError } from '../../lab/api/errors.ts'
import { readMultipart } from '../../lab/api/form.ts'
import { startRig, type Answer, type Rig } from './api-rig.ts'

let rig: Rig
let web: Server
let url: string
const image = Buffer.alloc(300_000, 'disk image ')
const sha256 = createHash('sha256').update(image).digest('hex')

beforeAll(async () => {
  rig = await startRig()
  web = createServer((request, response) => {
    if (request.url !== '/base.qcow2') return void response.writeHead(404).end()
    response
      .writeHead(200, { 'Content-Length': image.length, 'Content-Type': 'application/octet-stream' })
      .end(request.method === 'HEAD' ? undefined : image)
  })
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(web.address() as AddressInfo).port}/base.qcow2`
})
afterAll(async () => {
  await rig.close()
  await new Promise((resolve) => web.close(resolve))
})

const storage = '/nodes/pve/storage/local'
const content = async (kind: string): Promise<string[]> =>
  (await rig.ok('GET', `${storage}/content`, { query: { content: kind } })).map((item: { volid: string }) => item.volid)

function upload(fields: Record<string, string>, name: string, data: Buffer, path = storage): Promise<Answer> {
  const boundary = 'x-boundary-x'
  const parts = Object.entries(fields).map(([key, value]) =>
    Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="${key}"\r\n\r\n${value}\r\n`),
  )
  const raw = Buffer.concat([
    ...parts,
    Buffer.from(
      `--${boundary}\r\nContent-Disposition: form-data; name="filename"; filename="${name}"\r\nContent-Type: application/octet-stream\r\n\r\n`,
    ),
    data,
    Buffer.from(`\r\n--${boundary}--\r\n`),
  ])
  return rig.call('POST', `${path}/upload`, { raw, headers: { 'Content-Type': `multipart/form-data; boundary=${boundary}` } })
}

it('an upload is checked, listed, overwritten by the next one, and deleted', async () => {
  const tricky = Buffer.concat([Buffer.from('\r\n--x-boundary\r\n--x-boundary-'), image])
  const sum = createHash('sha256').update(tricky).digest('hex')
  const first = await upload({ content: 'iso', 'checksum-algorithm': 'sha256', checksum: sum }, 'seed.iso', tricky)
  expect(await rig.wait(first.data)).toBe('OK')
  const [item] = await rig.ok('GET', `${storage}/content`, { query: { content: 'iso' } })
  expect(item).toMatchObject({ volid: 'local:iso/seed.iso', size: tricky.length, format: 'iso', content: 'iso' })
  expect((await stat(join(rig.folder, 'state/storage/local/template/iso/seed.iso'))).mode & 0o077).toBe(0)
  expect(await rig.wait((await upload({ content: 'iso' }, 'seed.iso', image)).data)).toBe('OK')
  expect((await rig.ok('GET', `${storage}/content/local:iso/seed.iso`)).size).toBe(image.length)
  await rig.done('DELETE', `${storage}/content/local:iso/seed.iso`)
  expect(await content('iso')).toEqual([])
})

it('a wrong checksum fails the task and leaves nothing', async () => {
  const { data } = await upload({ content: 'iso', 'checksum-algorithm': 'sha256', checksum: 'ab'.repeat(32) }, 'bad.iso', image)
  expect(await rig.wait(data)).toMatch(/^checksum mismatch/)
  expect(await content('iso')).toEqual([])
  expect(await readdir(join(rig.folder, 'state', 'uploads'))).toEqual([])
})

it('names: no folders, and an extension that fits', async () => {
  expect(await rig.wait((await upload({ content: 'iso' }, '../../escape.iso', image)).data)).toBe('OK')
  expect(await content('iso')).toEqual(['local:iso/escape.iso'])
  expect((await upload({ content: 'import' }, 'cloud.img', image)).status).toBe(400)
  expect((await upload({ content: 'import' }, 'cloud.qcow2', image, '/nodes/pve/storage/local-disks')).status).toBe(500)
})

it('download-url fetches, verifies, and refuses to overwrite', async () => {
  expect(await rig.ok('GET', '/nodes/pve/query-url-metadata', { query: { url } })).toEqual({
    filename: 'base.qcow2',
    size: image.length,
    mimetype: 'application/octet-stream',
  })
  const form = { url, content: 'import', filename: 'base.qcow2', 'checksum-algorithm': 'sha256' }
  expect(await rig.wait(await rig.ok('POST', `${storage}/download-url`, { form: { ...form, checksum: 'cd'.repeat(32) } }))).toMatch(
    /^checksum mismatch/,
  )
  expect(await content('import')).toEqual([])
  await rig.done('POST', `${storage}/download-url`, { form: { ...form, checksum: sha256 } })
  expect(await content('import')).toEqual(['local:import/base.qcow2'])
  expect((await rig.call('POST', `${storage}/download-url`, { form: { ...form, checksum: sha256 } })).reason).toMatch(
    /^refusing to override existing file/,
  )
  expect(
    await rig.wait(
      await rig.ok('POST', `${storage}/download-url`, { form: { url: `${url}x`, content: 'import', filename: 'other.qcow2' } }),
    ),
  ).toMatch(/404/)
})

it('a VM is made from an imported disk', async () => {
  await rig.done('POST', '/nodes/pve/qemu', {
    form: { vmid: 101, scsi0: 'local-disks:0,import-from=local:import/base.qcow2,format=qcow2' },
  })
  expect((await rig.ok('GET', '/nodes/pve/qemu/101/config')).scsi0).toMatch(/^local-disks:101\/vm-101-disk-0\.qcow2,size=/)
  const status = await rig.wait(
    await rig.ok('POST', '/nodes/pve/qemu', { form: { vmid: 102, scsi0: 'local-disks:0,import-from=local:import/none.qcow2' } }),
  )
  expect(status).toBe("unable to create VM 102 - volume 'local:import/none.qcow2' does not exist")
  expect((await rig.call('GET', '/nodes/pve/qemu/102/config')).status).toBe(500)
})

it('a directory storage of its own keeps its files to itself', async () => {
  await rig.ok('POST', '/storage', { form: { storage: 'seeds', type: 'dir', path: '/var/lib/seeds', content: 'iso' } })
  expect(await rig.wait((await upload({ content: 'iso' }, 'a.iso', image, '/nodes/pve/storage/seeds')).data)).toBe('OK')
  expect((await rig.ok('GET', '/nodes/pve/storage/seeds/content')).map((item: { volid: string }) => item.volid)).toEqual([
    'seeds:iso/a.iso',
  ])
  expect((await rig.ok('GET', '/storage/seeds')).path).toBe('/var/lib/seeds')
  await rig.ok('DELETE', '/storage/seeds')
  expect((await rig.call('GET', '/nodes/pve/storage/seeds/content')).reason).toBe("storage 'seeds' does not exist")
})

describe.skipIf(!existsSync('/dev/full'))('an upload to a full disk (needs /dev/full)', () => {
  const begin = '--B\r\nContent-Disposition: form-data; name="filename"; filename="x.iso"\r\n\r\n'

  it.each([
    ['in large pieces', Array<number>(4).fill(200_000)],
    ['in small ones', [3000, 3000]],
    ['that fits in one', [10]],
  ])('%s is an error', async (_, sizes) => {
    const pieces = async function* (): AsyncGenerator<Buffer> {
      yield Buffer.from(begin)
      for (const size of sizes) yield Buffer.alloc(size)
      yield Buffer.from('\r\n--B--\r\n')
    }
    await expect(readMultipart(pieces(), 'B', '/dev/full')).rejects.toMatchObject({
      status: 501,
      message: 'write to temporary file failed',
    })
  })

  it('is answered after the client has sent all of it', async () => {
    const server = createServer((incoming, response) => {
      void readMultipart(incoming, 'B', '/dev/full').catch((error: ApiError) => response.writeHead(error.status, error.message).end())
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    try {
      const reason = await new Promise((resolve, reject) => {
        const outgoing = request({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, method: 'POST' }, (incoming) => {
          resolve(incoming.statusMessage)
          incoming.resume()
        })
        outgoing.on('error', reject)
        outgoing.end(Buffer.concat([Buffer.from(begin), Buffer.alloc(5_000_000), Buffer.from('\r\n--B--\r\n')]))
      })
      expect(reason).toBe('write to temporary file failed')
    } finally {
      await new Promise((resolve) => server.close(resolve))
    }
  })
})
