/**
 * `images.lock.json` in the site folder: which container images go into the VM image, by digest. `golden lock`
 * resolves tags to digests; everything later only ever uses the digests.
 */
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { Failure } from '../core/failure.ts'
import { canonical, sha256 } from '../core/canonical.ts'
import { services, type Service } from './contract/record.ts'

const entry = z.strictObject({
  /** `host/repository`, e.g. `ghcr.io/oraios/serena`. What Docker takes for a host has a dot or a port. */
  image: z
    .string()
    .refine((image) => /^[^/]*[.:][^/]*\//.test(image), "must begin with the registry's host; Docker Hub's is docker.io")
    .regex(
      /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(\/[a-z0-9]+([._-]+[a-z0-9]+)*)+$/,
      'must be HOST/REPOSITORY in lower case, without tag or digest',
    ),
  digest: z.string().regex(/^sha256:[0-9a-f]{64}$/, 'must be sha256: and 64 hexadecimal digits'),
  /** What `golden lock` resolves again; without it the digest stays as it is. */
  tag: z
    .string()
    .regex(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/, 'must be a tag')
    .optional(),
})

const schema = z.strictObject({
  schema: z.literal(1),
  /** The day of the last `golden lock`. Another day is another image: the bake takes the distribution's packages as they are then. */
  packages: z.iso.date().optional(),
  // A service without an image: its role runs without it, and says so (Grafana in the lab). Nothing works without the first two.
  services: z.strictObject({
    serena: entry,
    nginx: entry,
    otelcol: entry.optional(),
    promtail: entry.optional(),
    loki: entry.optional(),
    grafana: entry.optional(),
  }),
})

export type Lock = z.output<typeof schema>
export type LockEntry = z.output<typeof entry>

/** What `golden lock` starts with. Promtail has ended with 3.6: no later tag exists. */
export const defaultImages: Readonly<Record<Service, { readonly image: string; readonly tag: string }>> = {
  serena: { image: 'ghcr.io/oraios/serena', tag: '2.1.0' },
  nginx: { image: 'docker.io/library/nginx', tag: '1.30' },
  otelcol: { image: 'docker.io/otel/opentelemetry-collector-contrib', tag: '0.165.0' },
  promtail: { image: 'docker.io/grafana/promtail', tag: '3.6.15' },
  loki: { image: 'docker.io/grafana/loki', tag: '3.7.8' },
  grafana: { image: 'docker.io/grafana/grafana', tag: '13.0.0' },
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

/** Digest of what is locked. Tags are left out: they say how a digest was found, not what goes in. */
export const lockDigest = (lock: Lock): string =>
  sha256(canonical({ schema: lock.schema, packages: lock.packages, services: references(lock) }))

/** @throws Failure `lock-invalid` with every problem */
export function parseLock(text: string, file: string): Lock {
  const hint = 'Mend the file, or move it away and run "npx golden lock".'
  let data: unknown
  try {
    data = JSON.parse(text)
  } catch (cause) {
    throw new Failure('lock-invalid', `${file} is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`, hint, { cause })
  }
  const parsed = schema.safeParse(data)
  if (parsed.success) return parsed.data
  const list = parsed.error.issues.map((issue) => `  ${issue.path.join('.') || 'lock'}: ${issue.message}`).join('\n')
  throw new Failure('lock-invalid', `${file} has problems:\n${list}`, hint)
}

/** @throws Failure `lock-missing`, `lock-invalid` */
export async function readLock(folder: string): Promise<Lock> {
  const found = await findLock(folder)
  if (found === undefined)
    throw new Failure(
      'lock-missing',
      `there is no ${lockFile(folder)}`,
      'Run "npx golden lock": it looks up the container images and writes that file.',
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

/** Writes it in one step, services in their usual order. */
export async function writeLock(folder: string, lock: Lock): Promise<void> {
  const file = lockFile(folder)
  const ordered = {
    schema: 1,
    packages: lock.packages,
    services: Object.fromEntries(services.flatMap((service) => (lock.services[service] ? [[service, lock.services[service]]] : []))),
  }
  const temporary = `${file}.${process.pid}.tmp`
  await writeFile(temporary, `${JSON.stringify(ordered, null, 2)}\n`)
  await rename(temporary, file)
}
