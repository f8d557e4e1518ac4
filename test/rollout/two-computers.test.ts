/** Two computers with copies of the site folder, at one group, with the real engine and provider. */
import { execFile } from 'node:child_process'
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { who } from '../../core/who.ts'
import { connect, type Proxmox } from '../../proxmox/client.ts'
import { readPins } from '../../releases/pins.ts'
import { deploy } from '../../rollout/deploy.ts'
import { destroy } from '../../rollout/destroy.ts'
import { claimIn, withClaim, type GroupClaim } from '../../rollout/group-claim.ts'
import type { DeployOptions } from '../../rollout/options.ts'
import { rollback } from '../../rollout/rollback.ts'
import { rollout } from '../../rollout/rollout.ts'
import { watched } from '../set-up.ts'
import { nothing, startOneVm, type OneVm } from './one-vm.ts'

let t: OneVm
let copy = ''
let far: Proxmox
let notes = ''

const depot = '/nodes/pve/qemu/9010/config'
const notesNow = async (): Promise<string> => (await t.root.get<{ description?: string }>(depot)).description ?? ''
const ann = (): GroupClaim => ({
  id: '0123456789abcdef',
  by: 'ann@laptop',
  verb: 'rollout',
  since: new Date().toISOString(),
  until: new Date(Date.now() + 300_000).toISOString(),
  process: { pid: 4711, host: 'laptop', started: 'boot 1' },
})

beforeAll(async () => {
  t = await startOneVm()
  notes = await notesNow()
  copy = await mkdtemp(join(tmpdir(), 'golden-copy-'))
  await cp(t.folder, copy, { recursive: true })
  far = connect({ url: t.proxmox.url, caPem: await readFile(t.options().caFile!, 'utf8'), auth: t.options().token })
})
afterAll(async () => {
  far?.close()
  await t?.close()
  await rm(copy, { recursive: true, force: true })
})

/** Does something once, at a step of that title, before the step begins. */
function meeting(pattern: RegExp, meet: () => Promise<unknown>): DeployOptions['progress'] {
  const { progress } = t.options()
  let met = false
  return {
    ...progress,
    async step(title, work) {
      if (pattern.test(title) && !met) {
        met = true
        await meet()
      }
      return progress.step(title, work)
    },
  }
}

it('a deployment that loses its claim stops, and does not even take back what it had begun', async () => {
  const progress = meeting(/^deploy home-all/, () => t.root.put(depot, { description: withClaim(notes, ann()) }))
  await expect(deploy(t.options({ progress, claimPace: { ttlMs: 300_000, renewMs: 50 } }))).rejects.toMatchObject({
    code: 'claim-lost',
    message: expect.stringContaining('ann@laptop'),
  })
  expect(claimIn(await notesNow())).toMatchObject({ by: 'ann@laptop' })
  expect((await readPins(t.folder)).groups.all?.active).toBe('blue')
  expect(await t.made()).toMatchObject({ vms: nothing.vms })
  expect(t.shown.join('\n')).toContain('could not be taken back')
  await t.root.put(depot, { description: notes })
})

it('while one deploys the other is told so, whatever it wants; the first one comes to its end', async () => {
  const wants: readonly ((options: DeployOptions) => Promise<unknown>)[] = [
    deploy,
    destroy,
    (options) => rollout({ ...options, only: ['all'] }),
    (options) => rollback(options, ['all']),
  ]
  const told: unknown[] = []
  const progress = meeting(/^deploy home-all/, async () => {
    for (const want of wants) told.push(await want(t.options({ folder: copy, proxmox: far })).catch((error: unknown) => error))
  })
  expect(await deploy(t.options({ progress }))).toMatchObject([{ group: 'all', outcome: 'deployed' }])
  expect(told).toEqual(
    wants.map(() => expect.objectContaining({ code: 'group-claimed', message: expect.stringContaining(`${who()} ("golden deploy"`) })),
  )
  expect(await t.place()).toMatchObject({ at: 'blue' })
  expect(await notesNow()).toBe(notes)
})

it('what a killed run has left is taken over at once on that computer, and the next run goes on', async () => {
  const { caFile, token } = t.options()
  const source = (path: string): string => JSON.stringify(join(import.meta.dirname, '../..', path))
  const program = `
    import { readFile } from 'node:fs/promises'
    const { silent } = await import(${source('core/progress.ts')})
    const { connect } = await import(${source('proxmox/client.ts')})
    const { claimGroups } = await import(${source('rollout/claim-groups.ts')})
    const { loadSite } = await import(${source('settings/load.ts')})
    const site = await loadSite(${JSON.stringify(copy)})
    const proxmox = connect({ url: ${JSON.stringify(t.proxmox.url)}, caPem: await readFile(${JSON.stringify(caFile)}, 'utf8'), auth: ${JSON.stringify(token)} })
    const options = { site, folder: ${JSON.stringify(copy)}, proxmox, progress: silent, signal: new AbortController().signal }
    await claimGroups(options, 'destroy', ['all'], async () => process.kill(process.pid, 'SIGKILL'))`
  const ended = Promise.withResolvers<NodeJS.Signals | null | undefined>()
  execFile(process.execPath, ['--input-type=module-typescript', '-e', program], (error) => ended.resolve(error?.signal))
  expect(await ended.promise).toBe('SIGKILL')
  expect(claimIn(await notesNow())).toMatchObject({ by: who(), verb: 'destroy' })
  const said: string[] = []
  const progress = watched(t.options().progress, (text) => {
    said.push(text)
  })
  expect(await destroy(t.options({ progress }))).toMatchObject([{ group: 'all', outcome: 'destroyed', dataDisk: 'kept' }])
  expect(said.join('\n')).toMatch(/group all: took over from .*"golden destroy".*killed/)
  expect(await notesNow()).toBe(notes)
})
