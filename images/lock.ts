/**
 * `images.lock.json` in the site folder: all that goes into the VM image and is found outside of this project, for a person
 * to review. `golden lock` resolves it; everything later uses only what is in it. What each part means: docs/lock.md.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { Failure } from '../core/failure.ts'
import { canonical, sha256, type Plain } from '../core/canonical.ts'
import { services, type Service } from './contract/record.ts'
import { writeWhole } from '../core/write-whole.ts'

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'must be sha256: and 64 hexadecimal digits')
const entry = z.strictObject({
  /** `host/repository`, e.g. `ghcr.io/oraios/serena`. What Docker takes for a host has a dot or a port. */
  image: z
    .string()
    .refine((image) => /^[^/]*[.:][^/]*\//.test(image), "must begin with the registry's host; Docker Hub's is docker.io")
    .regex(
      /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(\/[a-z0-9]+([._-]+[a-z0-9]+)*)+$/,
      'must be HOST/REPOSITORY in lower case, without tag or digest',
    ),
  /** What `golden lock` resolves again; without it the digest stays as it is. */
  tag: z
    .string()
    .regex(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/, 'must be a tag')
    .optional(),
  /** Of what the tag means: an index of several platforms, or a manifest. It is what Docker is told to pull. */
  digest,
  /** Of the manifest in that index for the machines that are baked: linux/amd64. */
  platform: digest.optional(),
})

// A service without an image: its role runs without it, and says so (Grafana in the lab). Nothing works without the first two.
const servicesSchema = z.strictObject({
  serena: entry,
  nginx: entry,
  otelcol: entry.optional(),
  promtail: entry.optional(),
  loki: entry.optional(),
  grafana: entry.optional(),
  /** Of sites whose certificate is an ACME server's. */
  lego: entry.optional(),
})

const word = z.string().regex(/^[^\s]{1,256}$/, 'must be one word')
const versions = z.record(word, word)

const base = z.strictObject({
  os: word,
  /** Which build of it; one that the site pins itself has none. */
  serial: word.optional(),
  url: z.url({ protocol: /^https?$/ }).optional(),
  /** Name of a file that the site uploads. */
  file: z.string().min(1).optional(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/, 'must be a SHA-256 in lower-case hexadecimal'),
  /** Who vouches for the checksum: the distribution's signature, the server's TLS certificate alone, or site.ts. */
  vouched: z.enum(['signature', 'tls', 'site']),
})

const archive = z.strictObject({
  url: z.url({ protocol: /^https?$/ }),
  components: z.array(word).min(1),
  /** Each with the date that its Release file had. */
  suites: z.record(word, z.iso.datetime()),
  /** The service that keeps its states, and which of them: then that is read, not the archive itself. */
  snapshot: z.strictObject({ service: z.url({ protocol: /^https?$/ }), at: z.string().regex(/^\d{8}T\d{6}Z$/) }).optional(),
})

const packages = z.strictObject({
  archives: z.array(archive).min(1),
  /** What is installed besides the base's, as this project has it (images/packages.json); apt adds what they need. */
  asked: z.array(word),
  /** Whether a bake has said what all of them are. Until then `versions` has what is known without apt. */
  complete: z.boolean(),
  versions,
})

const schema = z.strictObject({
  schema: z.literal(2),
  base: base.optional(),
  packages: packages.optional(),
  services: servicesSchema,
  /** Of this project: what Serena finds in the image, and with what it was baked and is deployed. */
  languageServers: versions.optional(),
  tools: versions.optional(),
})

/** Of before: its day said which packages a bake got, by making another image of each day. */
const first = z
  .strictObject({ schema: z.literal(1), packages: z.iso.date().optional(), services: servicesSchema })
  .transform(({ services }): z.output<typeof schema> => ({ schema: 2, services }))

export type Lock = z.output<typeof schema>
export type LockEntry = z.output<typeof entry>
export type LockedBase = z.output<typeof base>
export type LockedPackages = z.output<typeof packages>
export type LockedArchive = z.output<typeof archive>

/** What `golden lock` starts with. Promtail has ended with 3.6: no later tag exists. */
export const defaultImages: Readonly<Record<Service, { readonly image: string; readonly tag: string }>> = {
  serena: { image: 'ghcr.io/oraios/serena', tag: '2.1.0' },
  nginx: { image: 'docker.io/library/nginx', tag: '1.30' },
  otelcol: { image: 'docker.io/otel/opentelemetry-collector-contrib', tag: '0.165.0' },
  promtail: { image: 'docker.io/grafana/promtail', tag: '3.6.15' },
  loki: { image: 'docker.io/grafana/loki', tag: '3.7.8' },
  grafana: { image: 'docker.io/grafana/grafana', tag: '13.0.0' },
  lego: { image: 'docker.io/goacme/lego', tag: 'v5.6.0' },
}

export const lockFile = (folder: string): string => join(folder, 'images.lock.json')

/** What Docker pulls and compose runs: `host/repository@sha256:…`. */
export const reference = (one: LockEntry): string => `${one.image}@${one.digest}`

/** References by service, without services that have no image. */
export function references(lock: Lock): Partial<Record<Service, string>> {
  const found: Partial<Record<Service, string>> = {}
  for (const service of services) {
    const one = lock.services[service]
    if (one !== undefined) found[service] = reference(one)
  }
  return found
}

/**
 * Digest of what decides the image. How it was found is left out (tags, serials, who vouches), and so is what follows from
 * the rest: the platform's manifest from its index, the versions of packages from the state of the archives. The base and
 * what is asked for are inputs of their own (fingerprint.ts); the tools leave no trace.
 */
export const lockDigest = (lock: Lock): string =>
  sha256(
    canonical({
      schema: lock.schema,
      services: references(lock),
      ...(lock.packages === undefined ? {} : { archives: lock.packages.archives as unknown as Plain }),
    }),
  )

/** @throws Failure `lock-invalid` with every problem */
export function parseLock(text: string, file: string): Lock {
  const hint = 'Mend the file, or move it away and run "npx golden lock".'
  let data: unknown
  try {
    data = JSON.parse(text)
  } catch (cause) {
    throw new Failure('lock-invalid', `${file} is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`, hint, { cause })
  }
  const parsed = ((data as { schema?: unknown } | null)?.schema === 1 ? first : schema).safeParse(data)
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.map((issue) => ({ path: issue.path.join('.') || 'lock', message: issue.message }))
  throw new Failure(
    'lock-invalid',
    `${file} has problems:\n${problems.map(({ path, message }) => `  ${path}: ${message}`).join('\n')}`,
    hint,
    { parts: problems.map(({ path, message }) => ({ code: 'lock-invalid', message, hint, path })) },
  )
}

/** @throws Failure `lock-missing`, `lock-invalid` */
export async function readLock(folder: string): Promise<Lock> {
  const found = await findLock(folder)
  if (found === undefined)
    throw new Failure(
      'lock-missing',
      `there is no ${lockFile(folder)}`,
      'Run "npx golden lock": it looks up what goes in, and writes that file.',
    )
  return found
}

/** The same, or undefined if there is no lock yet. */
export async function findLock(folder: string): Promise<Lock | undefined> {
  const file = lockFile(folder)
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new Failure('lock-invalid', `${file} can't be read`, 'Give yourself the right to read it.', { cause })
  }
  return parseLock(text, file)
}

/** The file's text: the same content, the same bytes, on every computer. */
export function renderLock({ base, packages, services: locked, languageServers, tools }: Lock): string {
  const sorted = <Value>(record: Readonly<Record<string, Value>>): Record<string, Value> =>
    Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)))
  const ordered = {
    schema: 2,
    base: base && { os: base.os, serial: base.serial, url: base.url, file: base.file, sha256: base.sha256, vouched: base.vouched },
    services: Object.fromEntries(
      services.flatMap((service) => {
        const one = locked[service]
        return one === undefined ? [] : [[service, { image: one.image, tag: one.tag, digest: one.digest, platform: one.platform }]]
      }),
    ),
    languageServers: languageServers && sorted(languageServers),
    tools: tools && sorted(tools),
    packages: packages && {
      archives: packages.archives.map(({ url, components, suites, snapshot }) => ({
        url,
        components,
        suites,
        snapshot: snapshot && { service: snapshot.service, at: snapshot.at },
      })),
      asked: [...packages.asked].sort(),
      complete: packages.complete,
      // Last, because there are hundreds.
      versions: sorted(packages.versions),
    },
  }
  return `${JSON.stringify(ordered, null, 2)}\n`
}

/** Writes it in one step. */
export async function writeLock(folder: string, lock: Lock): Promise<void> {
  await writeWhole(lockFile(folder), renderLock(lock))
}
