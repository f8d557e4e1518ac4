/** Puts an image's manifest together: what provision/manifest.sh has found in the build VM, and what was put in from here. */
import { services } from '../images/contract/record.ts'
import type { Manifest } from '../images/manifest.ts'
import type { Rootfs } from '../images/stage.ts'
import type { Inputs } from './inputs.ts'

/** What the build VM has told. */
export interface FoundInGuest {
  readonly packages: Readonly<Record<string, string>>
  readonly packagesKiB: number
  /** What each container image takes, by service. */
  readonly containers: Readonly<Record<string, number>>
}

/** @throws Error (a bug, of the script or of this) for a line that it does not know */
export function parseFound(text: string): FoundInGuest {
  const packages: Record<string, string> = {}
  const containers: Record<string, number> = {}
  let packagesKiB = 0
  for (const line of text.split('\n').filter((one) => one !== '')) {
    const [kind, ...fields] = line.split('\t')
    if (kind === 'package' && fields.length === 4) {
      const [state = '', name = '', version = '', kib = ''] = fields
      // Of one that was removed dpkg may keep the settings.
      if (state[1] !== 'i') continue
      packages[name] = version
      // Some packages say nothing of their size.
      packagesKiB += Number(kib) || 0
    } else if (kind === 'container' && fields.length === 2 && /^\d+$/.test(fields[1] ?? '')) containers[fields[0] ?? ''] = Number(fields[1])
    else throw new Error(`no line of a manifest: ${JSON.stringify(line)}`)
  }
  return { packages, packagesKiB, containers }
}

export function manifestOf(
  { image, fingerprint, references }: Pick<Inputs, 'image' | 'fingerprint' | 'references'>,
  { files, languageServers }: Pick<Rootfs, 'files' | 'languageServers'>,
  built: string,
  found: FoundInGuest,
): Manifest {
  const containers: Manifest['containers'] = Object.fromEntries(
    services.flatMap((service) => {
      const reference = references[service]
      return reference === undefined ? [] : [[service, { reference, bytes: found.containers[service] ?? 0 }]]
    }),
  )
  const { os, sha256 } = image.base
  return {
    schema: 1,
    fingerprint,
    built,
    base: { os, sha256 },
    packages: found.packages,
    packagesKiB: found.packagesKiB,
    containers,
    files,
    ...(languageServers === undefined ? {} : { languageServers }),
  }
}
