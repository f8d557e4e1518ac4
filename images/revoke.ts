/** `revoke`: an image is not to be deployed again, nor what is made from it. */
import type { Proxmox } from '../proxmox/client.ts'
import type { Base, Image } from './catalog.ts'
import { changeRecord, type Changing } from './change-record.ts'
import type { Record } from './record.ts'
import { unsigned } from './signature.ts'

export interface Revocation {
  /** A base comes before what was made from it: from then on nobody makes more. */
  readonly templates: readonly (Image | Base)[]
}

/**
 * What is to be revoked with a template. Pure. Of an image that is there more than once, as on two nodes, each; of a base
 * every template of that base image, and all images made from it.
 */
export function planRevocation(target: Image | Base, images: readonly Image[], bases: readonly Base[]): Revocation {
  const { record } = target
  if (record.kind === 'image') return { templates: images.filter((one) => one.record.fingerprint === record.fingerprint) }
  const isOf = (one: Image | Base): boolean => one.record.base.sha256 === record.base.sha256
  return { templates: [...bases.filter(isOf), ...images.filter(isOf)] }
}

export interface RevokedTemplate {
  readonly vmid: number
  readonly name: string
  readonly kind: 'image' | 'base'
  /** `already`: somebody has, and that reason stays. */
  readonly outcome: 'revoked' | 'already'
}

/** Run again after it was stopped, it goes on. @throws Failure as `changeRecord` */
export async function revoke(
  { proxmox, by, ...changing }: Changing & { readonly proxmox: Proxmox; readonly by: string },
  { templates }: Revocation,
  reason: string,
): Promise<RevokedTemplate[]> {
  const decide = async ({ record }: Image | Base): Promise<Record | undefined> => {
    if (record.revoked !== undefined) return undefined
    const revoked = { at: proxmox.now().toISOString(), by, reason }
    // It takes no key, and vouches for nothing: without a signature it is refused all the same.
    return record.kind === 'image' ? { ...unsigned(record), revoked } : { ...record, revoked }
  }
  const done: RevokedTemplate[] = []
  for (const template of templates) {
    const { vmid, name, record } = template
    const changed = await changeRecord(proxmox, template, decide, changing)
    done.push({ vmid, name, kind: record.kind, outcome: changed ? 'revoked' : 'already' })
  }
  return done
}
