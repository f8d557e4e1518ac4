/** A Proxmox with one template, which takes a change only for the configuration that it has. */
import { expect } from 'vitest'
import { renderRecord, type TemplateRecord } from '../../images/record.ts'
import { ProxmoxError, type Proxmox } from '../../proxmox/client.ts'
import type { VmConfig } from '../../proxmox/vm.ts'

type Disk = NonNullable<TemplateRecord['disk']>

export interface OneTemplate {
  readonly proxmox: Proxmox
  config: VmConfig
  /** How often it was changed through the API. */
  readonly writes: number
  /** What others do between a look and a change, one a change. */
  readonly meanwhile: (() => void)[]
  /** Its notes become this record. */
  say(record: TemplateRecord): void
  /** Its disk becomes this one; undefined: its storage has it not. */
  put(disk: Disk | undefined): void
}

export const now = '2026-11-25T01:00:00.000Z'

export function oneTemplate(vmid: number, record: TemplateRecord, disk?: Disk, notes = ''): OneTemplate {
  let stored = disk
  let writes = 0
  const made: OneTemplate = {
    config: {
      name: 'golden-home-0',
      template: 1,
      tags: 'golden;golden-candidate;mine',
      description: `${notes}${renderRecord(record)}`,
      digest: '0',
      ...(disk === undefined ? {} : { scsi0: `${disk.volume},discard=on` }),
    },
    get writes() {
      return writes
    },
    meanwhile: [],
    say(another) {
      made.config = { ...made.config, description: renderRecord(another) }
    },
    put(another) {
      stored = another
      if (another !== undefined) made.config = { ...made.config, scsi0: `${another.volume},discard=on` }
    },
    proxmox: {
      now: () => new Date(now),
      get: async (path: string) => {
        if (path.endsWith(`/qemu/${vmid}/config`)) return { ...made.config }
        expect(path).toMatch(/^\/nodes\/pve\/storage\/local-lvm\/content$/)
        return stored === undefined ? [] : [{ volid: stored.volume, size: stored.bytes, ctime: stored.made }]
      },
      put: async (path: string, { digest, ...settings }: VmConfig) => {
        expect(path).toBe(`/nodes/pve/qemu/${vmid}/config`)
        made.meanwhile.shift()?.()
        if (digest !== made.config.digest)
          throw new ProxmoxError('proxmox-refused', 'detected modified configuration - file changed by other user? Try again.', '', {
            status: 500,
            method: 'PUT',
            path,
          })
        writes += 1
        made.config = { ...made.config, ...settings, digest: String(writes) }
      },
    } as unknown as Proxmox,
  }
  return made
}
