/** What Packer leaves in a template's configuration and no clone should inherit, and the template's tags. */
import { newImageTags, splitTags } from '../images/channels.ts'
import { finished, parseRecord, renderRecord, type TemplateRecord } from '../images/record.ts'
import type { Proxmox } from '../proxmox/client.ts'
import { doomedTag } from '../proxmox/doomed.ts'
import { vmAt, type VmConfig } from '../proxmox/vm.ts'
import { Failure, isLost } from '../core/failure.ts'

/** Keys to delete: cloud-init's settings, CD drives, detached disks. Pure. */
export function leftoverKeys(config: VmConfig): string[] {
  return Object.entries(config)
    .filter(
      ([key, value]) =>
        /^(ciuser|cipassword|citype|cicustom|ciupgrade|sshkeys|nameserver|searchdomain|ipconfig\d+|unused\d+)$/.test(key) ||
        (/^(ide|sata|scsi)\d+$/.test(key) && /(^|,)media=cdrom\b/.test(String(value))),
    )
    .map(([key]) => key)
    .sort()
}

/** What is to be in the record that is known by now only. */
type Complete = (record: TemplateRecord, config: VmConfig) => Promise<TemplateRecord>

/** The last step of a bake: from here on the template is an image. @throws ProxmoxError when somebody changes it meanwhile */
export async function tidyTemplate(proxmox: Proxmox, node: string, vmid: number, complete: Complete): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await tidy(proxmox, node, vmid, complete)
    } catch (error) {
      // It begins with a look, and what is done already is not done again.
      if (!isLost(error) || tries === 3) throw error
    }
  }
}

async function tidy(proxmox: Proxmox, node: string, vmid: number, complete: Complete): Promise<void> {
  const vm = vmAt(proxmox, node, vmid)
  const config = await vm.config()
  const keys = leftoverKeys(config)
  const parsed = parseRecord(config.description)
  // Two requests: the tags, and a record without `unfinished`, say that all before them is done. Both rest on what was
  // looked at: a run elsewhere that takes the template for a leftover marks it before it deletes it (host.ts).
  if (keys.length > 0) await vm.change({ delete: keys.join(','), digest: config.digest })
  const { digest, tags } = keys.length > 0 ? await vm.config() : config
  if (splitTags(tags).includes(doomedTag))
    throw new Failure('image-doomed', `template ${vmid} is being removed by a bake that runs elsewhere`, 'Run "npx golden bake" again.')
  const record = parsed.ok && parsed.record.kind === 'image' ? await complete(finished(parsed.record), config) : undefined
  await vm.change({ tags: newImageTags, ...(record === undefined ? {} : { description: renderRecord(record) }), digest })
}
