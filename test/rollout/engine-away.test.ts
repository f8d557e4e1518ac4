/** An API that goes away under the engine's provider, which waits for nobody; and engines that are killed. */
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { deploy } from '../../rollout/deploy.ts'
import { destroy } from '../../rollout/destroy.ts'
import { readStatus } from '../../rollout/status.ts'
import { watched } from '../set-up.ts'
import { startOneVm, type OneVm } from './one-vm.ts'

let t: OneVm
beforeAll(async () => {
  t = await startOneVm()
})
afterAll(() => t?.close())
afterEach(() => t.lab.faults.clear())

it('a deployment and its end go on when the API goes away at a clone, at a start, and at a deletion', async () => {
  for (const [method, path] of [
    ['POST', '/qemu/9001/clone$'],
    ['POST', '/9011/status/start$'],
    ['DELETE', '/qemu/9011/?$'],
  ] as const)
    t.lab.faults.order({ request: { method, path }, drop: 'after', awayMs: 1500 })
  expect(await deploy(t.options())).toMatchObject([{ outcome: 'deployed' }])
  expect((await readStatus(t.options())).healthy).toBe(true)
  expect(await destroy(t.options())).toMatchObject([{ outcome: 'destroyed', data: { depot: 9010 } }])
  expect(t.lab.faults.list().map(({ left }) => left)).toEqual([0, 0, 0])
  expect((await t.root.get<{ vmid: number }[]>('/cluster/resources', { type: 'vm' })).map(({ vmid }) => vmid).sort()).toEqual([9001, 9010])
})

/** What runs on behalf of a process. */
function below(pid: number): number[] {
  const children = execFileSync('ps', ['-eo', 'pid=,ppid=,args='], { encoding: 'utf8' })
    .split('\n')
    .flatMap((line) => {
      const [, child = '', parent = '', args = ''] = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line) ?? []
      return Number(parent) === pid && /terraform-provider/.test(args) ? [Number(child)] : []
    })
  return children
}
const runs = (pid: number): boolean => /^\s*[^Z\s]/.test(spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }).stdout)

it('an engine that is killed leaves no provider, and that is said', async () => {
  t.lab.faults.order({ task: { type: 'qmclone' }, delayMs: 5000 })
  let providers: number[] = []
  const progress = watched(t.options().progress, (text) => {
    if (providers.length > 0 || !/vm\.blue: Creating/.test(text)) return
    const { note } = JSON.parse(readFileSync(join(t.folder, 'state', 'deploy.json'), 'utf8')) as { note: { engines: [{ pid: number }] } }
    const [{ pid }] = note.engines
    providers = below(pid)
    process.kill(pid, 'SIGKILL')
  })
  await expect(deploy(t.options({ progress }))).rejects.toMatchObject({ code: 'engine-killed' })
  expect(providers.length).toBeGreaterThan(0)
  expect(providers.some(runs)).toBe(false)
  await destroy(t.options())
})
