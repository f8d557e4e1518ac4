/** `golden lock`: looks up the digest of every tag in the lock, or makes the first lock. */
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Failure } from '../core/failure.ts'
import { plainText } from '../core/plain-text.ts'
import type { Progress } from '../core/progress.ts'
import type { Site } from '../settings/site.ts'
import { services, type Service } from './contract/record.ts'
import { defaultImages, findLock, writeLock, type Lock, type LockEntry } from './lock.ts'
import { resolveDigest } from './registry.ts'

export interface LockChange {
  readonly service: Service
  readonly image: string
  readonly tag: string
  /** Undefined the first time. */
  readonly from?: string
  readonly to: string
}

export interface LockOptions {
  readonly site: Site
  readonly folder: string
  readonly progress: Progress
  readonly signal?: AbortSignal
  /** @default asks the registry */
  readonly resolve?: typeof resolveDigest
  /** @default now */
  readonly now?: Date
}

export interface LockUpdate {
  readonly lock: Lock
  readonly changes: readonly LockChange[]
  /** The day before this one that the distribution's packages were of, if there was one; undefined: it is the same day still. */
  readonly packages: { readonly from?: string; readonly to: string } | undefined
}

/**
 * Writes `images.lock.json` if a digest or the day has changed. Entries without a tag stay as they are; without a lock the
 * project's own list of images is taken.
 * @throws Failure of images/registry.ts; nothing is written then
 */
export async function updateLock(options: LockOptions): Promise<LockUpdate> {
  const before = await findLock(options.folder)
  const ask = options.resolve ?? resolveDigest
  const changes: LockChange[] = []
  const found: Partial<Record<Service, LockEntry>> = {}
  for (const service of services) {
    const known = before?.services[service]
    // Of the log agents only the site's goes into the image; one that the site has changed to comes from the list.
    const agent = service === 'otelcol' || service === 'promtail'
    if (agent && service !== options.site.logging.agent) continue
    const changed = agent && before?.services[service === 'otelcol' ? 'promtail' : 'otelcol'] !== undefined
    const wanted = before === undefined || changed ? (known ?? defaultImages[service]) : known
    if (wanted === undefined) continue
    if (wanted.tag === undefined) {
      if (known !== undefined) found[service] = known
      continue
    }
    const { image, tag } = wanted
    const digest = await options.progress.step(`look up ${image}:${tag}`, async () =>
      ask(image, tag, { caPem: await registryCa(options.site, options.folder, image), signal: options.signal }),
    )
    found[service] = { image, digest, tag }
    if (known?.digest !== digest) changes.push({ service, image, tag, to: digest, ...(known ? { from: known.digest } : {}) })
  }
  const today = (options.now ?? new Date()).toISOString().slice(0, 10)
  const packages =
    before?.packages === today ? undefined : { ...(before?.packages === undefined ? {} : { from: before.packages }), to: today }
  const lock = { schema: 1, packages: today, services: found } as Lock
  if (changes.length > 0 || packages !== undefined) await writeLock(options.folder, lock)
  return { lock, changes, packages }
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
