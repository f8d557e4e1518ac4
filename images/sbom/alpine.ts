/** What apk knows to be installed: letters with values, an empty line between packages. Pure. */
import type { FoundFiles } from './inventory.ts'
import type { Package } from './packages.ts'

export function alpinePackages(files: FoundFiles): Package[] {
  const text = files.get('lib/apk/db/installed') ?? files.get('usr/lib/apk/db/installed') ?? ''
  return text.split('\n\n').flatMap((entry): Package[] => {
    const field = (letter: string): string | undefined => new RegExp(`^${letter}:(.+)$`, 'm').exec(entry)?.[1]?.trim()
    const [name, version, architecture, origin, licence] = ['P', 'V', 'A', 'o', 'L'].map(field)
    if (name === undefined || version === undefined) return []
    return [
      {
        type: 'apk',
        name,
        version,
        licences: licence === undefined ? [] : [licence],
        ...(architecture === undefined ? {} : { architecture }),
        ...(origin === undefined || origin === name ? {} : { source: { name: origin, version } }),
      },
    ]
  })
}
