/** A demo that was kept running, also because it failed: told from a dead one, not swept away, ended on request. The demo itself runs in CI beside these tests. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { startLab, type Lab } from '../../lab/index.ts'
import { Failure } from '../../core/failure.ts'
import { control } from '../../demo/control.ts'
import { demo as runDemo, type DemoParts } from '../../demo/demo.ts'
import { verb as runVerb } from '../../demo/program.ts'
import { silent } from '../../core/progress.ts'
import { openProxmox } from '../../scripts/open.ts'
import { recorder } from '../set-up.ts'

const project = resolve(import.meta.dirname, '../..')
let work: string
let folder: string
let lab: Lab | undefined
beforeEach(async () => {
  work = await mkdtemp(join(tmpdir(), 'gd-'))
  folder = join(work, 'serena-golden', 'demo')
  await mkdir(folder, { recursive: true })
})
afterEach(async () => {
  await lab?.close()
  lab = undefined
  // Whatever a test that failed has left.
  await control(join(folder, 'lab', 'control.sock'))
    .stop()
    .catch(() => {})
  await rm(work, { recursive: true, force: true })
})

function demo(...flags: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const { promise, resolve: done } = Promise.withResolvers<{ code: number; stdout: string; stderr: string }>()
  execFile(
    process.execPath,
    [join(project, 'golden.ts'), 'demo', ...flags],
    { env: { ...process.env, XDG_STATE_HOME: work, CI: 'true' } },
    (error, stdout, stderr) => {
      done({ code: error === null ? 0 : Number(error.code), stdout, stderr })
    },
  )
  return promise
}

it('a running demo is not swept away by another one, and --stop ends it and removes all of it', async () => {
  const started = await startLab({ stateDir: join(folder, 'lab'), driver: 'fake' })
  lab = started
  void started.stopRequested.then(() => started.close())
  const second = await demo()
  expect(second).toMatchObject({ code: 1 })
  expect(second.stderr).toContain('error demo-running')
  expect(existsSync(join(folder, 'lab', 'connection.json'))).toBe(true)
  expect(await demo('--stop')).toMatchObject({ code: 0, stdout: expect.stringContaining('ended') })
  expect(existsSync(folder)).toBe(false)
})

it('--stop clears away what a killed demo left, and says so when there is none', async () => {
  await mkdir(join(folder, 'lab'))
  await writeFile(join(folder, 'lab', 'control.sock'), '')
  expect((await demo('--stop')).stdout).toContain('ended')
  expect(existsSync(folder)).toBe(false)
  expect((await demo('--stop')).stdout).toContain('No demo is running')
})

interface Ran {
  readonly code: number
  readonly text: string
  readonly document: any
  readonly shown: readonly string[]
}

/** The demo around another story, with models of guests. */
async function runStory(
  flags: Record<string, boolean | string>,
  story: DemoParts['story'],
  signal = new AbortController().signal,
): Promise<Ran> {
  const { shown, progress } = recorder()
  let text = ''
  let document: any
  const env = { ...process.env, XDG_STATE_HOME: work, CI: 'true' }
  const code = await runDemo(
    folder,
    {
      flags,
      arguments: [],
      env,
      progress,
      json: false,
      signal,
      result: (said, one) => {
        text = said
        document = one
      },
    },
    { prepare: async () => {}, lab: ['lab', '--driver', 'fake', '--bare'], story },
  )
  return { code, text, document, shown }
}

/** As one of the real story that ends early: a verb that fails, in the middle of what runs. */
const failing: DemoParts['story'] = async ({ connection, checks, env, signal, administrator }) => {
  await administrator.task(await administrator.post<string>('/nodes/pve/qemu', { vmid: 9055, memory: 64, serial0: 'socket' }))
  await administrator.task(await administrator.post<string>('/nodes/pve/qemu/9055/status/start'))
  await checks.must('golden setup', async () => {
    await runVerb(['setup', '--admin', 'root@pam!nobody'], {
      env: { ...env, GOLDEN_SITE: connection.site, PROXMOX_ADMIN_TOKEN: 'x' },
      signal,
      onLine: checks.heard,
    })
  })
  throw new Error('it did not fail')
}

it('one that fails and is to be kept leaves everything running, and says how to look at it and how to end it', async () => {
  const { code, text, document, shown } = await runStory({ keep: true }, failing)
  expect(code).toBe(1)
  expect(document).toMatchObject({
    ok: false,
    errors: [{ code: 'admin-not-accepted' }],
    checks: [{ ok: false, output: expect.arrayContaining([expect.stringContaining('read what is there')]) }],
    kept: { sites: [join(folder, 'lab/site')] },
  })
  expect(text).toContain(`export GOLDEN_SITE=${join(folder, 'lab/site')}`)
  for (const words of [
    'left running for a look',
    'npx golden status',
    'npx golden deploy',
    ...document.kept.consoles,
    join(folder, 'lab.log'),
    'npm run demo -- --stop',
    '→ Check the token',
    '│ ✗ read what is there',
  ])
    expect.soft(text).toContain(words)
  expect(shown.some((line) => /^ {2}│ .*read what is there/.test(line))).toBe(true)
  // It does run.
  const { proxmox } = await openProxmox({ GOLDEN_SITE: document.kept.sites[0] }, { progress: silent, signal: new AbortController().signal })
  expect(await proxmox.get('/version')).toHaveProperty('version')
  proxmox.close()
  expect(await demo('--stop')).toMatchObject({ code: 0, stdout: expect.stringContaining('ended') })
  expect(existsSync(folder)).toBe(false)
}, 240_000)

it('one whose lab is killed leaves what that has left, and says so', async () => {
  const { code, text } = await runStory({ keep: true }, async ({ administrator }) => {
    const socket = control(join(folder, 'lab/control.sock'))
    await socket.stop()
    while (await socket.ping()) await administrator.get('/version').catch(() => {})
    throw new Failure('proxmox-unreachable', 'no answer', 'x')
  })
  expect(code).toBe(1)
  for (const words of ['The lab has ended', join(folder, 'lab.log'), 'npm run demo -- --stop']) expect.soft(text).toContain(words)
  expect(text).not.toContain('golden status')
  expect(existsSync(join(folder, 'lab.log'))).toBe(true)
  expect(await demo('--stop')).toMatchObject({ code: 0 })
  expect(existsSync(folder)).toBe(false)
}, 240_000)

it('one that fails without that wish, or that somebody stops, leaves nothing', async () => {
  const { code, text } = await runStory({}, failing)
  expect(code).toBe(1)
  expect(text).not.toContain('left running')
  expect(existsSync(folder)).toBe(false)
  const stop = new AbortController()
  await expect(
    runStory(
      { keep: true },
      async () => {
        stop.abort(new Failure('cancelled', 'stopped', ''))
        throw stop.signal.reason
      },
      stop.signal,
    ),
  ).rejects.toMatchObject({ code: 'cancelled' })
  expect(existsSync(folder)).toBe(false)
}, 240_000)

it('what there is no time for is named as not run, and counts neither as held nor as failed', async () => {
  let left = 0
  const { code, text, document } = await runStory({ minutes: '30' }, async ({ checks, leftMs }) => {
    left = leftMs()
    await checks.must('a check', async () => {})
    checks.skip('another', 'this machine is slow')
    return { site: '', urls: [], user: '', passwordFile: '', caFile: '' }
  })
  expect(left).toBeGreaterThan(25 * 60_000)
  expect(left).toBeLessThanOrEqual(30 * 60_000)
  expect(code).toBe(0)
  expect(document.checks).toMatchObject([
    { name: 'a check', ok: true },
    { name: 'another', skipped: 'this machine is slow' },
  ])
  for (const words of ['✓ a check', '– another: not run: this machine is slow', 'All 1 checks held', '; 1 not run.'])
    expect.soft(text).toContain(words)
  await expect(runStory({ minutes: 'soon' }, failing)).rejects.toMatchObject({ code: 'usage' })
}, 240_000)
