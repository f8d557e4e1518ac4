/** A build VM that nobody can log in to. A file of its own: the shortest time that a site can allow is a minute. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { openPlace, type Place, type SiteFolder } from './place.ts'

let place: Place
let site: SiteFolder
beforeAll(async () => {
  place = await openPlace()
  site = await place.site()
  await site.edit((draft) => { draft.image.build.sshTimeoutMinutes = 1 })
  const { error } = await site.golden('setup', '--admin', 'admin@pve')
  const fingerprint = /([0-9A-F]{2}:){31}[0-9A-F]{2}/.exec(error?.hint ?? '')?.[0] ?? ''
  await site.done('setup', '--admin', 'admin@pve', '--fingerprint', fingerprint)
}, 900_000)
afterAll(() => place?.close(), 60_000)

it('gives up a build VM that never answers by SSH after the time that the site allows, and removes it', async () => {
  place.driver.behave({ match: /^golden-build-/, ssh: 'never' })
  const ended = await site.golden('bake')
  expect(ended, ended.stderr).toMatchObject({ code: 1, error: { code: 'bake-no-ssh', message: expect.stringContaining('1 minutes'), hint: expect.stringContaining('image.build.sshTimeoutMinutes') } })
  const { vms, volumes, temporary, processes } = await place.inventory()
  expect(vms.filter((vm) => !vm.name?.endsWith('-depot')).map((vm) => vm.name)).toEqual([expect.stringMatching(/^golden-base-/)])
  expect(volumes.filter((volume) => volume.startsWith('test-iso:'))).toEqual([])
  expect({ temporary, processes }).toEqual({ temporary: [], processes: [] })
}, 240_000)
