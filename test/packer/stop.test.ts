/** What a bake leaves, and what it says of it, when it is stopped, fails in the middle, or is not the only one. */
import { existsSync } from 'node:fs'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import type { VmConfig } from '../../proxmox/vm.ts'
import { renderRecord } from '../../images/record.ts'
import type { FaultOrder } from '../../lab/api/faults.ts'
import { bake, type BakeOptions } from '../../packer/bake.ts'
import { makeBase } from '../../packer/base.ts'
import { baseName, buildName, importName, newRun, seedName } from '../../packer/names.ts'
import { baseFingerprint } from '../../packer/plan.ts'
import type { Site } from '../../settings/site.ts'
import { stageWith, startTestLab, type TestLab } from './lab.ts'

const minute = 60_000
/** Many times what the longest takes: how slow a machine is is no measure. */
const limitMs = 10 * minute
let test: TestLab
beforeAll(async () => {
  test = await startTestLab()
}, 900_000)
afterAll(() => test?.close())
beforeEach(() => {
  test.shown.length = 0
  test.lab.faults.clear()
})

interface Vm {
  readonly vmid: number
  readonly name: string
  readonly template?: number
}
const vms = async (): Promise<Vm[]> =>
  (await test.root.get<Vm[]>('/cluster/resources', { type: 'vm' }))
    .filter((vm) => vm.vmid >= 9000 && vm.vmid <= 9009)
    .sort((a, b) => a.vmid - b.vmid)
const files = async (content: string): Promise<string[]> =>
  (await test.root.get<{ volid: string }[]>(`/nodes/pve/storage/${test.site.proxmox.storage.iso}/content`, { content })).map(
    ({ volid }) => volid.split('/')[1] ?? '',
  )
const config = (vmid: number): Promise<VmConfig> => test.root.get(`/nodes/pve/qemu/${vmid}/config`)
const active = (): Promise<{ type: string }[]> => test.root.get('/nodes/pve/tasks', { source: 'active' })
const running = async (type: string): Promise<boolean> => (await active()).some((task) => task.type === type)
const note = join('state', 'bake.json')

/** A site whose base template is not there yet. */
let size = 20
const freshSite = (change: (input: Site) => void = () => {}): Site =>
  test.siteWith((input) => {
    ;(input.image.build as { diskGiB: number }).diskGiB = size++
    change(input)
  })

const stageMarked = (text: string): NonNullable<BakeOptions['stage']> =>
  stageWith({ path: 'etc/golden/marker', mode: 0o644, content: Buffer.from(text) })

/** Bakes with a fault, stops as soon as `moment` has come, and tells how the bake ended. */
async function stopped(site: Site, fault: FaultOrder, moment: () => Promise<boolean>, change: Partial<BakeOptions> = {}): Promise<unknown> {
  const stop = new AbortController()
  const order = test.lab.faults.order(fault)
  const ended = bake(test.bakeOptions({ site, signal: stop.signal, ...change })).then(
    (result) => result,
    (error: unknown) => error,
  )
  await vi.waitUntil(moment, { timeout: minute, interval: 20 })
  stop.abort()
  const outcome = await ended
  test.lab.faults.clear(order)
  return outcome
}

/** VMs before, and nothing else: no file, no task that could still make one, no note, no folder. */
async function expectOnly(before: readonly Vm[]): Promise<void> {
  expect(await active()).toEqual([])
  expect(await vms()).toEqual(before)
  expect(await files('iso')).toEqual([])
  expect(await files('import')).toEqual([])
  expect(existsSync(join(test.folder, note))).toBe(false)
  expect(await readdir(test.temporary)).toEqual([])
}

/** The time of a delayed task: so long that only its end by a stop is in time. */
const forever = 10 * minute

describe('a bake that is stopped', () => {
  it(
    'while Proxmox imports the base leaves nothing, not even later',
    async () => {
      const before = await vms()
      expect(await stopped(freshSite(), { task: { type: 'qmcreate' }, delayMs: forever }, () => running('qmcreate'))).toMatchObject({
        code: 'cancelled',
        message: expect.stringContaining('is removed'),
      })
      await expectOnly(before)
    },
    limitMs,
  )

  it(
    'while Proxmox takes an upload in leaves nothing',
    async () => {
      const before = await vms()
      expect(await stopped(freshSite(), { task: { type: 'imgcopy' }, delayMs: forever }, () => running('imgcopy'))).toMatchObject({
        code: 'cancelled',
      })
      await expectOnly(before)
    },
    limitMs,
  )

  it(
    'while Proxmox downloads the base leaves nothing',
    async () => {
      const before = await vms()
      let server: Server | undefined
      try {
        server = createServer((_request, response) => response.end('x')).listen(0, '127.0.0.1')
        await new Promise((listening) => server?.once('listening', listening))
        const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/debian.qcow2`
        const site = freshSite((input) => {
          Object.assign(input.image, { base: { os: 'debian-13', url, sha256: 'c'.repeat(64) } })
        })
        expect(await stopped(site, { task: { type: 'download' }, delayMs: forever }, () => running('download'))).toMatchObject({
          code: 'cancelled',
        })
      } finally {
        server?.close()
      }
      await expectOnly(before)
    },
    limitMs,
  )

  it(
    'says what it could not remove, and the next one does it',
    async () => {
      const before = await vms()
      const site = freshSite()
      const fault = test.lab.faults.order({
        request: { method: 'DELETE', path: '^/nodes/pve/storage/[^/]+/content/' },
        status: 500,
        reason: 'ordered by the test',
      })
      const error = await stopped(site, { task: { type: 'imgcopy' }, delayMs: forever }, () => running('imgcopy'))
      expect(error).toMatchObject({
        code: 'cancelled',
        message: expect.not.stringContaining('is removed'),
        hint: expect.stringMatching(/golden-base-test-[0-9a-f]{12}\.qcow2/),
      })
      test.lab.faults.clear(fault)
      expect(existsSync(join(test.folder, note))).toBe(true)
      // That of a bake of other inputs, and of a killed one: of its run it is known that it has ended.
      const [run = ''] = (JSON.parse(await readFile(join(test.folder, note), 'utf8')) as { note: { runs: string[] } }).note.runs
      const { iso } = test.site.proxmox.storage
      await test.root.upload({ node: 'pve', storage: iso, content: 'import', filename: importName(site, run), data: Buffer.from('half') })
      await test.root.task(
        await test.root.post('/nodes/pve/qemu', {
          vmid: 9009,
          memory: 64,
          pool: site.proxmox.pool,
          name: buildName(site, run),
          description: 'Packer ephemeral build VM',
        }),
      )
      expect(await stopped(site, { task: { type: 'imgcopy' }, delayMs: forever }, () => running('imgcopy'))).toMatchObject({
        code: 'cancelled',
        message: expect.stringContaining('is removed'),
      })
      await expectOnly(before)
    },
    limitMs,
  )

  it(
    'when the image is there already says so',
    async () => {
      const options = test.bakeOptions()
      const stop = new AbortController()
      const stopping = new Proxy(options.proxmox, {
        get: (target, name) => {
          const value = Reflect.get(target, name) as unknown
          if (name !== 'put') return typeof value === 'function' ? value.bind(target) : value
          return async (path: string, form: Record<string, string>) => {
            if (form.tags?.includes('golden-candidate')) stop.abort()
            return target.put(path, form)
          }
        },
      })
      const { outcome, template } = await bake({ ...options, proxmox: stopping, signal: stop.signal })
      expect(stop.signal.aborted).toBe(true)
      expect(outcome).toBe('baked')
      expect((await config(template.vmid)).tags).toBe('golden;golden-candidate')
      await expectOnly(await vms())
    },
    limitMs,
  )
})

describe('a bake that fails', () => {
  it(
    'removes a VM of which Proxmox did not tell',
    async () => {
      const before = await vms()
      test.lab.faults.order({ request: { method: 'POST', path: '^/nodes/pve/qemu$' }, drop: 'after' })
      test.lab.faults.order({ task: { type: 'qmcreate' }, delayMs: 2000 })
      test.lab.faults.order({ request: { method: 'PUT', path: '/resize$' }, status: 500, reason: 'ordered by the test' })
      await expect(bake(test.bakeOptions({ site: freshSite() }))).rejects.toMatchObject({
        code: 'proxmox-refused',
        message: expect.stringContaining('ordered by the test'),
      })
      await expectOnly(before)
    },
    limitMs,
  )

  it.each<[string, Omit<FaultOrder, 'request'>]>([
    ['lost before the work', { drop: 'before' }],
    ['lost after the work', { drop: 'after' }],
    ['handed on to somebody who does not answer', { status: 596, reason: 'Connection timed out' }],
  ])(
    'is none of a base whose requests are each %s',
    async (_what, fault) => {
      const before = await vms()
      const site = freshSite()
      const vmid = 9007
      const fingerprint = baseFingerprint(site)
      for (const type of ['qmcreate', 'resize', 'qmtemplate']) test.lab.faults.order({ task: { type }, delayMs: 300 })
      for (const [method, path] of [
        ['POST', '^/nodes/pve/qemu$'],
        ['PUT', '/resize$'],
        ['POST', '/template$'],
        ['PUT', '/config$'],
      ] as const)
        test.lab.faults.order({ ...fault, request: { method, path } })
      await makeBase({
        proxmox: test.proxmox,
        site,
        folder: test.folder,
        vmid,
        name: baseName(site, fingerprint),
        fingerprint,
        run: newRun(new Date()),
        now: new Date().toISOString(),
        signal: new AbortController().signal,
        note: () => {},
        takeAway: (_what, remove) => remove(),
      })
      expect(test.lab.faults.list().filter(({ left }) => left > 0)).toEqual([])
      expect(await config(vmid)).toMatchObject({
        template: 1,
        tags: 'golden-base',
        scsi0: expect.stringMatching(new RegExp(`base-.*size=${site.image.build.diskGiB}G`)),
      })
      await test.root.task(await test.root.del<string>(`/nodes/pve/qemu/${vmid}`))
      await expectOnly(before)
    },
    limitMs,
  )

  it(
    'tells the cause, not that cleaning up failed too',
    async () => {
      test.lab.faults.order({ task: { type: 'qmcreate' }, reason: 'no more room for VMs' })
      const fault = test.lab.faults.order({
        request: { method: 'DELETE', path: '^/nodes/pve/storage/[^/]+/content/' },
        status: 500,
        reason: 'ordered by the test',
      })
      await expect(bake(test.bakeOptions({ site: freshSite() }))).rejects.toMatchObject({
        code: 'task-failed',
        message: expect.stringContaining('no more room for VMs'),
        hint: expect.stringMatching(/Still there: the file golden-base-/),
      })
      test.lab.faults.clear(fault)
      expect(test.shown.join('\n')).toMatch(/warning: the file golden-base-\S+ .*could not be removed.*ordered by the test/)
      expect(await bake(test.bakeOptions())).toMatchObject({ outcome: 'unchanged' })
      await expectOnly(await vms())
    },
    limitMs,
  )

  it(
    'names the storage that is disabled or missing',
    async () => {
      const { iso } = test.site.proxmox.storage
      const other = test.siteWith((input) => {
        ;(input.proxmox.storage as { iso: string }).iso = 'nowhere'
      })
      await expect(bake(test.bakeOptions({ site: other, stage: stageMarked('missing') }))).rejects.toMatchObject({
        code: 'storage-missing',
        message: expect.stringContaining('nowhere'),
        hint: expect.stringContaining('proxmox.storage.iso'),
      })
      test.lab.faults.order({
        request: { method: 'GET', path: `/storage/${iso}/content` },
        status: 500,
        reason: `storage '${iso}' is disabled`,
      })
      await expect(bake(test.bakeOptions({ stage: stageMarked('missing') }))).rejects.toMatchObject({
        code: 'storage-missing',
        message: expect.stringContaining('is disabled'),
      })
      await expectOnly(await vms())
    },
    limitMs,
  )
})

it(
  'asks for import on the ISO storage before it makes a base',
  async () => {
    const { iso } = test.site.proxmox.storage
    const before = await vms()
    await test.root.put(`/storage/${iso}`, { content: 'iso' })
    try {
      await expect(bake(test.bakeOptions({ site: freshSite() }))).rejects.toMatchObject({
        code: 'storage-content',
        message: `storage ${iso} (proxmox.storage.iso) is not enabled for import`,
        hint: expect.stringContaining('golden setup'),
      })
    } finally {
      await test.root.put(`/storage/${iso}`, { content: 'iso,import' })
    }
    await expectOnly(before)
  },
  limitMs,
)

describe('a bake during which the API is away', () => {
  it(
    'runs Packer again, and says so',
    async () => {
      // Packer's own request: the VM starts, and nobody tells it.
      test.lab.faults.order({ request: { method: 'POST', path: '/status/start$' }, drop: 'after', awayMs: 1500 })
      const { outcome, template } = await bake(test.bakeOptions({ stage: stageMarked('away') }))
      expect(outcome).toBe('baked')
      expect(test.shown.filter((line) => /warning: Proxmox did not answer Packer.*run once more/.test(line))).toHaveLength(1)
      expect(await config(template.vmid)).toMatchObject({ template: 1, tags: 'golden;golden-candidate' })
      expect((await vms()).filter((vm) => vm.template !== 1)).toEqual([])
      await expectOnly(await vms())
    },
    limitMs,
  )

  it.each([
    ['that does not end', '', 3, 'proxmox-unreachable'],
    ['and is stopped runs it no more', 'kill -s USR2 "$BAKE"', 1, 'cancelled'],
  ])(
    '%s',
    async (_what, action, runs, code) => {
      const before = await vms()
      const count = join(test.folder, 'runs')
      await rm(count, { force: true })
      const stop = new AbortController()
      process.once('SIGUSR2', () => stop.abort())
      await writeFile(
        join(test.folder, 'packer'),
        `#!/bin/sh\necho run >>"${count}"\n${action}\nsleep 0.5\necho '1795000000,,ui,error,==> proxmox-clone.golden: Error starting VM: 596 Connection timed out'\nexit 1\n`,
        { mode: 0o755 },
      )
      const options = test.bakeOptions({ stage: stageMarked('away for good'), signal: stop.signal })
      const environment = { ...options.environment, PATH: `${test.folder}:${process.env.PATH}`, BAKE: String(process.pid) }
      await expect(bake({ ...options, environment })).rejects.toMatchObject({ code })
      expect((await readFile(count, 'utf8')).trim().split('\n')).toHaveLength(runs)
      await expectOnly(before)
    },
    limitMs,
  )
})

it(
  'does not let Packer take another VM that has the name of the base, whatever the list of VMs still says',
  async () => {
    const name = baseName(test.site, baseFingerprint(test.site))
    await test.root.task(await test.root.post('/nodes/pve/qemu', { vmid: 9008, memory: 64, pool: test.site.proxmox.pool, name }))
    const options = test.bakeOptions({ stage: stageMarked('ambiguous') })
    const lagging = new Proxy(options.proxmox, {
      get: (target, key) => {
        const value = Reflect.get(target, key) as unknown
        if (key !== 'get') return typeof value === 'function' ? value.bind(target) : value
        return async (path: string, query?: Record<string, string>) => {
          const answer = await target.get<Vm[]>(path, query)
          return path === '/cluster/resources' ? answer.map((vm) => (vm.vmid === 9008 ? { ...vm, name: 'before' } : vm)) : answer
        }
      },
    })
    await expect(bake({ ...options, proxmox: lagging })).rejects.toMatchObject({
      code: 'base-ambiguous',
      message: expect.stringContaining('9008'),
    })
    await test.root.task(await test.root.del<string>('/nodes/pve/qemu/9008'))
    await expectOnly(await vms())
  },
  limitMs,
)

describe('a bake from another computer', () => {
  const make = (vmid: number, form: Record<string, string>): Promise<void> =>
    test.root
      .post<string>('/nodes/pve/qemu', { vmid, memory: 64, pool: test.site.proxmox.pool, ...form })
      .then((upid) => test.root.task(upid))
  const remove = async (vmid: number): Promise<void> => test.root.task(await test.root.del<string>(`/nodes/pve/qemu/${vmid}`))
  const hour = 3_600_000

  it.each<[string, (run: string) => Record<string, string>]>([
    ['that is about to start its build VM', (run) => ({ name: buildName(test.site, run), description: 'Packer ephemeral build VM' })],
    [
      'that makes the base',
      (run) => ({
        name: baseName(test.site, baseFingerprint(test.site)),
        description: renderRecord({
          schema: 1,
          kind: 'base',
          site: 'test',
          fingerprint: baseFingerprint(test.site),
          base: { os: 'debian-13', sha256: 'a'.repeat(64) },
          built: new Date().toISOString(),
          unfinished: true,
          run,
        }),
      }),
    ],
  ])(
    '%s is not disturbed',
    async (_what, form) => {
      await make(9008, form(newRun(new Date())))
      const before = await vms()
      await expect(bake(test.bakeOptions({ stage: stageMarked('two computers') }))).rejects.toMatchObject({
        code: 'bake-in-progress',
        hint: expect.stringContaining('9008'),
      })
      expect(await vms()).toEqual(before)
      await remove(9008)
    },
    limitMs,
  )

  it(
    'keeps its files, and old ones go',
    async () => {
      const { iso } = test.site.proxmox.storage
      const theirs = newRun(new Date())
      const old = newRun(new Date(Date.now() - 7 * hour))
      for (const run of [theirs, old]) {
        await test.root.upload({ node: 'pve', storage: iso, content: 'iso', filename: seedName(test.site, run), data: Buffer.from('seed') })
        await test.root.upload({
          node: 'pve',
          storage: iso,
          content: 'import',
          filename: importName(test.site, run),
          data: Buffer.from('base'),
        })
      }
      await make(9008, { name: buildName(test.site, old), description: 'Packer ephemeral build VM' })
      test.lab.faults.order({ request: { method: 'POST', path: '/clone$' }, status: 500, reason: 'ordered by the test', times: 20 })
      await expect(bake(test.bakeOptions({ stage: stageMarked('files') }))).rejects.toMatchObject({ code: 'packer-failed' })
      expect(await files('iso')).toEqual([seedName(test.site, theirs)])
      expect(await files('import')).toEqual([importName(test.site, theirs)])
      expect((await vms()).map((vm) => vm.vmid)).not.toContain(9008)
      for (const [content, name] of [
        ['iso', seedName(test.site, theirs)],
        ['import', importName(test.site, theirs)],
      ] as const)
        await test.root.task(await test.root.del<string>(`/nodes/pve/storage/${iso}/content/${content}/${name}`))
    },
    limitMs,
  )

  it(
    'that took the same VMID first keeps its VM',
    async () => {
      const site = freshSite()
      const before = await vms()
      const theirs = newRun(new Date())
      const options = test.bakeOptions({ site })
      const slow = new Proxy(options.proxmox, {
        get: (target, name) => {
          const value = Reflect.get(target, name) as unknown
          if (name !== 'post') return typeof value === 'function' ? value.bind(target) : value
          return async (path: string, form: Record<string, string | number>) => {
            if (path === '/nodes/pve/qemu')
              await make(Number(form.vmid), {
                name: String(form.name),
                description: String(form.description).replace(/"run": "[0-9a-f]{12}"/, `"run": "${theirs}"`),
              })
            return target.post(path, form)
          }
        },
      })
      await expect(bake({ ...options, proxmox: slow })).rejects.toMatchObject({
        code: 'proxmox-refused',
        message: expect.stringContaining('already exists'),
      })
      const [other] = (await vms()).filter((vm) => !before.some((one) => one.vmid === vm.vmid))
      expect(other?.name).toBe(baseName(site, baseFingerprint(site)))
      await remove(other?.vmid ?? 0)
      await expectOnly(before)
    },
    limitMs,
  )
})

it(
  'does not remove an image whose tag somebody has edited',
  async () => {
    const [image] = (await vms()).filter((vm) => vm.template === 1 && !vm.name.startsWith('golden-base-'))
    const vmid = image?.vmid ?? 0
    await test.root.put(`/nodes/pve/qemu/${vmid}/config`, { tags: 'mine' })
    test.lab.faults.order({ request: { method: 'POST', path: '/clone$' }, status: 500, reason: 'ordered by the test', times: 20 })
    await expect(bake(test.bakeOptions({ stage: stageMarked('edited tag') }))).rejects.toMatchObject({ code: 'packer-failed' })
    expect(await config(vmid)).toMatchObject({ tags: 'mine', template: 1 })
  },
  limitMs,
)

it(
  "finishes a killed run's image, and removes the files of that run",
  async () => {
    const stage = stageMarked('killed before tidying')
    test.lab.faults.order({
      request: { method: 'PUT', path: '^/nodes/pve/qemu/[0-9]+/config$' },
      status: 500,
      reason: 'ordered by the test',
      times: 20,
    })
    await expect(bake(test.bakeOptions({ stage }))).rejects.toMatchObject({
      code: 'proxmox-refused',
      hint: expect.stringContaining('baked but not tagged'),
    })
    test.lab.faults.clear()
    const [run = ''] = (JSON.parse(await readFile(join(test.folder, note), 'utf8')) as { note: { runs: string[] } }).note.runs
    await test.root.upload({
      node: 'pve',
      storage: test.site.proxmox.storage.iso,
      content: 'iso',
      filename: seedName(test.site, run),
      data: Buffer.from('seed'),
    })
    const { template } = await bake(test.bakeOptions({ stage }))
    const { description } = await config(template.vmid)
    expect(description).not.toMatch(/unfinished|"run"/)
    await expectOnly(await vms())
  },
  limitMs,
)
