/** A provider as a registry publishes it: the answers of the provider registry protocol, the package, and its signed digests. */
import { dearmor } from '../../core/openpgp.ts'
import type { ArchiveKey } from '../../lab/debian/archive.ts'
import { currentPlatform } from '../../tools/platform.ts'
import { fingerprintOf } from './fingerprint.ts'
import type { Internet } from './internet.ts'
import { sha256, signatureOf, sumsOf } from './signing.ts'
import { zip } from './zip.ts'

const pinned = '0.112.0'

export const providerFile = (version = pinned): string => `terraform-provider-proxmox_${version}_${currentPlatform()}.zip`

export const providerPackage = (program: string | Buffer, version = pinned): Buffer =>
  zip([
    { name: 'LICENSE', content: 'free', deflate: false },
    { name: `terraform-provider-proxmox_v${version}`, content: program, deflate: true },
  ])

export interface Published {
  readonly archive: Buffer
  /** That the registry says has signed. */
  readonly key: ArchiveKey
  /** That has. @default the same */
  readonly by?: ArchiveKey
  /** What the signed list has the digest of. @default the archive */
  readonly listed?: Buffer
  /** The registry knows no key of this provider's. */
  readonly unsigned?: boolean
  readonly version?: string
}

/** For both engines' registries. */
export async function publishProvider(
  net: Internet,
  { archive, key, by = key, listed = archive, unsigned = false, version = pinned }: Published,
) {
  const [os = '', arch = ''] = currentPlatform().split('_')
  const files = `https://github.com/bpg/terraform-provider-proxmox/releases/download/v${version}/`
  const sums = `terraform-provider-proxmox_${version}_SHA256SUMS`
  const list = sumsOf({ [providerFile(version)]: listed })
  await net.put(`${files}${providerFile(version)}`, archive)
  await net.put(`${files}${sums}`, list)
  await net.put(`${files}${sums}.sig`, await signatureOf(by, list))
  const keys = unsigned ? [] : [{ key_id: fingerprintOf(dearmor(key.publicKey)!).slice(-16), ascii_armor: key.publicKey }]
  for (const host of ['registry.opentofu.org', 'registry.terraform.io']) {
    const put = (path: string, answer: unknown): Promise<void> => net.put(`https://${host}${path}`, JSON.stringify(answer))
    await put('/.well-known/terraform.json', { 'providers.v1': '/v1/providers/' })
    await put('/v1/providers/bpg/proxmox/versions', { versions: [{ version, protocols: ['6.0'], platforms: [{ os, arch }] }] })
    await put(`/v1/providers/bpg/proxmox/${version}/download/${os}/${arch}`, {
      protocols: ['6.0'],
      os,
      arch,
      filename: providerFile(version),
      download_url: `${files}${providerFile(version)}`,
      shasums_url: `${files}${sums}`,
      shasums_signature_url: `${files}${sums}.sig`,
      shasum: sha256(archive),
      signing_keys: { gpg_public_keys: keys },
    })
  }
}
