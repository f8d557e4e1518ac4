/**
 * What a release was given of secrets and certificates, told by keyed digests in its pin: whether the site folder has the
 * same still, and nothing else. deployment.json may be public, so the key (256 random bits) is in secrets/ and in no
 * git: without it a digest is of no use even to somebody who guesses right. The release's id goes in, so that not even
 * two releases with the same password look alike.
 */
import { createHmac, randomBytes, X509Certificate } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Failure } from '../core/failure.ts'
import { secretFiles } from '../settings/secrets/places.ts'
import type { Release } from './deployment.ts'
import type { SeedSecrets } from './seed.ts'

export type Given = NonNullable<Release['given']>

const keyFile = (folder: string): string => join(folder, secretFiles.releaseKey)

/** The key, if it is here. */
export async function readGivenKey(folder: string): Promise<Buffer | undefined> {
  const text = await readFile(keyFile(folder), 'utf8').catch(() => '')
  return /^[0-9a-f]{64}\s*$/.test(text) ? Buffer.from(text.trim(), 'hex') : undefined
}

/** The key, made at its first use. @throws Failure `release-key-unusable` for a file that is no key */
export async function givenKey(folder: string): Promise<Buffer> {
  const file = keyFile(folder)
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  await writeFile(file, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600, flag: 'wx' }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  const key = await readGivenKey(folder)
  if (key === undefined)
    throw new Failure(
      'release-key-unusable',
      `${file} is no key of this project`,
      "Put it back from your backup, or remove it: another one is made, and what was deployed by then can't be compared any more.",
    )
  return key
}

const hmac = (key: Buffer, ...parts: readonly string[]): string => createHmac('sha256', key).update(JSON.stringify(parts)).digest('hex')
const idOf = (key: Buffer): string => hmac(key, 'key').slice(0, 16)

/** By it a site knows its own seeds again on a storage that it shares with others, even with sites of the same name. */
export const seedTag = (key: Buffer, site: string, vmid: number, release: string): string =>
  hmac(key, 'seed', site, String(vmid), release).slice(0, 12)

export const passwordOf = (user: string): string => `the password of ${user}`

export const publicCertificate = 'the public certificate'

/** A seed of an earlier version has none: that is no difference. */
const slotsKey = "the slots' own key"

function partsOf(secrets: SeedSecrets): Map<string, string> {
  const parts = new Map<string, string>([
    ["the site's CA", secrets.siteCa],
    ['the SSH host key', secrets.hostKey.privateKey],
    [slotsKey, JSON.stringify([secrets.peer.certificate, secrets.peer.key])],
  ])
  if (secrets.publicTls) parts.set(publicCertificate, JSON.stringify([secrets.publicTls.certificate, secrets.publicTls.key]))
  if (secrets.acme) parts.set("the ACME client's secrets", JSON.stringify(secrets.acme))
  for (const { name, password } of secrets.users ?? []) parts.set(passwordOf(name), password)
  if (secrets.loggingTls) parts.set('the logging certificate', JSON.stringify([secrets.loggingTls.certificate, secrets.loggingTls.key]))
  if (secrets.lokiPushPassword !== undefined) parts.set("Loki's push password", secrets.lokiPushPassword)
  if (secrets.grafanaAdminPassword !== undefined) parts.set("Grafana's password", secrets.grafanaAdminPassword)
  return parts
}

export const digestOf = (key: Buffer, release: string, name: string, value: string): string => hmac(key, 'given', release, name, value)

/** For the pin of a release that is being made. */
export const givenOf = (key: Buffer, release: string, secrets: SeedSecrets): Given => ({
  key: idOf(key),
  digests: Object.fromEntries([...partsOf(secrets)].map(([name, value]) => [name, digestOf(key, release, name, value)])),
  ends: endsOf(secrets),
})

/** Whether a pin can be compared with this key. */
export const isComparable = (given: Given | undefined, key: Buffer | undefined): boolean =>
  given !== undefined && key !== undefined && given.key === idOf(key)

/** What is other than it was given, by name; undefined: nobody here can tell. */
export function changedSince({ id, given }: Release, key: Buffer | undefined, secrets: SeedSecrets): string[] | undefined {
  if (given === undefined || key === undefined || !isComparable(given, key)) return undefined
  const now = new Map([...partsOf(secrets)].map(([name, value]) => [name, digestOf(key, id, name, value)]))
  if (given.digests[slotsKey] === undefined) now.delete(slotsKey)
  return [...new Set([...Object.keys(given.digests), ...now.keys()])].filter((name) => given.digests[name] !== now.get(name))
}

/**
 * A release whose seed is made again has to be what it was.
 * @throws Failure `seed-differs`
 */
export async function refuseOtherSeed(folder: string, group: string, release: Release, secrets: SeedSecrets): Promise<void> {
  const changed = changedSince(release, await readGivenKey(folder), secrets)
  if (changed?.length === 0) return
  const why =
    release.given === undefined
      ? 'and its pin, of an earlier version, does not tell whether it would be the same again'
      : changed === undefined
        ? `and without the key that it was made with (${keyFile(folder)}) nobody can tell whether it would be the same again`
        : `and ${changed.join(', ')} in the site folder ${changed.length === 1 ? 'is' : 'are'} not what it was made with`
  throw new Failure(
    'seed-differs',
    `the seed of release ${release.id} of group ${group} is not on the storage any more, ${why}`,
    `${release.given === undefined ? 'Put that file back on the storage from a backup' : `Put ${changed === undefined ? 'that key' : 'those'} back, e.g. from your backup`}; or begin a new release: "npx golden destroy ${group}", then "npx golden deploy". The data is kept.`,
  )
}

/** When the certificates of a seed end, by name: of a chain the first that does. */
function endsOf({ siteCa, publicTls, loggingTls }: SeedSecrets): Record<string, string> {
  const list = [
    ["the site's CA", siteCa],
    [publicCertificate, publicTls?.certificate],
    ['the logging certificate', loggingTls?.certificate],
  ] as const
  return Object.fromEntries(
    list.flatMap(([name, pem]) => {
      const ends = (pem?.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map((one) =>
        new X509Certificate(one).validToDate.getTime(),
      )
      return ends.length === 0 ? [] : [[name, new Date(Math.min(...ends)).toISOString()]]
    }),
  )
}

export interface CertificateStatus {
  readonly name: string
  readonly ends: string
  /** Whole days; negative: it has ended. */
  readonly daysLeft: number
}

const day = 86_400_000
export const warnBeforeDays = 30

export const certificatesOf = (given: Given | undefined, now: Date): CertificateStatus[] =>
  Object.entries(given?.ends ?? {}).map(([name, ends]) => ({ name, ends, daysLeft: Math.floor((Date.parse(ends) - now.getTime()) / day) }))

/** Sentences about those that end soon, with what mends it. Pure. */
export function certificateWarnings(group: string, ownFile: string | undefined, certificates: readonly CertificateStatus[]): string[] {
  return certificates
    .filter(({ daysLeft }) => daysLeft <= warnBeforeDays)
    .map(({ name, ends, daysLeft }) => {
      const what = `${name} that the VM has ${daysLeft < 0 ? 'has ended' : `ends in ${daysLeft} days`} (${ends.slice(0, 10)})`
      const anew = `then "npx golden rollout ${group}"`
      if (name === "the site's CA")
        return `${what}: remove ${secretFiles.ca} and ${secretFiles.caKey}, "npx golden init" makes another one, which every client has to trust anew; ${anew}`
      return `${what}: ${name === publicCertificate && ownFile !== undefined ? `put a new one at ${ownFile}` : '"npx golden init" makes a new one'}, ${anew}`
    })
}

/** As a difference between the site folder and what runs. */
export const changedSentence = (group: string, changed: readonly string[]): string[] =>
  changed.length === 0
    ? []
    : [
        `${changed.join(', ')} in the site folder ${changed.length === 1 ? 'is' : 'are'} not what the VM was given; that takes effect with "npx golden rollout ${group}"`,
      ]
