/** `golden lock`: finds out what goes into the image by now, all of it side by side, and writes it if anything is new. */
import { readFile } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { Failure } from '../core/failure.ts'
import { plainText } from '../core/plain-text.ts'
import type { Progress } from '../core/progress.ts'
import { acmeOf, type Site } from '../settings/site.ts'
import { archivesOf } from './archive/archives.ts'
import { openFetcher, type Fetcher } from './archive/fetch.ts'
import { keeperIn } from './archive/kept.ts'
import { resolvePackages, type NewerPackage } from './archive/packages.ts'
import { readArchives } from './archive/read.ts'
import { baseOf, isPinned, newestBase } from './base-image.ts'
import { services, type Service } from './contract/record.ts'
import { languageServerVersions } from './language-servers/stage.ts'
import { lockChanges, type LockChange } from './lock-changes.ts'
import { defaultImages, findLock, renderLock, writeLock, type Lock, type LockedBase, type LockEntry } from './lock.ts'
import { askedOf, readPackages } from './packages.ts'
import { resolveDigest, resolvePlatform } from './registry.ts'

export interface LockOptions {
  /** As site.ts has it, without what an earlier lock says. */
  readonly site: Site
  readonly folder: string
  /** Where what was fetched is kept, e.g. `~/.cache/serena-golden`. */
  readonly cacheDir: string
  /** What bakes and deploys, by name and version: for people. */
  readonly tools: Readonly<Record<string, string>>
  readonly progress: Progress
  readonly signal?: AbortSignal
  /** Take the distribution's newest build as base, if site.ts pins none. @default the locked one */
  readonly newBase?: boolean
  /** Let the next bake say anew which packages there are. */
  readonly again?: boolean
  /** Say what would be new, and write nothing. */
  readonly check?: boolean
  /** @default asks the registry */
  readonly registry?: { readonly resolveDigest: typeof resolveDigest; readonly resolvePlatform: typeof resolvePlatform }
  /** @default now */
  readonly now?: Date
}

export interface LockUpdate {
  readonly lock: Lock
  readonly changes: readonly LockChange[]
  /** Whether the file is, or with `check` would be, another one. */
  readonly different: boolean
  /** What the archives have in newer versions that their snapshot service does not have yet. */
  readonly notYet: readonly NewerPackage[]
}

/**
 * Writes `images.lock.json` if anything in it is new. Nothing is written when anything fails.
 * @throws Failure `lock-invalid`; those of registry.ts, base-image.ts, archive/read.ts and archive/packages.ts
 */
export async function updateLock(options: LockOptions): Promise<LockUpdate> {
  const { folder, progress, signal } = options
  const before = await findLock(folder)
  const fetcher = openFetcher({ keeper: keeperIn(join(options.cacheDir, 'archives', 'releases')), signal })
  try {
    const { lock, notYet } = await progress.step('look up images, packages and the base', async (note) =>
      resolveAll(options, before, fetcher, note),
    )
    const changes = lockChanges(before, lock)
    const different = before === undefined || renderLock(lock) !== renderLock(before)
    if (different && options.check !== true) await writeLock(folder, lock)
    return { lock, changes, different, notYet }
  } finally {
    await fetcher.close()
  }
}

async function resolveAll(
  options: LockOptions,
  before: Lock | undefined,
  fetcher: Fetcher,
  note: (text: string) => void,
): Promise<{ lock: Lock; notYet: readonly NewerPackage[] }> {
  const { site, folder, now = new Date() } = options
  const keeper = keeperIn(join(options.cacheDir, 'archives', 'indexes'))
  const [archives, own, languageServers] = await Promise.all([archivesOf(site, folder), readPackages(), languageServerVersions()])
  const base = resolveBase(options, before?.base, fetcher, note)
  const [found, { packages, notYet }, locked] = await Promise.all([
    resolveServices(options, before),
    resolvePackages({
      before: before?.packages,
      otherBase: base.then(({ sha256 }) => before?.base !== undefined && before.base.sha256 !== sha256),
      again: options.again === true,
      asked: askedOf(own, site.image.base.os),
      archives,
      read: (at) => readArchives({ archives, fetcher, keeper, now, ...(at === undefined ? {} : { at }) }),
      now,
    }),
    base,
  ])
  const lock: Lock = {
    schema: 2,
    base: locked,
    packages,
    services: found,
    languageServers: { ...languageServers },
    tools: { ...options.tools },
  }
  return { lock, notYet }
}

async function resolveBase(
  { site, newBase = false }: LockOptions,
  known: LockedBase | undefined,
  fetcher: Fetcher,
  note: (text: string) => void,
): Promise<LockedBase> {
  if (isPinned(site)) {
    const { os, url, file, sha256 } = baseOf(site)
    return { os, ...(url === undefined ? { file: basename(file ?? '') } : { url }), sha256, vouched: 'site' }
  }
  const usable = known !== undefined && known.vouched !== 'site' && known.os === site.image.base.os ? known : undefined
  return usable !== undefined && !newBase ? usable : newestBase({ site, fetcher, note }, usable)
}

/** Entries without a tag stay as they are; without a lock the project's own list of images is taken. */
async function resolveServices({ site, folder, signal, registry }: LockOptions, before: Lock | undefined): Promise<Lock['services']> {
  const ask = registry ?? { resolveDigest, resolvePlatform }
  const found = await Promise.all(
    services.map(async (service): Promise<readonly [Service, LockEntry] | undefined> => {
      const known = before?.services[service]
      // Of the log agents only the site's goes into the image; one that the site has changed to comes from the list.
      const agent = service === 'otelcol' || service === 'promtail'
      if (agent && service !== site.logging.agent) return undefined
      // lego only goes into the image where an ACME server is asked; a site that has come to ask one gets it from the list.
      const isLego = service === 'lego'
      // One that somebody has put there without a tag stays.
      if (isLego && acmeOf(site.public) === undefined && (known === undefined || known.tag !== undefined)) return undefined
      const changed = agent && before?.services[service === 'otelcol' ? 'promtail' : 'otelcol'] !== undefined
      const wanted = before === undefined || changed || isLego ? (known ?? defaultImages[service]) : known
      if (wanted === undefined) return undefined
      if (wanted.tag === undefined) return known === undefined ? undefined : [service, known]
      const { image, tag } = wanted
      const how = { caPem: await registryCa(site, folder, image), signal }
      const digest = await ask.resolveDigest(image, tag, how)
      if (known?.digest === digest && known.platform !== undefined) return [service, { ...known, image, tag }]
      return [service, { image, tag, digest, platform: await ask.resolvePlatform(image, digest, how) }]
    }),
  )
  return Object.fromEntries(found.filter((one) => one !== undefined)) as Lock['services']
}

/** PEM of the CA that the site names for an image's registry. @throws Failure `registry-ca-missing` */
export async function registryCa(site: Site, folder: string, image: string): Promise<string | undefined> {
  const host = image.split('/')[0]
  const entry = site.image.registries.find((one) => one.host === host)
  if (entry === undefined) return undefined
  const file = resolve(folder, entry.caFile)
  const bytes = await readFile(file).catch((cause: unknown) => {
    throw new Failure(
      'registry-ca-missing',
      `the CA of registry ${entry.host} can't be read: ${file}`,
      'Correct image.registries in site.ts.',
      { cause },
    )
  })
  const read = plainText(bytes, 'pem')
  if (!read.ok)
    throw new Failure(
      'registry-ca-missing',
      `the CA of registry ${entry.host} can't be used: ${file} ${read.problem}`,
      'Mend the file, or correct image.registries in site.ts.',
    )
  return read.text
}
