import { afterAll, beforeAll, expect, test } from 'vitest'
import { deploy } from '../../rollout/deploy.ts'
import { readStatus } from '../../rollout/status.ts'
import { startOneVm, type OneVm } from './one-vm.ts'
let t: OneVm
beforeAll(async () => { t = await startOneVm() })
afterAll(() => t?.close())
test('hung with the real engine', { timeout: 1_500_000 }, async () => {
  t.world.hung.add('home-all-blue')
  const began = Date.now()
  console.log(await deploy(t.options()))
  console.log((Date.now() - began) / 1000, t.shown.filter((l) => /warning|reset/.test(l)))
  expect(await readStatus(t.options())).toMatchObject({ healthy: true })
  expect(await deploy(t.options())).toMatchObject([{ outcome: 'unchanged' }])
})
