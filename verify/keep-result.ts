/** The one place in which an image gets to know how its verification ended. */
import type { Image } from '../images/catalog.ts'
import { joinTags, splitTags, verifiedTag } from '../images/channels.ts'
import type { Proxmox } from '../proxmox/client.ts'
import { vmAt } from '../proxmox/vm.ts'

export interface Verdict {
  readonly passed: boolean
  /** ISO 8601. */
  readonly at: string
  /** USER@COMPUTER */
  readonly by: string
  /** By name what has failed. */
  readonly failed: readonly string[]
}

/** Keeps it with the image, on the Proxmox host. */
export async function keepResult(proxmox: Proxmox, { node, vmid }: Image, { passed }: Verdict): Promise<void> {
  const vm = vmAt(proxmox, node, vmid)
  const { tags, digest } = await vm.config()
  const others = splitTags(tags).filter((tag) => tag !== verifiedTag)
  await vm.change({ tags: joinTags(passed ? [...others, verifiedTag] : others), digest })
}
