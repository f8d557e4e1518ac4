/** `sign`: somebody vouches for an image as it is now, its record and its disk. */
import type { Image } from './catalog.ts'
import { changeRecord, type Changing } from './change-record.ts'
import type { Record } from './record.ts'
import { sealWith, signatureOf } from './signature.ts'
import { diskDifference, diskOf, type Trusting } from './trust.ts'

/**
 * @returns false: it is signed by somebody whom the site trusts, and the disk is the one that was
 * @throws Failure as `sealWith`, `diskOf` and `changeRecord`
 */
export function vouch(options: Changing & Trusting, image: Image): Promise<boolean> {
  const { proxmox, folder } = options
  const seal = sealWith(options)
  const decide = async (now: Image): Promise<Record | undefined> => {
    const disk = await diskOf(proxmox, now)
    const isGood = (await signatureOf(folder, now.record)).is === 'good' && diskDifference(now.record.disk, disk) === undefined
    return isGood ? undefined : seal({ ...now.record, disk })
  }
  return changeRecord(proxmox, image, decide, options)
}
