/** Whether an image is what somebody whom the site trusts has signed: its record, and as far as Proxmox tells, its disk. */
import { Failure } from '../core/failure.ts'
import type { Proxmox } from '../proxmox/client.ts'
import { isDenied } from '../proxmox/conditions.ts'
import { storageAt, storageOfVolume } from '../proxmox/storage.ts'
import type { Image } from './catalog.ts'
import type { TemplateRecord } from './record.ts'
import { allowedSigners, signatureOf, type Keys, type SignatureState } from './signature.ts'

export type DiskFacts = NonNullable<TemplateRecord['disk']>

export interface Trusting extends Keys {
  readonly proxmox: Proxmox
}

/**
 * What Proxmox tells of a template's disk.
 * @throws Failure `image-disk-differs` where its storage does not have it, `permission-denied` where only the token is not told
 */
export async function diskOf(
  proxmox: Proxmox,
  { vmid, node, name, volume }: Pick<Image, 'vmid' | 'node' | 'name' | 'volume'>,
): Promise<DiskFacts> {
  const storage = storageAt(proxmox, node, storageOfVolume(volume ?? ''))
  const found = volume === undefined ? undefined : (await storage.disks(vmid)).find(({ volid }) => volid === volume)
  // A list leaves out what one may not see; asked for by its name, Proxmox says which privilege is missing.
  if (volume !== undefined && found === undefined)
    await storage.volume(volume).catch((error: unknown) => {
      if (isDenied(error)) throw error
    })
  if (volume === undefined || found?.size === undefined)
    throw new Failure(
      'image-disk-differs',
      `the disk of image ${name} (${vmid})${volume === undefined ? '' : `, ${volume},`} is not on its storage`,
      'Restore the template from a backup, or bake again.',
    )
  return { volume, bytes: found.size, ...(found.ctime === undefined ? {} : { made: found.ctime }) }
}

/** How a disk is not the one that was recorded, in words; undefined: nothing tells so. Pure. */
export function diskDifference(recorded: DiskFacts | undefined, now: DiskFacts): string | undefined {
  if (recorded === undefined) return 'its record names none'
  if (recorded.volume !== now.volume) return `it is ${now.volume}, recorded is ${recorded.volume}`
  if (recorded.bytes !== now.bytes) return `it has ${now.bytes} bytes, recorded are ${recorded.bytes}`
  // Not every storage tells.
  if (recorded.made !== undefined && now.made !== undefined && recorded.made !== now.made)
    return `it was made, or last changed, at ${timeOf(now.made)}, recorded is ${timeOf(recorded.made)}`
  return undefined
}

const timeOf = (seconds: number): string => new Date(seconds * 1000).toISOString()

const doubt = 'If you know why and vouch for it'

/** Pure. */
export function refusalOf({ name, vmid, record }: Image, state: Exclude<SignatureState, { readonly is: 'good' }>): Failure {
  const what = `image ${name} (${vmid})`
  const sign = `"npx golden sign ${name}"`
  switch (state.is) {
    case 'none':
      return new Failure(
        'image-unsigned',
        `${what} is not signed${record.disk === undefined ? ': it was baked by a version, or for a site, that does not sign' : ''}`,
        `Bake another one; or, if you vouch for it, ${sign}. image.signed: false in site.ts asks for no signatures.`,
      )
    case 'altered':
      return new Failure(
        'image-altered',
        `the record of ${what} is not as it was signed: somebody has changed it since, in whatever way but by golden`,
        `See in Proxmox's task log who has changed it, and take another image. ${doubt}, ${sign}.`,
      )
    case 'unknown-signer':
      return new Failure(
        'image-signer-unknown',
        `${what} is signed with key ${state.key}, whose signatures do not count here`,
        `If that key is trusted, add it to ${allowedSigners} in the site folder ("npx golden init" shows the form with your own); else bake another image.`,
      )
  }
}

/**
 * Before an image is used.
 * @returns who has signed it, as `allowed-signers` calls them; null: the site asks for no signatures
 * @throws Failure `image-unsigned`, `image-altered`, `image-signer-unknown`, `image-disk-differs`, `ssh-keygen-missing`, `signing-failed`
 */
export async function requireTrusted({ site, folder, proxmox }: Trusting, image: Image): Promise<string | null> {
  if (!site.image.signed) return null
  const state = await signatureOf(folder, image.record)
  if (state.is !== 'good') throw refusalOf(image, state)
  const difference = diskDifference(image.record.disk, await diskOf(proxmox, image))
  if (difference === undefined) return state.by
  throw new Failure(
    'image-disk-differs',
    `the disk of image ${image.name} (${image.vmid}) is not the one that was signed: ${difference}`,
    `See in Proxmox's task log what became of it: a disk that was moved or restored is another one. ${doubt}, "npx golden sign ${image.name}"; else take another image.`,
  )
}
