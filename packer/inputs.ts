/** What goes into an image, read from this project and the site folder. */
import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { canonical } from '../core/canonical.ts'
import { aptSources, type Archive } from '../images/archive/archives.ts'
import { baseOf } from '../images/base-image.ts'
import { fingerprint, type ImageInputs } from '../images/fingerprint.ts'
import { renderImageRecord, type Service } from '../images/contract/record.ts'
import { lockDigest, references, type Lock, type LockedPackages } from '../images/lock.ts'
import { askedOf, readPackages } from '../images/packages.ts'
import { isStray } from '../images/stage.ts'
import type { Site } from '../settings/site.ts'
import { baseDisk, baseVm } from './base-vm.ts'
import { readCompose, trialFiles } from './trial.ts'

export const template = join(import.meta.dirname, 'golden.pkr.hcl')
export const scripts = join(import.meta.dirname, 'provision')
const images = join(import.meta.dirname, '../images')

export interface Inputs {
  readonly image: ImageInputs
  readonly fingerprint: string
  readonly references: Partial<Record<Service, string>>
  /** What the lock says of packages; undefined: it is of before it did, and the base's own sources are used. */
  readonly packages: { readonly sources: string; readonly locked: LockedPackages } | undefined
  /** For the trial of the containers; nothing of it is in the image. */
  readonly containers: string
}

/**
 * @param staged SHA-256 of what images/stage.ts has staged
 * @param archives of the site: their keys go to apt with the lock's states of them
 */
export async function collectInputs(site: Site, lock: Lock, staged: string, archives: readonly Archive[] = []): Promise<Inputs> {
  const packages = await readPackages()
  const { os, sha256 } = baseOf(site)
  const names = (await readdir(scripts)).filter((name) => name.endsWith('.sh') && !isStray(name)).sort()
  const sources = Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readFile(join(scripts, name), 'utf8')] as const)),
  )
  const image: ImageInputs = {
    base: { os, sha256 },
    diskGiB: site.image.build.diskGiB,
    staged: { rootfs: staged },
    lock: lockDigest(lock),
    packages: askedOf(packages, os),
    masked: packages.masked,
    enabled: await enabledUnits(),
    sources: {
      ...sources,
      'golden.pkr.hcl': await readFile(template, 'utf8'),
      'base-vm.ts': canonical({ vm: baseVm, disk: baseDisk }),
      'packages.json': canonical({ unwanted: packages.unwanted, timers: packages.timers }),
    },
  }
  return {
    image,
    fingerprint: fingerprint(image),
    references: references(lock),
    packages: lock.packages && { sources: aptSources(lock.packages.archives, archives), locked: lock.packages },
    containers: site.network.containers,
  }
}

/** The units that the image's own preset enables (systemd.preset): one list for the guest and for the bake. */
async function enabledUnits(): Promise<string[]> {
  const preset = await readFile(join(images, 'rootfs/usr/lib/systemd/system-preset/10-golden.preset'), 'utf8')
  return preset.split('\n').flatMap((line) => (line.startsWith('enable ') ? [line.slice('enable '.length).trim()] : []))
}

export interface Registry {
  readonly host: string
  readonly caPem: string
}

/**
 * The small files that the provisioner scripts read, by name; see the scripts for what each is. Lists have one
 * entry a line and end with a newline, so that `read` gets the last one too.
 */
export async function inputFiles(inputs: Inputs, built: string, registries: readonly Registry[]): Promise<ReadonlyMap<string, string>> {
  const lines = (list: readonly string[]): string => list.map((line) => `${line}\n`).join('')
  const { unwanted, timers } = await readPackages()
  const script = async (name: string): Promise<[string, string]> => [name, await readFile(join(scripts, name), 'utf8')]
  return new Map([
    ['packages', lines(inputs.image.packages)],
    ['masked', lines(inputs.image.masked)],
    ['unwanted', lines(unwanted)],
    ['timers', lines(timers)],
    ['enabled', lines(inputs.image.enabled)],
    ['images', lines(Object.entries(inputs.references).map(([service, ref]) => `${service} ${ref}`))],
    ...(inputs.packages === undefined ? [] : packageFiles(inputs.packages)),
    ...trialFiles(await readCompose(), inputs.references, inputs.containers),
    ['image.json', renderImageRecord({ schema: 1, fingerprint: inputs.fingerprint, built, services: inputs.references })],
    ['registries', lines(registries.map(({ host }, index) => `${host} registry-${index}.pem`))],
    [
      'traces',
      lines(
        Object.values(inputs.references)
          .map(traceOf)
          .filter((trace, index, all) => all.indexOf(trace) === index),
      ),
    ],
    ['ca-lines', lines(registries.flatMap(({ caPem }) => linesOf(caPem)))],
    ...registries.map(({ caPem }, index) => [`registry-${index}.pem`, caPem] as const),
    await script('unwanted.sh'),
    await script('clean.sh'),
    await script('check.sh'),
  ])
}

/** For packages.sh: where apt gets them, what they have to be, and whether these have to be all. */
function packageFiles({ sources, locked }: NonNullable<Inputs['packages']>): [string, string][] {
  const versions = Object.entries(locked.versions).map(([name, version]) => `${name} ${version}\n`)
  return [
    ['archive.sources', sources],
    ['locked-packages', versions.sort().join('')],
    ...(locked.complete ? ([['lock-complete', 'yes\n']] satisfies [string, string][]) : []),
  ]
}

/**
 * A regular expression (POSIX, extended) for a line of a configuration that names the registry of a reference. An address
 * alone may be there for other reasons, and so may `localhost`; with a port it is the registry's.
 */
function traceOf(reference: string): string {
  const host = reference.split('/')[0] ?? ''
  const name = host.replace(/:[0-9]+$/, '')
  const wanted = isIP(name) === 0 && name !== 'localhost' ? name : host
  return `^([^#]*[^#A-Za-z0-9.-])?${wanted.replaceAll('.', '\\.')}([^A-Za-z0-9.-]|$)`
}

/** A line of each certificate that no other one has, as PEM files usually have it: the last whole one, of its signature. */
function linesOf(caPem: string): string[] {
  return (caPem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).flatMap((pem) => {
    const whole = new X509Certificate(pem)
      .toString()
      .split('\n')
      .filter((line) => /^[A-Za-z0-9+/=]{64}$/.test(line))
    return whole.slice(-1)
  })
}
