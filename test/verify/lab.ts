/** What tests of verifications share: a lab with an image, and what is left there afterwards. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { Patience } from '../../verify/course.ts'
import type { VerifyOptions } from '../../verify/verify.ts'
import { startRolloutLab, type RolloutLab } from '../rollout/lab.ts'
import { watched } from '../set-up.ts'

export const imageVmid = 9001

/** Fake guests are quick, and what fails here is waited for in vain. */
const patience: Patience = { bootMs: 3000, healthMs: 6000, logsMs: 1000, rebootSeconds: 4, shutdownSeconds: 4, pauseMs: 50 }

export interface VerifyLab extends RolloutLab {
  verification(change?: Partial<VerifyOptions>): VerifyOptions
  /** With a look at every text that is shown, before it is. */
  watching(look: (text: string) => void): Partial<VerifyOptions>
  tagsOfImage(): Promise<string>
  /** VMs with VMIDs of templates, but the image, and files of the ISO storage. */
  remains(): Promise<string[]>
  expectNothingLeft(): Promise<void>
}

export async function startVerifyLab(layout: 'one-vm' | 'two-vms'): Promise<VerifyLab> {
  const t = await startRolloutLab({}, layout)
  const { node, storage } = t.site.proxmox
  await t.addImage(imageVmid, undefined, undefined, undefined, false)
  const { progress } = t.options()
  const remains = async (): Promise<string[]> => {
    const vms = await t.root.get<{ vmid: number }[]>('/cluster/resources', { type: 'vm' })
    const files = await t.root.get<{ volid: string }[]>(`/nodes/${node}/storage/${storage.iso}/content`, { content: 'iso' })
    const clones = vms.filter(({ vmid }) => vmid >= 9000 && vmid <= 9009 && vmid !== imageVmid)
    return [...clones.map(({ vmid }) => String(vmid)), ...files.map(({ volid }) => volid)]
  }
  return {
    ...t,
    remains,
    verification: (change = {}) => ({
      site: t.site,
      folder: t.folder,
      proxmox: t.proxmox,
      progress,
      signal: new AbortController().signal,
      patience,
      ...change,
    }),
    watching: (look) => ({ progress: watched(progress, look) }),
    tagsOfImage: async () => (await t.root.get<{ tags: string }>(`/nodes/${node}/qemu/${imageVmid}/config`)).tags,
    async expectNothingLeft() {
      expect(await remains()).toEqual([])
      expect(existsSync(join(t.folder, 'state', 'bake.json'))).toBe(false)
    },
  }
}
