/** The fingerprint: one hash of all that goes into an image. The same fingerprint: nothing to bake. */
import { canonical, sha256 } from '../core/canonical.ts'

export interface ImageInputs {
  readonly base: { readonly os: string; readonly sha256: string }
  /** Size of the root disk. */
  readonly diskGiB: number
  /** SHA-256 of the staged files (images/rootfs, the guest's programs, language servers), by name. */
  readonly staged: Readonly<Record<string, string>>
  /** Digest of the container images (images/lock.ts). */
  readonly lock: string
  readonly packages: readonly string[]
  /** Units that are masked and units that are enabled. */
  readonly masked: readonly string[]
  readonly enabled: readonly string[]
  /** Text of each provisioner script and of the Packer template, by file name. */
  readonly sources: Readonly<Record<string, string>>
}

/** SHA-256 in hexadecimal. The order of packages, units and keys does not matter. */
export function fingerprint(inputs: ImageInputs): string {
  const hashed = Object.fromEntries(Object.entries(inputs.sources).map(([name, text]) => [name, sha256(text)]))
  return sha256(
    canonical({
      schema: 1,
      base: { os: inputs.base.os, sha256: inputs.base.sha256 },
      diskGiB: inputs.diskGiB,
      staged: { ...inputs.staged },
      lock: inputs.lock,
      packages: [...inputs.packages].sort(),
      masked: [...inputs.masked].sort(),
      enabled: [...inputs.enabled].sort(),
      sources: hashed,
    }),
  )
}

/** How a fingerprint looks in names. */
export const short = (full: string): string => full.slice(0, 12)
