/** `refuse`: an image of which a rollout was taken back is not tried again by itself; people may. */
import type { Image } from './catalog.ts'
import { changeRecord } from './change-record.ts'
import type { Promoting } from './promote.ts'
import { asReason, type TemplateRecord } from './record.ts'
import { sealWith, signatureOf } from './signature.ts'

/**
 * The first reason stays. A record that was not to be trusted before is not signed for it.
 * @returns whether it was not marked already. @throws Failure as `sealWith` and `changeRecord`
 */
export function refuse(options: Promoting, image: Image, reason: string): Promise<boolean> {
  const { proxmox, site, folder, by } = options
  const seal = sealWith(options)
  const decide = async ({ record }: Image): Promise<TemplateRecord | undefined> => {
    if (record.refused !== undefined) return undefined
    const marked: TemplateRecord = { ...record, refused: { at: proxmox.now().toISOString(), by, reason: asReason(reason) } }
    return !site.image.signed || (await signatureOf(folder, record)).is === 'good' ? seal(marked) : marked
  }
  return changeRecord(proxmox, image, decide, options)
}
