/** Puts an image's manifest together: what the build VM has told, and what was put in from here. Pure. */
import { services } from '../images/contract/record.ts'
import type { Manifest } from '../images/manifest.ts'
import type { Rootfs } from '../images/stage.ts'
import type { BuildOutcome } from './explain.ts'
import type { Inputs } from './inputs.ts'

export function manifestOf(
  { image, fingerprint, references }: Pick<Inputs, 'image' | 'fingerprint' | 'references'>,
  { files, languageServers }: Pick<Rootfs, 'files' | 'languageServers'>,
  built: string,
  { packages, sizes }: Pick<BuildOutcome, 'packages' | 'sizes'>,
): Manifest {
  const containers: Manifest['containers'] = Object.fromEntries(
    services.flatMap((service) => {
      const reference = references[service]
      return reference === undefined ? [] : [[service, { reference, bytes: sizes[service] ?? 0 }]]
    }),
  )
  const { os, sha256 } = image.base
  return {
    schema: 1,
    fingerprint,
    built,
    base: { os, sha256 },
    packages,
    packagesBytes: sizes.packages ?? 0,
    containers,
    files,
    ...(languageServers === undefined ? {} : { languageServers }),
  }
}
