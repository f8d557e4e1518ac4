/**
 * The dependency lock file of OpenTofu and Terraform (`.terraform.lock.hcl`), as far as one provider goes. Pure, but for the
 * hash of a package.
 */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'

/** Its name, in a stack's folder as well as in a site's. */
export const lockFileName = '.terraform.lock.hcl'

export interface LockedProvider {
  readonly version: string
  /** `h1:…` of an unpacked package, `zh:…` of a zip file. */
  readonly hashes: readonly string[]
}

/** What a lock file says of a provider. @param address e.g. `registry.opentofu.org/bpg/proxmox` */
export function lockedProvider(text: string, address: string): LockedProvider | undefined {
  const block = blockOf(text, address)
  const version = /^\s*version\s*=\s*"([^"]+)"/m.exec(block ?? '')?.[1]
  if (block === undefined || version === undefined) return undefined
  return { version, hashes: [...block.matchAll(/"((?:h1|zh):[^"]+)"/g)].map(([, hash = '']) => hash) }
}

/** The block as it stands. */
function blockOf(text: string, address: string): string | undefined {
  const lines = text.split(/\r?\n/)
  const begin = lines.findIndex((line) => line.trim() === `provider "${address}" {`)
  const end = lines.findIndex((line, index) => index > begin && line === '}')
  return begin < 0 || end < 0 ? undefined : `${lines.slice(begin, end + 1).join('\n')}\n`
}

/**
 * The file with what is used now, besides what it has of other platforms and other providers; the same text if that is
 * in it already.
 */
export function withLocked(text: string, address: string, { version, hashes }: LockedProvider): string {
  const before = lockedProvider(text, address)
  const known = before?.version === version ? before.hashes : []
  if (before?.version === version && hashes.every((hash) => known.includes(hash))) return text
  const block = renderLock(address, { version, hashes: [...new Set([...known, ...hashes])].sort() })
  const old = blockOf(text, address)
  return old === undefined ? `${text}${text === '' ? '' : '\n'}${block}` : text.replace(old, () => block)
}

/** A lock file for one provider. */
export const renderLock = (address: string, { version, hashes }: LockedProvider): string =>
  `provider "${address}" {\n  version = "${version}"\n  hashes = [\n${hashes.map((hash) => `    "${hash}",\n`).join('')}  ]\n}\n`

/** The `h1:` hash of an unpacked package: golang.org/x/mod/sumdb/dirhash, Hash1. */
export async function packageHash(folder: string): Promise<string> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const names = entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  const lines = await Promise.all(
    names.map(async (name) => {
      const content = await readFile(join(folder, name))
      return `${createHash('sha256').update(content).digest('hex')}  ${name}\n`
    }),
  )
  return `h1:${createHash('sha256').update(lines.join('')).digest('base64')}`
}
