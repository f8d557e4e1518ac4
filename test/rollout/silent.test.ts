/** Slots whose guest does not come up: they get no data, and one reset. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { activate } from '../../rollout/activate.ts'
import { placesOf, type GroupPlaces } from '../../rollout/observe.ts'
import { watched } from '../set-up.ts'
import { startOneVm, type OneVm } from './one-vm.ts'
import { slotSeed } from './slot-seed.ts'

const release = 'ffffffffffff'
let t: OneVm
let places: GroupPlaces
let dataDisk: 'new' | 'made' | undefined

beforeAll(async () => {
  t = await startOneVm()
  places = placesOf(t.site, 'all', undefined)
})
afterAll(() => t?.close())

/** As the engine leaves it: a clone that runs, with its seed. */
beforeEach(async () => {
  const { node, pool, storage } = t.site.proxmox
  const { vmid, name } = places.slots.blue
  await t.proxmox.upload({ node, storage: storage.iso, content: 'iso', filename: 'seed.iso', data: slotSeed(release) })
  await t.proxmox.task(await t.proxmox.post<string>(`/nodes/${node}/qemu/9001/clone`, { newid: vmid, name, pool, full: false }))
  await t.proxmox.put(`/nodes/${node}/qemu/${vmid}/config`, { scsi13: `${storage.iso}:iso/seed.iso,media=cdrom` })
  await t.proxmox.task(await t.proxmox.post<string>(`/nodes/${node}/qemu/${vmid}/status/start`))
  t.world.hung.add(name)
  return async () => {
    await t.removeSlot()
    t.world.hung.clear()
    t.world.mute.clear()
    t.shown.length = 0
  }
})

/** @param patience is lost at this many notes that the guest is waited for */
function activateBlue(wanted = release, patience = Infinity): Promise<void> {
  const abort = new AbortController()
  let waited = 0
  return activate(
    {
      proxmox: t.proxmox,
      places,
      pauseMs: 1,
      resetAfterMs: 1,
      signal: abort.signal,
      progress: watched(t.options().progress, (text) => {
        if (text.startsWith('wait for the guest:') && ++waited === patience) abort.abort(new Error('seen enough'))
      }),
      readDataDisk: async () => dataDisk,
      writeDataDisk: async (state) => {
        dataDisk = state
      },
    },
    'blue',
    wanted,
    5000,
  )
}

const warnings = (): string[] => t.shown.filter((line) => line.startsWith('warning'))

it('a VM that hangs while it boots is reset once, before it has data, and then takes over', async () => {
  await activateBlue()
  expect(warnings()).toEqual([
    `warning: VM ${places.slots.blue.vmid} does not answer since it was started: resetting it, once; it has no data yet`,
  ])
  expect(await t.place()).toMatchObject({ at: 'blue' })
})

it('one that goes on being silent gets no data', async () => {
  t.world.mute.add(places.slots.blue.name)
  await expect(activateBlue(release, 3)).rejects.toMatchObject({ name: 'AbortError' })
  expect(warnings()).toHaveLength(1)
  expect(await t.place()).toMatchObject({ at: 'depot' })
})

it('nor does one of another release', async () => {
  t.world.hung.clear()
  await expect(activateBlue('eeeeeeeeeeee')).rejects.toMatchObject({ code: 'other-release' })
  expect(await t.place()).toMatchObject({ at: 'depot' })
  expect(warnings()).toEqual([])
})

it('a VM that has the data is not reset', async () => {
  t.world.hung.clear()
  await activateBlue()
  t.world.hung.add(places.slots.blue.name)
  await expect(activateBlue(release, 1)).rejects.toMatchObject({ name: 'AbortError' })
  expect(warnings()).toEqual([])
})
