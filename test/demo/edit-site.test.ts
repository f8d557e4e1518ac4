/** The demo edits its site as a person would. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { editSite } from '../../demo/edit-site.ts'
import { labSite, writeLabSite } from '../../demo/lab-site.ts'
import { preparedForRollouts } from '../../demo/rollouts.ts'
import { loadSite } from '../../settings/load.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'golden-edit-'))
  const ca = join(folder, 'lab-ca.pem')
  await writeFile(ca, '')
  const lab = {
    apiUrl: 'https://127.0.0.1:8006',
    caFile: ca,
    node: 'pve',
    bridge: 'vmbr0',
    storages: { disks: 'local-lvm', iso: 'local' },
    socksProxy: { host: '127.0.0.1', port: 1080 },
    network: { subnet: '10.99.0.0/24', gateway: '10.99.0.1', nameserver: '10.99.0.1' },
    router: { https: { port: 8443 }, http: { port: 8080 }, second: { https: { port: 9443 }, http: { port: 9080 } } },
  }
  const site = labSite(lab, { name: 'lab', layout: 'two-vms', base: { file: '/base', sha256: 'a'.repeat(64) }, isoPath: '/iso' })
  await writeLabSite(folder, site, lab)
})
afterEach(() => rm(folder, { recursive: true, force: true }))

it('an edit is in the file and in what it returns; an edit back leaves the file as it was', async () => {
  const before = await readFile(join(folder, 'site.ts'), 'utf8')
  const edited = await editSite(folder, preparedForRollouts)
  expect(edited.serena.users.map(({ name }) => name)).toEqual(['demo', 'guest'])
  expect(edited.rollout).toMatchObject({ healthMinutes: 60, drainSeconds: 120, old: 'running' })
  expect(await loadSite(folder)).toEqual(edited)
  await editSite(folder, ({ rollout: _, ...site }) => {
    const { parking: _parking, ...serena } = site.serena
    return { ...site, serena: { ...serena, users: serena.users.slice(0, 1) } }
  })
  expect(await readFile(join(folder, 'site.ts'), 'utf8')).toBe(before)
})

it('an edit that makes no site, and a file of somebody else, are left alone', async () => {
  const before = await readFile(join(folder, 'site.ts'), 'utf8')
  await expect(editSite(folder, (site) => ({ ...site, groups: {} }))).rejects.toMatchObject({ code: 'site-invalid' })
  expect(await readFile(join(folder, 'site.ts'), 'utf8')).toBe(before)
  await writeFile(join(folder, 'site.ts'), 'export default {}')
  await expect(editSite(folder, (site) => site)).rejects.toThrow('not as the lab writes it')
})
