/** The whole bake with real Packer against a lab with fake guests. */
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { listImages } from '../../images/catalog.ts'
import type { VmConfig } from '../../proxmox/vm.ts'
import { newestFit } from '../../images/channels.ts'
import { manifestFile, readManifest } from '../../images/manifest.ts'
import { readLock, writeLock, type LockedPackages } from '../../images/lock.ts'
import { parseRecord } from '../../images/record.ts'
import { readSbom, type FoundSbom } from '../../images/sbom/record.ts'
import type { SmallFile } from '../../images/stage.ts'
import { bake, type BakeOptions } from '../../packer/bake.ts'
import { buildName } from '../../packer/names.ts'
import { checkImage } from '../../scripts/images-cve.ts'
import { unrecorded } from '../lab/recording.ts'
import { testLock, watched } from '../set-up.ts'
import { ensureTool } from '../../tools/index.ts'
import { openPackages, stageWith, startTestLab, type TestLab } from './lab.ts'

let test: TestLab
beforeAll(async () => {
  test = await startTestLab()
  await writeLock(test.folder, { ...testLock, packages: await openPackages(test) })
}, 900_000)
afterAll(() => test?.close())
beforeEach(() => {
  test.shown.length = 0
})

const minute = 60_000
/** Many times what the longest takes: how slow a machine is is no measure. */
const limitMs = 10 * minute
const vms = async (): Promise<{ vmid: number; name: string; template?: number }[]> =>
  (await test.root.get<{ vmid: number; name: string; template?: number; pool?: string }[]>('/cluster/resources', { type: 'vm' })).filter(
    (vm) => vm.vmid >= 9000 && vm.vmid <= 9009,
  )
const files = (content: string): Promise<unknown[]> =>
  test.root.get(`/nodes/pve/storage/${test.site.proxmox.storage.iso}/content`, { content })
const config = (vmid: number): Promise<VmConfig> => test.root.get(`/nodes/pve/qemu/${vmid}/config`)

/** What the bake makes by the way must be gone, whatever its end was. */
async function expectNothingLeft(): Promise<void> {
  expect(await files('iso')).toEqual([])
  expect(await files('import')).toEqual([])
  expect((await vms()).filter((vm) => vm.template !== 1)).toEqual([])
  expect(existsSync(join(test.folder, 'state', 'bake.json'))).toBe(false)
  expect(await readdir(test.temporary)).toEqual([])
}

/** Stages the image's own files and some more. */
const entry = (path: string, text: string): SmallFile => ({ path, mode: 0o644, content: Buffer.from(text) })

describe('golden bake', () => {
  let made: Awaited<ReturnType<typeof bake>>['template']
  let baked: string[]

  it(
    'goes on after a killed run, past VMs of other people in its range',
    async () => {
      const { first: free } = test.site.proxmox.templates
      // No time at which a bake can have begun: nobody is at it.
      const run = 'e'.repeat(12)
      const make = (id: number, form: Record<string, string | number>): Promise<void> =>
        test.root.post<string>('/nodes/pve/qemu', { vmid: id, memory: 64, ...form }).then((upid) => test.root.task(upid))
      await make(free, { name: 'somebody-elses' })
      await make(free + 1, { name: buildName(test.site, run), pool: test.site.proxmox.pool, description: 'my own experiments' })
      await make(free + 2, { name: buildName(test.site, run), pool: test.site.proxmox.pool, description: 'Packer ephemeral build VM' })
      const strange = [await config(free), await config(free + 1)]
      const open = await readLock(test.folder)
      const { outcome, template, completed } = await bake(test.bakeOptions())
      baked = [...test.shown]
      expect([outcome, completed]).toEqual(['baked', true])
      const { packages, ...rest } = await readLock(test.folder)
      expect(rest).toEqual(testLock)
      expect(packages).toMatchObject({
        archives: open.packages?.archives,
        complete: true,
        versions: { ...open.packages?.versions, apt: '3.0.3' },
      })
      expect(baked.join('\n')).not.toContain('golden-package')
      made = template
      // The first VMID that is free goes to the base, once what the killed run left there is gone.
      expect(made.vmid).toBe(free + 3)
      expect((await config(free + 2)).name).toMatch(/^golden-base-/)
      expect([await config(free), await config(free + 1)]).toEqual(strange)
      for (const id of [free, free + 1]) await test.root.task(await test.root.del<string>(`/nodes/pve/qemu/${id}`))
      await expectNothingLeft()
    },
    limitMs,
  )

  it(
    'makes a template that says what it is',
    async () => {
      const { images, ignored } = await listImages(test.proxmox, test.site)
      expect(images).toMatchObject([{ vmid: made.vmid, name: made.name, channel: 'candidate', verification: 'none', revoked: false }])
      expect(ignored).toEqual([])
      expect(newestFit(test.site.image, images)?.vmid).toBe(made.vmid)
      const parsed = parseRecord((await config(made.vmid)).description)
      expect(parsed).toMatchObject({
        ok: true,
        record: {
          kind: 'image',
          fingerprint: made.fingerprint,
          base: { os: 'debian-13' },
          services: { serena: `${testLock.services.serena.image}@${testLock.services.serena.digest}` },
        },
      })
      expect(parsed.ok && parsed.record.kind === 'image' && Object.keys(parsed.record.services)).toEqual([
        'serena',
        'nginx',
        'otelcol',
        'loki',
      ])
      const found = await readManifest(test.folder, made.name, images[0]?.record.manifest ?? '')
      expect(found).toMatchObject({ ok: true, manifest: { fingerprint: made.fingerprint, built: images[0]?.record.built } })
      const { packages, packagesBytes, containers, files } = found.ok ? found.manifest : expect.fail('no manifest')
      expect(packages).toMatchObject({ 'docker.io': expect.stringMatching(/^26\./), git: expect.any(String) })
      expect(packagesBytes).toBeGreaterThan(1_000_000)
      expect(containers.serena).toMatchObject({ reference: images[0]?.record.services.serena, bytes: expect.any(Number) })
      expect(files['usr/local/sbin/slotctl']).toMatch(/^755 /)
      const { sbom } = (await readSbom(test.folder, made.name, images[0]?.record.sbom ?? '')) as Extract<FoundSbom, { ok: true }>
      expect(sbom.metadata.timestamp).toBe(images[0]?.record.built)
      expect(sbom.components).toContainEqual(expect.objectContaining({ name: 'git', version: packages.git }))
      expect(sbom.components?.find(({ type, name }) => type === 'container' && name === 'serena')).toMatchObject({
        version: testLock.services.serena.digest,
        components: expect.arrayContaining([expect.objectContaining({ purl: 'pkg:pypi/pyyaml@6.0.2' })]),
      })
      await expectNothingLeft()
    },
    limitMs,
  )

  it('makes an image that is compared with known vulnerabilities, of the machine and inside of containers', async () => {
    const osv = join(test.folder, 'osv')
    await mkdir(osv)
    const known = { 'Debian:13': 'git', 'Alpine:v3.22': 'openssl', Go: 'golang.org/x/net' }
    for (const [ecosystem, name] of Object.entries(known))
      await writeFile(
        join(osv, `${ecosystem}.json`),
        JSON.stringify({
          id: `CVE-2026-${ecosystem}`,
          modified: '2026-11-20T00:00:00Z',
          affected: [
            {
              package: { ecosystem, name },
              ranges: [{ type: ecosystem === 'Go' ? 'SEMVER' : 'ECOSYSTEM', events: [{ introduced: '0' }] }],
            },
          ],
        }),
      )
    const { progress } = test.bakeOptions()
    const signal = new AbortController().signal
    const { document, isFound } = await checkImage({ ...test, progress, signal }, undefined, osv)
    expect(document).toMatchObject({ image: { vmid: made.vmid, fingerprint: made.fingerprint } })
    expect(isFound).toBe(true)
    expect(document.findings.map(({ place, package: name }) => `${place} ${name}`).sort()).toEqual(
      [
        'machine git',
        ...['loki', 'nginx', 'otelcol', 'serena'].flatMap((place) => [`${place} openssl`, `${place} golang.org/x/net`]),
      ].sort(),
    )
    expect(document.unjudged).toEqual([{ ecosystem: 'PyPI', components: 4, why: 'no-data' }])
  })

  it('has passed every check, and shown no secret', async () => {
    const checks = baked.filter((line) => line.includes('golden-check'))
    expect(checks.length).toBeGreaterThan(20)
    const moments = ['reading the lists of packages', 'upgrading the packages of the base', 'installing packages'].map((moment) =>
      baked.findIndex((line) => line.includes(moment)),
    )
    expect(moments).not.toContain(-1)
    expect(moments).toEqual([...moments].sort((a, b) => a - b))
    expect(checks.filter((line) => !line.includes('golden-check ok '))).toEqual([])
    const { secret } = test.bakeOptions().token
    expect(secret.length).toBeGreaterThan(20)
    expect(baked.join('\n')).not.toContain(secret)
  })

  it('leaves nothing in the template that a clone should not inherit', async () => {
    const left = await config(made.vmid)
    expect(left.tags).toBe('golden;golden-candidate')
    expect(left).toMatchObject({ template: 1, agent: '1', scsihw: 'virtio-scsi-pci', boot: 'order=scsi0', serial0: 'socket' })
    for (const key of ['ciuser', 'sshkeys', 'ipconfig0', 'ide2', 'ide3', 'scsi30', 'unused0']) expect(left).not.toHaveProperty(key)
    expect(String(left.scsi0)).toContain(`size=${test.site.image.build.diskGiB}G`)
  })

  it(
    'does nothing the second time, without a VM',
    async () => {
      const tasks = (await test.root.get<unknown[]>('/nodes/pve/tasks', { limit: 500 })).length
      const { outcome, template } = await bake(test.bakeOptions())
      expect({ outcome, vmid: template.vmid }).toEqual({ outcome: 'unchanged', vmid: made.vmid })
      expect(test.shown.filter((line) => !line.startsWith(' '))).toEqual(["collect the image's files"])
      expect((await test.root.get<unknown[]>('/nodes/pve/tasks', { limit: 500 })).length).toBe(tasks)
    },
    limitMs,
  )

  it(
    'completes a lock that was made again since, by the manifest of the image that is there',
    async () => {
      const whole = await readLock(test.folder)
      await writeLock(test.folder, { ...whole, packages: await openPackages(test) })
      const manifest = join(test.folder, manifestFile(made.name))
      const kept = await readFile(manifest)
      await rm(manifest)
      expect(await bake(test.bakeOptions())).toMatchObject({ outcome: 'unchanged', completed: false })
      expect(test.shown.join('\n')).toContain(`warning: images.lock.json can't get the versions of all packages of ${made.name}`)
      expect((await readLock(test.folder)).packages?.complete).toBe(false)
      await writeFile(manifest, kept)
      expect(await bake(test.bakeOptions())).toMatchObject({ outcome: 'unchanged', completed: true })
      expect(await readLock(test.folder)).toEqual(whole)
    },
    limitMs,
  )

  // Earlier moments, and a check that fails: test/flow/bad-input.test.ts.
  it(
    "refuses a storage that can't have images before it collects anything",
    async () => {
      await test.root.post('/storage', { storage: 'thick', type: 'lvm', vgname: 'san' })
      const { tokenId } = test.site.proxmox
      for (const storage of ['thick', 'local-disks'])
        await test.root.put('/access/acl', {
          path: `/storage/${storage}`,
          roles: 'PVEDatastoreUser',
          users: tokenId.split('!')[0] ?? '',
          tokens: tokenId,
        })
      const site = test.siteWith((input) => {
        ;(input.proxmox.storage as { disks: string }).disks = 'thick'
      })
      await expect(
        bake(
          test.bakeOptions({
            site,
            stage: () => {
              throw new Error('it has begun')
            },
          }),
        ),
      ).rejects.toMatchObject({
        code: 'storage-kind',
        message: expect.stringContaining('proxmox.storage.disks'),
        hint: expect.stringContaining('LVM-thin'),
      })
      await expectNothingLeft()
    },
    limitMs,
  )

  it(
    'does not call an image done that is on another storage: says where it is, and bakes',
    async () => {
      const site = test.siteWith((input) => {
        ;(input.proxmox.storage as { disks: string }).disks = 'local-disks'
      })
      const stop = new AbortController()
      const options = test.bakeOptions({ site, signal: stop.signal })
      // What follows is an ordinary bake.
      const progress = watched(options.progress, (text) => {
        if (/^make the base/.test(text)) stop.abort()
      })
      await expect(bake({ ...options, progress })).rejects.toMatchObject({ code: 'cancelled' })
      expect(test.shown.join('\n')).toContain(
        `image ${made.name} (${made.vmid}) of the same inputs is on storage local-lvm, and proxmox.storage.disks is local-disks: another one is baked. To use that one instead, move its disk ("qm disk move ${made.vmid} scsi0 local-disks --delete 1" on node pve)`,
      )
      await expectNothingLeft()
      expect(await bake(test.bakeOptions())).toMatchObject({ outcome: 'unchanged' })
    },
    limitMs,
  )

  it(
    'refuses a lock whose packages are not what apt installs, and one of another project, by name; nothing is left',
    async () => {
      const lock = await readLock(test.folder)
      const packages = lock.packages as LockedPackages
      const before = (await vms()).length
      const refused = async (changed: Partial<LockedPackages>, change: Partial<BakeOptions> = {}): Promise<unknown> => {
        await writeLock(test.folder, { ...lock, packages: { ...packages, ...changed } })
        const failure = await bake(test.bakeOptions(change)).catch((error: unknown) => error)
        expect((await vms()).length).toBe(before)
        await expectNothingLeft()
        return failure
      }
      const stage = stageWith(entry('etc/golden/marker', 'lock'))
      const { git: _, ...others } = packages.versions
      expect(await refused({ versions: { ...others, git: '1:2.0' } }, { stage })).toMatchObject({
        code: 'bake-packages-differ',
        message: expect.stringMatching(/git is 1:2\.47\S+, locked is 1:2\.0;/),
      })
      expect(await refused({ asked: ['git'] })).toMatchObject({ code: 'lock-outdated', message: expect.stringContaining('+docker.io') })
      await writeLock(test.folder, lock)
      expect(await bake(test.bakeOptions())).toMatchObject({ outcome: 'unchanged', completed: false })
    },
    limitMs,
  )

  it(
    'stops while packages are being installed, and takes everything away',
    async () => {
      const moment = 'installing packages'
      const stop = new AbortController()
      const options = test.bakeOptions({ signal: stop.signal, stage: stageWith(entry('etc/golden/marker', moment)) })
      const progress = {
        ...options.progress,
        step: <T>(title: string, run: (note: (text: string) => void) => Promise<T>) =>
          options.progress.step(title, (note) =>
            run((text) => {
              note(text)
              if (text.includes(moment)) stop.abort()
            }),
          ),
      }
      const before = (await vms()).length
      await expect(bake({ ...options, progress })).rejects.toMatchObject({ code: 'cancelled' })
      expect((await vms()).length).toBe(before)
      await expectNothingLeft()
    },
    limitMs,
  )

  it(
    'refuses a base image whose checksum is another, before anything is made',
    async () => {
      const site = test.siteWith((input) => {
        ;(input.image.base as { sha256: string }).sha256 = 'b'.repeat(64)
      })
      const before = (await vms()).length
      await expect(bake(test.bakeOptions({ site }))).rejects.toMatchObject({ code: 'base-checksum' })
      expect((await vms()).length).toBe(before)
      await expectNothingLeft()
    },
    limitMs,
  )

  it(
    'refuses a disk that is smaller than the base image',
    async () => {
      const site = test.siteWith((input) => {
        ;(input.image.build as { diskGiB: number }).diskGiB = 4
      })
      const file = join(test.folder, 'large.qcow2')
      const large = await readFile(test.site.image.base.file ?? '')
      large.writeBigUInt64BE(8n << 30n, 24)
      large.writeUInt32BE(16, 36)
      await writeFile(file, large)
      const { sha256 } = await import('../../core/canonical.ts')
      const other = test.siteWith((input) => {
        Object.assign(input.image, { base: { os: 'debian-13', file, sha256: sha256(large) }, build: site.image.build })
      })
      await expect(bake(test.bakeOptions({ site: other }))).rejects.toMatchObject({
        code: 'base-larger-than-disk',
        hint: expect.stringContaining('8'),
      })
      await expectNothingLeft()
    },
    limitMs,
  )

  it(
    'takes the build VM away when Packer leaves it behind',
    async () => {
      const before = (await vms()).length
      // It tries again for some seconds; of the clone it knows only once this request has gone well.
      const fault = test.lab.faults.order({
        request: { method: 'POST', path: '^/nodes/pve/qemu/[0-9]+/config$' },
        status: 500,
        reason: 'ordered by the test',
        times: 20,
      })
      try {
        await expect(bake(test.bakeOptions({ stage: stageWith(entry('etc/golden/marker', 'config fails')) }))).rejects.toMatchObject({
          code: 'packer-failed',
          message: expect.stringContaining('ordered by the test'),
        })
      } finally {
        test.lab.faults.clear(fault)
      }
      expect((await vms()).length).toBe(before)
      await expectNothingLeft()
    },
    limitMs,
  )

  it(
    'finishes a template that an earlier run had baked but not tagged',
    async () => {
      const stage = stageWith(entry('etc/golden/marker', 'tidying fails'))
      // Newer plugins send the clone's settings so, too; the one that is built here sends them with POST.
      const { version } = await ensureTool('packer-plugin-proxmox')
      const fault = test.lab.faults.order({
        request: { method: 'PUT', path: '^/nodes/pve/qemu/[0-9]+/config$' },
        skip: version.startsWith('1.1.') ? 0 : 1,
        status: 500,
        reason: 'ordered by the test',
        times: 20,
      })
      await expect(bake(test.bakeOptions({ stage }))).rejects.toMatchObject({ code: 'proxmox-refused' })
      test.lab.faults.clear(fault)
      const { images: before } = await listImages(test.proxmox, test.site)
      // The lock of that run is open still: it is completed at a bake's very end.
      const whole = await readLock(test.folder)
      await writeLock(test.folder, { ...whole, packages: await openPackages(test) })
      test.shown.length = 0
      const { outcome, template, completed } = await bake(test.bakeOptions({ stage }))
      expect([outcome, completed]).toEqual(['baked', true])
      expect(await readLock(test.folder)).toEqual(whole)
      expect(test.shown.filter((line) => !line.startsWith(' '))).toEqual([
        "collect the image's files",
        `finish ${template.name}, which an earlier run had baked`,
      ])
      expect(before.map((image) => image.vmid)).not.toContain(template.vmid)
      expect((await config(template.vmid)).tags).toBe('golden;golden-candidate')
      expect(await config(template.vmid)).not.toHaveProperty('scsi30')
    },
    limitMs,
  )

  it(
    'names a full storage',
    async () => {
      const fault = test.lab.faults.order({
        request: { method: 'POST', path: '/clone$' },
        status: 500,
        reason: 'unable to create image: No space left on device',
        times: 20,
      })
      try {
        await expect(bake(test.bakeOptions({ stage: stageWith(entry('etc/golden/marker', 'full')) }))).rejects.toMatchObject({
          code: 'storage-full',
        })
      } finally {
        test.lab.faults.clear(fault)
      }
      await expectNothingLeft()
    },
    limitMs,
  )

  it('has asked guests nothing that is not in the recording', () => {
    expect(test.recorded.length).toBeGreaterThan(100)
    expect(unrecorded(test.recorded), '"npm run record" makes it anew').toEqual([])
  })
})
