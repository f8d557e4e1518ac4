/** A rollout lab with one VM for both roles, and what tests of broken and mended deployments ask of it. */
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'vitest'
import { claimSite } from '../../rollout/claim.ts'
import { openEngine, type Engine } from '../../rollout/engine.ts'
import { diskPlace, observeGroup, placesOf, type DiskPlace } from '../../rollout/observe.ts'
import type { DeployOptions } from '../../rollout/options.ts'
import { readPins } from '../../releases/pins.ts'
import { toolEnvironment } from '../../tools/index.ts'
import { watched } from '../set-up.ts'
import { startRolloutLab, type RolloutLab } from './lab.ts'

export interface OneVm extends RolloutLab {
  /** Stops as soon as something is shown that looks like this. */
  stopAt(pattern: RegExp, work: (options: DeployOptions) => Promise<unknown>): Promise<void>
  /** What a deployment makes, the data disk aside. */
  made(): Promise<unknown>
  /** Where the data disk is. */
  place(): Promise<DiskPlace>
  /** Does something with the engine itself, as people may. */
  withEngine<T>(work: (engine: Engine) => Promise<T>, change?: Partial<DeployOptions>): Promise<T>
  /** As an administrator may: the data goes home, if the slot has it, the VM away. */
  removeSlot(): Promise<void>
}

/** `made` when nothing is. */
export const nothing = { vms: [9001, 9010], seeds: [], releases: {}, state: [] }

export async function startOneVm(): Promise<OneVm> {
  const t = await startRolloutLab(await toolEnvironment(), 'one-vm')
  await t.addImage(9001)
  const place = async (): Promise<DiskPlace> => diskPlace(await observeGroup(t.proxmox, placesOf(t.site, 'all', undefined)))
  return {
    ...t,
    async stopAt(pattern, work) {
      const abort = new AbortController()
      const progress = watched(t.options().progress, (text) => {
        if (pattern.test(text)) abort.abort(new Error('stopped by the test'))
      })
      await expect(work(t.options({ progress, signal: abort.signal }))).rejects.toThrow()
      expect(abort.signal.aborted).toBe(true)
    },
    async made() {
      const { node, storage } = t.site.proxmox
      const vms = (await t.root.get<{ vmid: number }[]>('/cluster/resources', { type: 'vm' })).map((one) => one.vmid).sort()
      return {
        vms,
        seeds: await t.proxmox.get(`/nodes/${node}/storage/${storage.iso}/content`, { content: 'iso' }),
        releases: (await readPins(t.folder)).groups.all?.slots ?? {},
        state: (await readdir(join(t.folder, 'state'))).filter((name) => name === 'deploy.json'),
      }
    },
    place,
    withEngine: (work, change = {}) => claimSite(t.options(), 'test', (claim) => work(openEngine({ ...t.options(change), claim }))),
    async removeSlot() {
      const data = await place()
      await t.root.task(await t.root.post<string>('/nodes/pve/qemu/9011/status/stop'))
      if (data.at === 'blue')
        await t.root.task(
          await t.root.post<string>('/nodes/pve/qemu/9011/move_disk', { disk: data.disk.key, 'target-vmid': 9010, 'target-disk': 'scsi1' }),
        )
      await t.root.put('/nodes/pve/qemu/9011/config', { protection: 0 })
      await t.root.task(await t.root.del<string>('/nodes/pve/qemu/9011'))
    },
  }
}

/** Plans that lie about: they name every setting of a VM. */
export const planFiles = async (t: RolloutLab): Promise<string[]> =>
  (await readdir(t.folder, { recursive: true })).filter((name) => name.endsWith('.tfplan'))

export async function writeSite(t: RolloutLab, site: unknown): Promise<void> {
  await writeFile(join(t.folder, 'site.ts'), `export default ${JSON.stringify(site)}\n`)
}
