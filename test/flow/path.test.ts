/** The whole path as a user types it, with real Packer, real OpenTofu and the real provider, on fake guests. */
import { X509Certificate } from 'node:crypto'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openPlace, type Inventory, type Place, type SiteFolder } from './place.ts'

let place: Place
let site: SiteFolder
beforeAll(async () => {
  place = await openPlace()
  site = await place.site()
}, 900_000)
afterAll(() => place?.close(), 60_000)

const minute = 60_000

describe('the path of a site', () => {
  let image: { vmid: number; name: string; fingerprint: string }

  it('begins with secrets that only their owner reads, made once', async () => {
    const secrets = await readdir(join(site.folder, 'secrets'), { recursive: true, withFileTypes: true })
    const files = secrets.filter((entry) => entry.isFile())
    expect(files.length).toBeGreaterThan(8)
    for (const entry of files) expect((await stat(join(entry.parentPath, entry.name))).mode & 0o077).toBe(0)
    expect(await site.done('init')).toMatchObject({ made: [] })
  }, minute)

  it('sets the host up once somebody has agreed to its certificate', async () => {
    const before = await place.inventory()
    const unsure = await site.golden('setup', '--admin', 'admin@pve')
    expect(unsure).toMatchObject({ code: 1, error: { code: 'fingerprint-not-confirmed' } })
    const wrong = await site.golden('setup', '--admin', 'admin@pve', '--fingerprint', Array(32).fill('AA').join(':'))
    expect(wrong).toMatchObject({ code: 1, error: { code: 'fingerprint-differs' } })
    expect(await place.inventory()).toEqual(before)
    const fingerprint = /([0-9A-F]{2}:){31}[0-9A-F]{2}/.exec(unsure.error?.hint ?? '')?.[0] ?? ''
    expect(fingerprint).toBe(new X509Certificate(await serverCertificate()).fingerprint256)
    expect(await site.done('setup', '--admin', 'admin@pve', '--fingerprint', fingerprint)).toMatchObject({ datacenterFirewall: false })
    expect((await stat(join(site.folder, 'secrets/proxmox-token'))).mode & 0o777).toBe(0o600)
    expect((await place.inventory()).vms).toMatchObject([{ vmid: 9010, name: 'test-serena-depot', pool: 'test-depots' }, { vmid: 9020, name: 'test-logging-depot', pool: 'test-depots' }])
    expect(await site.done('setup', '--admin', 'admin@pve')).toMatchObject({ steps: [] })
  }, minute)

  it('bakes an image', async () => {
    const { outcome, template } = await site.done<{ outcome: string; template: typeof image }>('bake')
    expect(outcome).toBe('baked')
    image = template
    const { vms, volumes, temporary, processes } = await place.inventory()
    expect(vms).toContainEqual({ vmid: image.vmid, name: image.name, status: 'stopped', template: true, pool: 'test' })
    expect(vms.filter((vm) => vm.name?.startsWith('golden-build'))).toEqual([])
    expect(volumes.filter((volume) => volume.startsWith('test-iso:'))).toEqual([])
    expect({ temporary, processes }).toEqual({ temporary: [], processes: [] })
  }, 3 * minute)

  it('has nothing to bake the second time', async () => {
    const before = await place.inventory()
    expect(await site.done('bake')).toEqual({ outcome: 'unchanged', template: image })
    expect(await place.inventory()).toEqual(before)
  }, minute)
})

/** What the lab's API presents. */
async function serverCertificate(): Promise<string> {
  return await readFile(join(place.lab.connection.caFile, '../server.pem'), 'utf8')
}
