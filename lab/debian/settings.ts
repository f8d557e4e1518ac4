/** What every Debian root of the lab is made of: release, mirror, date. */
import { homedir } from 'node:os'
import { join } from 'node:path'

export const SUITE = 'trixie'

/**
 * Part of every cache key, and the newest time that a file in an image may carry. The mirror moves on by itself;
 * what is cached is kept until this date is moved. Moving it is how the lab gets newer packages.
 */
export const STAMP = '2026-11-20'

/** STAMP in seconds since 1970, for SOURCE_DATE_EPOCH (reproducible-builds.org/specs/source-date-epoch). */
export const EPOCH = Date.parse(`${STAMP}T00:00:00Z`) / 1000

export interface BuildOptions {
  /** Where results are kept; without it `${XDG_CACHE_HOME:-~/.cache}/serena-golden`. */
  readonly cacheDir?: string | undefined
  /** Gets a line for each step. */
  readonly log: (line: string) => void
  /** A Debian mirror, http or https, without the suite. Without it GOLDEN_DEBIAN_MIRROR, else Debian's own. */
  readonly mirror?: string | undefined
  /** Stops a build; it then rejects and leaves nothing. */
  readonly signal?: AbortSignal | undefined
}

/** A relative XDG_CACHE_HOME is ignored, as the XDG base directory specification says. */
export function defaultCacheDir(environment: NodeJS.ProcessEnv = process.env): string {
  const base = environment.XDG_CACHE_HOME
  return join(base?.startsWith('/') ? base : join(environment.HOME || homedir(), '.cache'), 'serena-golden')
}

export interface Mirror {
  readonly main: string
  readonly security: string
}

/**
 * Security updates have a tree of their own beside the main one: `…/debian-security` where the mirror's path ends
 * in `/debian`, else GOLDEN_DEBIAN_SECURITY_MIRROR, else Debian's own.
 */
export function mirrorOf(mirror: string | undefined, environment: NodeJS.ProcessEnv = process.env): Mirror {
  const main = (mirror ?? environment.GOLDEN_DEBIAN_MIRROR ?? 'http://deb.debian.org/debian').replace(/\/+$/, '')
  const security =
    environment.GOLDEN_DEBIAN_SECURITY_MIRROR ?? (main.endsWith('/debian') ? `${main}-security` : 'http://deb.debian.org/debian-security')
  return { main, security: security.replace(/\/+$/, '') }
}
