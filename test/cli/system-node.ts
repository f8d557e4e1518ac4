import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

/** A Node of the system's that is older than the pinned one, as Debian and Ubuntu have it; undefined: there is none. */
export const systemNode: { readonly folder: string; readonly major: number } | undefined = (() => {
  for (const folder of ['/usr/local/bin', '/usr/bin']) {
    const file = join(folder, 'node')
    if (!existsSync(file)) continue
    const major = Number(/^v(\d+)/.exec(execFileSync(file, ['--version'], { encoding: 'utf8' }))?.[1])
    if (major >= 20 && major < 24) return { folder, major }
  }
  return undefined
})()
