/** What a verification does: which image, which clones, which checks. Pure. */
import { Failure } from '../core/failure.ts'
import { bringHere, elsewhere, type Image } from '../images/catalog.ts'
import { revokedTag } from '../images/channels.ts'
import { seedForm } from '../images/contract/seed.ts'
import type { Role, Site } from '../settings/site.ts'
import { trialGroups, trialSite } from './trial.ts'

/** By name what each check shows, in the order in which they are made. */
export const checks = {
  boots: 'it boots, and its guest agent and slotctl answer',
  standby: 'without a data disk it waits as a slot does whose turn has not come',
  activates: 'it makes a file system on a new data disk, and serves',
  'first-boot': 'cloud-init has nothing to complain of',
  units: 'every unit is up, and none has failed',
  containers: 'its containers are healthy',
  firewall: 'its firewall is loaded',
  ssh: 'SSH runs with the host key of the seed',
  tls: 'TLS: certificate, names, redirection',
  auth: 'passwords are asked for, and nothing else is there',
  session: 'clients open sessions over every transport',
  projects: 'projects belong to their users',
  tools: "a client's whole session through nginx, with a symbol found by each language server",
  dashboards: "the dashboards' queries run",
  logs: 'its log lines are in Loki, with their labels',
  hygiene: 'nothing is left of the bake, and no secret is on its disk',
  'closed-inside': 'from the containers nothing is reached that is not meant to be',
  'closed-outside': 'from outside only that answers which should',
  client: 'a client on this computer gets in by certificate and password',
  'let-go': 'it lets go of its data as in a rollout, and takes it back',
  reboot: 'it serves again after a reboot',
  yield: 'it yields its data disk',
  shutdown: 'it shuts down in time',
} as const

export type CheckName = keyof typeof checks
export const checkNames = Object.keys(checks) as readonly CheckName[]

export interface ClonePlan {
  /** The group of the site that has these roles. */
  readonly group: string
  readonly roles: readonly Role[]
  readonly cores: number
  readonly memoryMiB: number
  readonly dataGiB: number
  /** Its own address and the one that clients use. */
  readonly address: string
  readonly service: string
  readonly checks: readonly CheckName[]
}

export interface VerifyPlan {
  readonly image: { readonly vmid: number; readonly name: string; readonly fingerprint: string }
  readonly clones: readonly ClonePlan[]
}

const ofSerena: readonly CheckName[] = ['session', 'projects', 'tools', 'client']

/** Those that a clone with these roles can show. */
export function checksOf(roles: readonly Role[], hasLogging: boolean): CheckName[] {
  return checkNames.filter((name) => {
    if (ofSerena.includes(name)) return roles.includes('serena')
    if (name === 'dashboards') return roles.includes('logging')
    return name !== 'logs' || hasLogging
  })
}

export function planVerify(site: Site, image: Image): VerifyPlan {
  const trial = trialSite(site, [])
  const hasLogging = trialGroups(site).some(({ roles }) => roles.includes('logging'))
  return {
    image: { vmid: image.vmid, name: image.name, fingerprint: image.record.fingerprint },
    clones: trialGroups(site).flatMap(({ name, roles }): ClonePlan[] => {
      const group = trial.groups[name]
      if (group === undefined) return []
      const { cores, memoryMiB, dataGiB, service, slots } = group
      return [{ group: name, roles, cores, memoryMiB, dataGiB, address: slots.blue.address, service, checks: checksOf(roles, hasLogging) }]
    }),
  }
}

export const rolesText = (roles: readonly Role[]): string => roles.join(' and ')

/** For people, a line each. */
export function planLines({ image, clones }: VerifyPlan): string[] {
  return clones.flatMap(({ roles, cores, memoryMiB, dataGiB, address, service, checks: names }) => [
    `clone ${image.name} (${image.vmid}) for ${rolesText(roles)}: ${cores} cores, ${memoryMiB} MiB, a data disk of ${dataGiB} GiB, address ${address}, service address ${service}`,
    ...names.map((name) => `  ${name.padEnd(14)} ${checks[name]}`),
  ])
}

/**
 * The image that is verified: the newest one of the site's base, or the one that somebody has named, by its name, the end of
 * it, or its VMID. One that has failed before may be tried again.
 * @throws Failure `image-unknown`, `no-image`, `image-revoked`, `image-of-other-version`, `image-elsewhere`
 */
export function imageToVerify(site: Site, images: readonly Image[], name: string | undefined): Image {
  const { pool } = site.proxmox
  const isNamed = (one: Image): boolean =>
    name !== undefined && (one.name === name || String(one.vmid) === name || (name.length >= 6 && one.name.endsWith(name)))
  const ofBase = (one: Image): boolean => one.record.base.sha256 === site.image.base.sha256 && !one.revoked
  const [image] = images.filter(name === undefined ? ofBase : isNamed).sort((a, b) => b.record.built.localeCompare(a.record.built))
  if (image === undefined) {
    const list = images.map((one) => `${one.name} (${one.vmid})`).join(', ')
    throw name === undefined
      ? new Failure(
          'no-image',
          `pool ${pool} has no image of base ${site.image.base.os} ${site.image.base.sha256.slice(0, 12)}`,
          'Run "npx golden bake".',
        )
      : new Failure('image-unknown', `pool ${pool} has no image ${name}`, list === '' ? 'Run "npx golden bake".' : `There are: ${list}.`, {
          unknown: { said: name, known: images.map((one) => one.name) },
        })
  }
  if (image.revoked)
    throw new Failure('image-revoked', `image ${image.name} is revoked (tag ${revokedTag})`, 'Verify another one, or bake a new one.')
  if ((image.record.seed ?? 1) !== seedForm) throw ofOtherVersion(image)
  if (elsewhere(site, image) !== undefined)
    throw new Failure(
      'image-elsewhere',
      `image ${image.name} (${image.vmid}) is ${elsewhere(site, image) ?? ''}`,
      `Run "npx golden bake": it makes one there. Or, in Proxmox, ${bringHere(site, image)}.`,
    )
  return image
}

/** What is in it does not know what is asked of it, or how it is said. */
export const ofOtherVersion = ({ name, vmid }: Pick<Image, 'name' | 'vmid'>): Failure =>
  new Failure(
    'image-of-other-version',
    `image ${name} (${vmid}) was baked by another version of this project, which can't be verified by this one`,
    'Run "npx golden bake": it makes one of this version.',
  )
