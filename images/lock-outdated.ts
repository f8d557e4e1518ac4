/** Whether a lock still is of this site and this version of the project. Pure. */
import { Failure } from '../core/failure.ts'
import { sameArchives, sameNames } from './archive/packages.ts'
import type { Archive } from './archive/archives.ts'
import type { KnownBase } from './base-image.ts'
import type { Lock } from './lock.ts'

export interface LockGround {
  readonly base: KnownBase
  readonly archives: readonly Archive[]
  /** What is installed on this base (images/packages.json). */
  readonly asked: readonly string[]
  readonly languageServers: Readonly<Record<string, string>>
  /** The site's certificate is an ACME server's. @default it is not */
  readonly acme?: boolean
}

/** What is otherwise by now. A part that the lock does not have (one of an earlier version) is not compared. */
export function outdated(lock: Lock, { base, archives, asked, languageServers, acme }: LockGround): string[] {
  const found: string[] = []
  if (acme === true && lock.services.lego === undefined)
    found.push("public.certificate in site.ts is an ACME server's, and there is no image of lego, which asks it")
  if (lock.base !== undefined && (lock.base.os !== base.os || lock.base.sha256 !== base.sha256))
    found.push(
      `site.ts has another base image (${base.os} ${base.sha256.slice(0, 12)}…, not ${lock.base.os} ${lock.base.sha256.slice(0, 12)}…)`,
    )
  if (lock.packages !== undefined && !sameArchives(lock.packages.archives, archives)) found.push('site.ts has other image.archives')
  if (lock.packages !== undefined && !sameNames(lock.packages.asked, asked)) {
    const [more, less] = [
      asked.filter((name) => !lock.packages?.asked.includes(name)),
      lock.packages.asked.filter((name) => !asked.includes(name)),
    ]
    found.push(
      `this version of the project installs other packages (${[...more.map((name) => `+${name}`), ...less.map((name) => `-${name}`)].join(' ')})`,
    )
  }
  for (const [name, version] of Object.entries(lock.languageServers ?? {}))
    if (languageServers[name] !== version)
      found.push(`this version of the project brings ${name} ${languageServers[name] ?? 'no more'}, not ${version}`)
  return found
}

/** @throws Failure `lock-outdated` */
export function requireCurrent(lock: Lock, ground: LockGround): void {
  const found = outdated(lock, ground)
  if (found.length > 0)
    throw new Failure(
      'lock-outdated',
      `images.lock.json is not of this site and project any more: ${found.join('; ')}`,
      'Run "npx golden lock", then the same command again.',
    )
}
