/** Verifications that come to no verdict, and leave nothing: of one VM for both roles. */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { checks } from '../../verify/plan.ts'
import { planVerification, verify, type VerifyResult } from '../../verify/verify.ts'
import { imageVmid, startVerifyLab, type VerifyLab } from './lab.ts'

let t: VerifyLab
beforeAll(async () => {
  t = await startVerifyLab('one-vm')
})
afterAll(() => t?.close())
afterEach(async () => {
  t.world.instead = () => undefined
  t.lab.faults.clear()
  await t.expectNothingLeft()
  expect(await t.tagsOfImage()).toBe('golden;golden-candidate')
})

it('a plan makes nothing', async () => {
  expect(await planVerification(t.verification())).toMatchObject({
    image: { vmid: imageVmid },
    clones: [{ group: 'all', roles: ['serena', 'logging'] }],
  })
})

it('a clone that Proxmox does not make says nothing of the image', async () => {
  t.lab.faults.order({ task: { type: 'qmclone' }, reason: 'storage is busy' })
  await expect(verify(t.verification())).rejects.toMatchObject({ code: 'task-failed', message: expect.stringContaining('storage is busy') })
})

it('an answer that is lost while a clone is made leaves no clone', async () => {
  t.lab.faults.order({ request: { method: 'POST', path: '/clone$' }, drop: 'after' })
  await expect(verify(t.verification())).rejects.toMatchObject({ lost: true })
})

it('one that is stopped takes its clones along', async () => {
  const stop = new AbortController()
  const done = verify(
    t.verification({
      ...t.watching((text) => {
        if (text === `all: ${checks.standby}`) stop.abort()
      }),
      signal: stop.signal,
    }),
  )
  await expect(done).rejects.toMatchObject({ code: 'cancelled', message: expect.stringContaining('its clones are removed') })
})

it('an image of another version of this project is not judged', async () => {
  t.world.instead = (script, [verb], system) => {
    if (script !== 'slotctl.js' || verb !== 'selftest') return undefined
    system.say('{"schema":1,"ok":true,"checks":[{"name":"nginx_proxy answers","ok":true}]}')
    return Promise.resolve(0)
  }
  await expect(verify(t.verification())).rejects.toMatchObject({ code: 'image-of-other-version' })
})

it('one that makes no file system fails, and with it all that rests on it', async () => {
  t.world.instead = (script, [verb], system) => {
    if (script !== 'slotctl.js' || verb !== 'format') return undefined
    system.say('{"schema":1,"error":{"code":"disk-foreign","message":"no"}}')
    return Promise.resolve(1)
  }
  const done: VerifyResult = await verify(t.verification({ image: String(imageVmid) }))
  const failed = done.checks.filter(({ ok }) => !ok)
  expect(failed).toMatchObject([{ clone: 'all', name: 'activates', detail: expect.stringContaining('refused "slotctl format": no') }])
  expect(done.checks.filter(({ skipped }) => skipped).length).toBeGreaterThan(15)
})
