import { execFile } from 'node:child_process'
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, expect, it } from 'vitest'
import { EngineListener, engineEnvironment } from '../../rollout/engine.ts'
import { deploymentFile, newReleaseId, readPins, updatePins, withDataDisk, withFirstRelease, withoutReleases } from '../../releases/pins.ts'
import { reconcile } from '../../rollout/reconcile.ts'
import { newRelease } from '../../releases/deployment.ts'
import { exampleSite } from '../images/example.ts'

const folder = await mkdtemp(join(tmpdir(), 'pins-'))
afterAll(() => rm(folder, { recursive: true, force: true }))
const site = exampleSite()

it('pins come and go, whole, and what is known of the data outlives a release', async () => {
  expect(await readPins(folder)).toEqual({ schema: 1, groups: {} })
  const release = newRelease(site, 'serena', 'blue', {
    id: newReleaseId(),
    created: new Date(),
    image: { vmid: 9001, name: 'i', fingerprint: 'f' },
  })
  await updatePins(folder, 'serena', (pins) => withFirstRelease(pins, 'blue', release, 9200))
  await updatePins(folder, 'serena', (pins) => withDataDisk(pins, 'new'))
  expect((await readPins(folder)).groups.serena).toEqual({ dataDisk: 'new', depot: 9200, active: 'blue', slots: { blue: release } })
  await updatePins(folder, 'serena', (pins) => withoutReleases(withDataDisk(pins, 'made')))
  expect((await readPins(folder)).groups.serena).toEqual({ dataDisk: 'made', depot: 9200, slots: {} })
  await updatePins(folder, 'serena', (pins) => withFirstRelease(pins, 'blue', release, 9999))
  expect((await readPins(folder)).groups.serena).toMatchObject({ depot: 9200 })
  expect((await readdir(folder)).sort()).toEqual(['deployment.json', 'state'])
  expect(await readFile(deploymentFile(folder), 'utf8')).toMatch(/\n$/)
  await updatePins(folder, 'serena', () => undefined)
  expect(await readPins(folder)).toEqual({ schema: 1, groups: {} })
  expect(await readdir(folder, { recursive: true })).toEqual(['state'])
})

it('processes that change it at the same time lose nothing of each other', async () => {
  const shared = await mkdtemp(join(tmpdir(), 'pins-'))
  const groups = (from: string): string[] => Array.from({ length: 8 }, (_, index) => `${from}${index}`)
  const program = (from: string): string => `
    import { updatePins } from ${JSON.stringify(join(import.meta.dirname, '../../releases/pins.ts'))}
    for (const group of ${JSON.stringify(groups(from))})
      await updatePins(${JSON.stringify(shared)}, group, () => ({ dataDisk: 'made', slots: {} }))`
  const run = promisify(execFile)
  await Promise.all([
    ...['a', 'b', 'c'].map((from) => run(process.execPath, ['--input-type=module-typescript', '-e', program(from)])),
    ...groups('d').map((group) => updatePins(shared, group, () => ({ dataDisk: 'made', slots: {} }))),
  ])
  expect(Object.keys((await readPins(shared)).groups).sort()).toEqual(['a', 'b', 'c', 'd'].flatMap(groups))
  expect(await readdir(join(shared, 'state'))).toEqual([])
  await rm(shared, { recursive: true })
})

it('a broken file is named with its problems', async () => {
  const other = await mkdtemp(join(tmpdir(), 'pins-'))
  await writeFile(deploymentFile(other), '{ "schema": 2, "groups": {} }')
  await expect(readPins(other)).rejects.toMatchObject({ code: 'deployment-invalid', message: expect.stringContaining('schema') })
  await rm(other, { recursive: true })
})

it('release ids do not repeat', () => {
  expect(new Set(Array.from({ length: 1000 }, newReleaseId)).size).toBe(1000)
})

it("the engine gets the token and the CA by its environment, reaches Proxmox directly, and nobody's own settings count", () => {
  const env = engineEnvironment(
    { site, folder: '/f', environment: { PATH: '/tools' }, token: { id: 'a@pve!b', secret: 's' }, caFile: '/ca.pem' },
    {
      HTTPS_PROXY: 'http://proxy',
      NO_PROXY: 'intern',
      PROXMOX_VE_INSECURE: 'true',
      TF_CLI_ARGS_apply: '-target=x',
      HOME: '/h',
      TF_WORKSPACE: 'dev',
      TF_DATA_DIR: '/elsewhere',
      NODE_OPTIONS: '--inspect',
      AWS_PROFILE: 'mine',
      A_SECRET: 'x',
    },
  )
  expect(env).toMatchObject({
    PATH: '/tools',
    HOME: '/h',
    PROXMOX_VE_API_TOKEN: 'a@pve!b=s',
    SSL_CERT_FILE: '/ca.pem',
    NO_PROXY: 'intern,192.168.1.5',
    GOLDEN_SITE: '/f',
    TF_WORKSPACE: 'default',
  })
  expect(Object.keys(env).filter((name) => /INSECURE|CLI_ARGS|DATA_DIR|NODE_|AWS_|A_SECRET/.test(name))).toEqual([])
})

it('the engine gets what a remote backend signs in with, and what the site itself reads; an IPv6 host is named as Go wants it', () => {
  const remote = {
    ...site,
    backend: { type: 's3' as const, config: {} },
    proxmox: { ...site.proxmox, url: 'https://[fd00::5]:8006', token: { kind: 'env' as const, name: 'TOKEN.OF MINE' } },
  }
  const env = engineEnvironment(
    { site: remote, folder: '/f', environment: {}, token: { id: 'a@pve!b', secret: 's' }, caFile: undefined },
    { AWS_PROFILE: 'mine', PGPASSWORD: 'x', 'TOKEN.OF MINE': 's', TOKENxOF: 'y' },
  )
  expect(env).toMatchObject({ AWS_PROFILE: 'mine', 'TOKEN.OF MINE': 's', NO_PROXY: 'fd00::5' })
  expect(Object.keys(env).filter((name) => ['PGPASSWORD', 'TOKENxOF'].includes(name))).toEqual([])
})

it('what a hook says about its failure is what the user gets, not that a command exited with 1', () => {
  const listener = new EngineListener(() => {}, () => {}, [])
  for (const output of [
    'activate slot blue of group serena …',
    'error data-disk-foreign: the disk holds something else',
    '→ Nothing was written.',
  ])
    listener.line(JSON.stringify({ type: 'provision_progress', hook: { output } }))
  listener.line(
    JSON.stringify({
      type: 'diagnostic',
      diagnostic: { severity: 'error', summary: 'local-exec provisioner error', detail: 'exit status 1' },
    }),
  )
  expect(listener.failure('home-serena', 'apply')).toMatchObject({
    code: 'data-disk-foreign',
    message: 'the disk holds something else',
    hint: 'Nothing was written.',
  })
})

it('what a hook warns of stays; what it is at passes', () => {
  const said: string[] = []
  const listener = new EngineListener(
    (text) => said.push(`note ${text}`),
    (text) => said.push(`warning ${text}`),
    [],
  )
  for (const output of [
    'Executing: ["/bin/sh" "-c" "exec node golden.ts hook"]',
    'wait for the guest: 300 s',
    'warning: VM 9011 does not answer',
  ])
    listener.line(JSON.stringify({ type: 'provision_progress', hook: { output } }))
  listener.line(JSON.stringify({ type: 'apply_progress', '@message': 'vm.blue: Still creating... [10s elapsed]' }))
  expect(said).toEqual(['note wait for the guest: 300 s', 'warning VM 9011 does not answer', 'note vm.blue: Still creating...'])
})

it('a step without effect is given up, and waiting has an end', async () => {
  const loop = { look: async () => 0, take: async () => {}, note: () => {}, pauseMs: 1 }
  await expect(reconcile({ ...loop, decide: () => ({ kind: 'step', step: 'push', title: 'push' }) })).rejects.toMatchObject({
    code: 'no-progress',
  })
  await expect(
    reconcile({ ...loop, decide: () => ({ kind: 'wait', for: 'not healthy yet: nginx is stopped', timeoutMs: 5 }) }),
  ).rejects.toMatchObject({ code: 'wait-timeout', message: expect.stringContaining('nginx is stopped') })
})

it('a full storage is named as such, whoever says it', () => {
  const listener = new EngineListener(() => {}, () => {}, [])
  listener.line(
    JSON.stringify({
      type: 'diagnostic',
      diagnostic: {
        severity: 'error',
        summary: 'error waiting for VM clone',
        detail: 'task failed: clone failed: No space left on device',
        address: 'proxmox_virtual_environment_vm.blue',
      },
    }),
  )
  expect(listener.failure('home-serena', 'apply')).toMatchObject({ code: 'storage-full', hint: expect.stringContaining('Make room') })
})

it.each([
  [
    'error cloning VM',
    'failed to perform HTTP POST request (path: nodes/pve/qemu/9001/clone) - Reason: Post "https://127.0.0.1:8006/api2/json/nodes/pve/qemu/9001/clone": EOF',
    true,
  ],
  [
    'error waiting for VM clone',
    'error while waiting for task "UPID:pve:1" to complete: failed to perform HTTP GET request (path: x) - Reason: Get "https://127.0.0.1:8006/x": dial tcp 127.0.0.1:8006: connect: connection refused',
    true,
  ],
  ['error retrieving VM', 'received an HTTP 596 response - Reason: Connection timed out', true],
  ['error retrieving VM', 'received an HTTP 403 response - Reason: Permission check failed', false],
  [
    'error retrieving VM',
    'failed to perform HTTP GET request (path: x) - Reason: Get "https://h:8006/x": tls: failed to verify certificate: x509: certificate signed by unknown authority',
    false,
  ],
])('what the provider says of an API that is away can be gone on from: %s: %s', (summary, detail, lost) => {
  const listener = new EngineListener(() => {}, () => {}, [])
  listener.line(JSON.stringify({ type: 'diagnostic', diagnostic: { severity: 'error', summary, detail } }))
  expect(listener.failure('home-serena', 'apply')).toMatchObject({ code: lost ? 'proxmox-unreachable' : 'engine-failed', lost })
})

it('an engine that was killed is not taken for one that says nothing', () => {
  expect(new EngineListener(() => {}, () => {}, []).failure('home-serena', 'apply', 137)).toMatchObject({
    code: 'engine-killed',
    message: expect.stringContaining('137'),
  })
})
