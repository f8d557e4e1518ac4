import { afterAll, beforeAll, expect, it } from 'vitest'
import { bake } from '../../packer/bake.ts'
import { startTestLab, type TestLab } from './lab.ts'

let test: TestLab
beforeAll(async () => { test = await startTestLab() }, 900_000)
afterAll(() => test?.close())

it('gives up a build VM that never answers by SSH, after the time that the site allows, and removes it', async () => {
  const site = test.siteWith((input) => {
    Object.assign(input.image.build, { sshTimeoutMinutes: 1 })
    // Nothing listens there: the way to the build VM is closed.
    Object.assign(input.proxmox, { socksProxy: { host: '127.0.0.1', port: 9 } })
  })
  await expect(bake(test.bakeOptions({ site }))).rejects.toMatchObject({ code: 'bake-no-ssh', hint: expect.stringContaining('proxmox.socksProxy') })
  const left = await test.root.get<{ name?: string }[]>('/cluster/resources', { type: 'vm' })
  expect(left.filter((vm) => vm.name?.startsWith('golden-build-'))).toEqual([])
}, 180_000)
