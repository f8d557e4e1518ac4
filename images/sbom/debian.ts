/** What dpkg knows to be installed (dpkg-query(1) reads the same file), with licences as Debian's copyright files have them. Pure. */
import type { FoundFiles } from './inventory.ts'
import { debianLicences } from './licences.ts'
import type { Package } from './packages.ts'

/** Images without dpkg itself ("distroless") have a file for each package. */
const isStatus = (path: string): boolean => path === 'var/lib/dpkg/status' || /^var\/lib\/dpkg\/status\.d\/[^/]+$/.test(path)

export function debianPackages(files: FoundFiles): Package[] {
  return [...files]
    .filter(([path]) => isStatus(path) && !path.endsWith('.md5sums'))
    .flatMap(([path, text]) => text.split(/\n\s*\n/).flatMap((entry) => packageOf(entry, path, files)))
}

function packageOf(entry: string, path: string, files: FoundFiles): Package[] {
  const field = (name: string): string | undefined => new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*$`, 'm').exec(entry)?.[1]
  const [name, version] = [field('Package'), field('Version')]
  if (name === undefined || version === undefined) return []
  if (path.endsWith('/status') && !/ installed$/.test(field('Status') ?? '')) return []
  // `NAME`, `NAME (VERSION)`, or nothing where both are the package's own.
  const [, sourceName = name, sourceVersion = version] = /^(\S+)(?: \((.+)\))?$/.exec(field('Source') ?? '') ?? []
  const architecture = field('Architecture')
  return [
    {
      type: 'deb',
      name,
      version,
      licences: debianLicences(files.get(`usr/share/doc/${name}/copyright`) ?? ''),
      ...(architecture === undefined ? {} : { architecture }),
      ...(sourceName === name && sourceVersion === version ? {} : { source: { name: sourceName, version: sourceVersion } }),
    },
  ]
}
