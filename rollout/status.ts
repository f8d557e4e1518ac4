/** `status`: what runs where, whether it is well, and how to reach it. Only looks. */
import { X509Certificate } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Proxmox } from '../proxmox/client.ts'
import { Failure } from '../core/failure.ts'
import { lookAtPlace } from '../proxmox/place.ts'
import type { GroupPins, Release } from '../releases/deployment.ts'
import { groupOrder } from '../releases/order.ts'
import { isRevokedText, listImages, type Image } from '../images/catalog.ts'
import { newestFit } from '../images/channels.ts'
import { pinnedImage } from './choose-image.ts'
import { readHistory, type RolloutEntry } from './history.ts'
import { acmeOf, ownCertificateOf, placeOf, slotNames, type Role, type Site, type SiteProblem, type SlotName } from '../settings/site.ts'
import { differences } from './edits.ts'
import { firewallState, type FirewallState } from './firewall.ts'
import { isStale, type GroupClaim } from './group-claim.ts'
import { statusIn, type GuestStatus } from './guest.ts'
import { handedInSecrets, lookAtHandedIn } from '../settings/handed-in.ts'
import { secretFiles } from '../settings/secrets/places.ts'
import { checkIdentity, diskPlace, observeGroup, observePinned, placesOf, type GroupSeen, isAstray } from './observe.ts'
import { certificatesShown } from './acme-status.ts'
import { certificatesOf, certificateWarnings, type CertificateStatus } from '../releases/given.ts'
import { missingHint, strayVolumes } from './missing.ts'
import { groupNodeProblem } from './node.ts'
import { findObstacles } from './obstacles.ts'
import { checkPins } from './outdated.ts'
import { readPins } from '../releases/pins.ts'
import { secretDifferences } from '../releases/seed.ts'

export interface GroupStatus {
  readonly group: string
  readonly roles: readonly Role[]
  /** The slot that owns the data disk. */
  readonly activeSlot: SlotName | null
  readonly release: string | null
  readonly image: { readonly vmid: number; readonly name: string; readonly fingerprint: string } | null
  readonly vm: { readonly vmid: number; readonly name: string; readonly running: boolean } | null
  /** Both of them, as far as they are pinned. */
  readonly slots: Readonly<Partial<Record<SlotName, SlotStatus>>>
  /** Since when the active slot has served, ISO 8601; null: it does not. */
  readonly since: string | null
  /** When the image that runs was baked; null where it is gone. */
  readonly imageBuilt: string | null
  /** Why the image that runs is revoked, as a sentence; null: it is not, or is gone. */
  readonly revoked: string | null
  /** Another one, that a rollout would take; null: there is none, or nothing is deployed. */
  readonly newerImage: string | null
  /** A rollout that is under way, was interrupted, or has failed. */
  readonly rollout: GroupPins['rollout'] | null
  /** The last one that ended, whichever way. */
  readonly lastRollout: RolloutEntry | null
  readonly serviceAddress: string
  /** What people connect to, by what it is. */
  readonly urls: Readonly<Record<string, string>>
  /** The CA to trust; null with a certificate of one's own. */
  readonly caFile: string | null
  /** Its SHA-256, to compare with what the page at http://SERVICE/ca shows; null: there is no such file. */
  readonly caFingerprint: string | null
  /** Files with passwords, by user. */
  readonly credentialFiles: Readonly<Record<string, string>>
  /** `absent`: not deployed. */
  readonly health: 'healthy' | 'unhealthy' | 'unreachable' | 'stopped' | 'absent'
  readonly problems: readonly string[]
  /** What will be a problem unless somebody does something about it. */
  readonly warnings: readonly string[]
  /** What the VM was given; empty for a release of an earlier version. */
  readonly certificates: readonly CertificateStatus[]
  /** Containers by their state, as the guest says. */
  readonly services: Readonly<Record<string, string>>
  /** Services that the image has no container image for. */
  readonly missing: readonly string[]
  /** Clients over SSE that are connected, who have to connect again after a rollout; null: there can be none, or the guest does not say. */
  readonly sseClients: number | null
  /** Of the services' state, the oldest first; null: the active slot does not say, or makes none. */
  readonly restorePoints: readonly RestorePointStatus[] | null
  readonly dataDisk: { readonly at: string; readonly volume: string | null }
  /** Who is at it right now; `stale`: who was, and has not come to an end. */
  readonly claim: (Pick<GroupClaim, 'by' | 'verb' | 'since' | 'until' | 'process'> & { readonly stale: boolean }) | null
  /** The site asks for something else than what runs. */
  readonly siteDiffers: boolean
  /** What, and when it takes effect. */
  readonly differences: readonly string[]
}

export interface RestorePointStatus {
  /** ISO 8601. */
  readonly made: string
  readonly ageMinutes: number
  /** The image that had left the state like that: its name, or the fingerprint of one that is gone. */
  readonly image: string
  readonly bytes: number
  /** `rollback --state before` puts it back. */
  readonly last: boolean
}

export interface SlotStatus {
  readonly vmid: number
  readonly name: string
  readonly release: string
  readonly image: string
  /** When its release was pinned. */
  readonly created: string
  readonly state: 'running' | 'stopped' | 'absent'
  /** Whether it owns the data. */
  readonly owns: boolean
}

export interface SiteStatus {
  readonly schema: 1
  readonly site: string
  readonly healthy: boolean
  readonly proxmoxFirewall: FirewallState
  /** What of the host is not as site.ts names it, so that bake and deploy would refuse. */
  readonly problems: readonly string[]
  /** What works there, and differs from the usual. */
  readonly warnings: readonly string[]
  readonly groups: Readonly<Record<string, GroupStatus>>
}

export async function readStatus({
  site,
  folder,
  proxmox,
  signal,
}: {
  readonly site: Site
  readonly folder: string
  readonly proxmox: Proxmox
  readonly signal?: AbortSignal
}): Promise<SiteStatus> {
  const deployment = await readPins(folder)
  const place = await lookAtPlace(proxmox, placeOf(site))
  const unpinned = Object.keys(site.groups).some((group) => deployment.groups[group]?.active === undefined)
  const node = place.problems.find(({ code }) => code.startsWith('node-'))
  // Of groups that are not deployed nothing can be looked up on a node that is not there.
  if (node !== undefined && unpinned) throw node
  const history = await readHistory(folder)
  const looks = new Map<string, GroupLook>()
  // Data may be all that is left of a group.
  for (const group of new Set([...groupOrder(site, deployment), ...Object.keys(deployment.groups)]))
    looks.set(group, await lookAtGroup(site, proxmox, group, deployment.groups[group]))
  const isDeployed = Object.values(deployment.groups).some(({ active }) => active !== undefined)
  // A node that is away would be waited for.
  const canList = isDeployed && node === undefined && [...looks.values()].every(({ away }) => away !== true)
  const images = canList ? (await listImages(proxmox, site)).images : []
  const ca = await readFile(join(folder, secretFiles.ca), 'utf8').catch(() => undefined)
  const groups: Record<string, GroupStatus> = {}
  for (const [group, { seen, ...more }] of looks) {
    const pins = deployment.groups[group]
    const vm = pins?.active === undefined ? undefined : seen.slots[pins.active]
    const release = pins?.active === undefined ? undefined : pins.slots[pins.active]
    const guest = await statusIn(proxmox, release, vm, signal)
    const handedIn =
      site.groups[group]?.roles.includes('serena') === true
        ? (await lookAtHandedIn({ site, folder, env: process.env, onlyWhatIsHere: true })).problems
        : []
    groups[group] = describeGroup({
      site,
      folder,
      group,
      seen,
      ...more,
      pins,
      guest,
      images,
      history: history.filter((entry) => entry.group === group),
      handedIn,
      now: proxmox.now(),
      changed: await changedIn(site, folder, group, release),
      ca,
    })
  }
  const problems = place.problems.map(({ message, hint }) => `${message}. ${hint}`)
  const warnings = [
    ...place.notes,
    ...(place.imports === undefined ? [] : [`${place.imports.message}, so that no base can be made. ${place.imports.hint}`]),
  ]
  const healthy = problems.length === 0 && Object.values(groups).every((one) => one.health === 'healthy')
  return { schema: 1, site: site.name, healthy, problems, warnings, proxmoxFirewall: await firewallState(proxmox), groups }
}

/** What Proxmox says of a group, and what would be refused because of it. */
export type GroupLook = Pick<GroupFacts, 'seen' | 'away' | 'wrong' | 'missing' | 'obstacles'>

const nothing: GroupSeen = { depot: { there: false }, slots: { blue: { there: false }, green: { there: false } } }

/** What there is, and what `deploy` and `destroy` would refuse because of it. */
export async function lookAtGroup(site: Site, proxmox: Proxmox, group: string, pins: GroupPins | undefined): Promise<GroupLook> {
  if (site.groups[group] === undefined && pins !== undefined) {
    const verb = pins.active === undefined ? 'delete-data' : 'destroy'
    return {
      seen: await observePinned(proxmox, site.proxmox.node, pins),
      wrong: [`site.ts does not have this group any more: put it back, then "npx golden ${verb} ${group}" ends it`],
    }
  }
  const places = placesOf(site, group, pins)
  const away = await groupNodeProblem(proxmox, places, site.proxmox.node)
  if (away !== undefined) return { seen: nothing, away: true, wrong: [`${away.message}. ${away.hint}`] }
  const seen = await observeGroup(proxmox, places)
  const place = diskPlace(seen)
  const isMissing = isAstray(pins?.dataDisk, place)
  const facts = {
    seen,
    ...(isMissing ? { missing: missingHint(places, await strayVolumes(proxmox, places)) } : {}),
    obstacles: (await findObstacles(proxmox, places, seen, place.at === 'depot' ? (pins?.active ?? 'blue') : 'depot')).map(
      ({ message, hint }) => `${message}. ${hint}`,
    ),
  }
  try {
    checkIdentity(places, seen)
    checkPins(places, pins, seen)
    return { ...facts, wrong: [] }
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    return { ...facts, wrong: [`${error.message}. ${error.hint}`] }
  }
}

/** A password manager is not asked each time somebody wants to see how things are: `deploy` is the one that asks it. */
async function changedIn(site: Site, folder: string, group: string, release: Release | undefined): Promise<string[]> {
  const asks = handedInSecrets(site).some(({ kind }) => kind === 'command')
  return asks && release?.seed.roles.includes('serena') === true ? [] : secretDifferences(site, folder, group, release)
}

interface GroupFacts {
  readonly site: Site
  readonly folder: string
  readonly group: string
  readonly seen: GroupSeen
  /** Its node is; nothing could be seen. */
  readonly away?: true
  readonly wrong: readonly string[]
  /** What to do about data that is in no place. */
  readonly missing?: string
  /** What `destroy`, or `deploy`, would refuse to hand the data over for. */
  readonly obstacles?: readonly string[]
  readonly pins: GroupPins | undefined
  readonly guest: GuestStatus | undefined
  /** All of the pool. @default none */
  readonly images?: readonly Image[]
  /** Rollouts of this group, the newest last. @default none */
  readonly history?: readonly RolloutEntry[]
  /** What of the site folder could not be used as it is. */
  readonly handedIn?: readonly SiteProblem[]
  /** What of the site folder's secrets is not what the VM was given. */
  readonly changed?: readonly string[]
  /** By Proxmox's clock. */
  readonly now?: Date
  /** The site's CA, if it is here. */
  readonly ca?: string | undefined
}

/** Whom clients are to trust besides, with an ACME server whose CA no system knows. */
function rootOf(site: Site, folder: string): string | undefined {
  const file = acmeOf(site.public)?.rootFile
  return file === undefined ? undefined : resolve(folder, file)
}

function fingerprintOf(pem: string | undefined): string | null {
  try {
    return pem === undefined ? null : new X509Certificate(pem).fingerprint256
  } catch {
    // What is no certificate is init's to say.
    return null
  }
}

/** Pure, but for a look at which files exist. */
export function describeGroup({
  site,
  folder,
  group,
  seen,
  away,
  wrong,
  missing,
  obstacles,
  pins,
  guest,
  images = [],
  history = [],
  handedIn = [],
  changed: secrets = [],
  now = new Date(),
  ca,
}: GroupFacts): GroupStatus {
  const slot = pins?.active
  const release = slot === undefined ? undefined : pins?.slots[slot]
  const place = diskPlace(seen)
  const vm = slot === undefined ? undefined : seen.slots[slot]
  const roles = release?.seed.roles ?? site.groups[group]?.roles ?? []
  const running = release === undefined ? undefined : pinnedImage(images, release)
  const newest = release === undefined ? undefined : newestFit(site.image, images)
  const newer = newest !== undefined && newest.record.fingerprint !== release?.image.fingerprint ? newest : undefined
  const problems = [...wrong, ...(guest?.problems ?? []), ...handedIn.map(({ path, message }) => `${path}: ${message}`)]
  const changed = [...differences(site, group, pins, seen), ...secrets]
  const given = certificatesOf(release?.given, new Date())
  const certificates = release?.seed.acme === undefined ? given : certificatesShown(given, guest?.certificate, new Date())
  const warnings = [
    ...(obstacles ?? []).map((obstacle) => `the data can't be handed over: ${obstacle}`),
    ...certificateWarnings(group, ownCertificateOf(site.public)?.chainFile, given),
    ...rolloutWarnings(group, pins),
  ]
  if ('disk' in place && place.disk.gone === true)
    problems.push(`the data disk ${place.disk.volume} is not on its storage. ${missing ?? ''}`)
  if (place.at === 'several') problems.push(`more than one disk could be the data: ${place.list.join(', ')}`)
  if (vm?.there === true && place.at !== slot)
    problems.push(
      place.at === 'nowhere'
        ? `there is no data disk${missing === undefined ? '' : `. ${missing}`}`
        : 'the slot does not own the data disk: run "npx golden deploy"',
    )
  const revoked = running?.revoked === true ? `image ${running.name} ${isRevokedText(running)}` : null
  if (revoked !== null)
    problems.push(`${revoked}. ${newer === undefined ? 'Bake a new one' : `Take ${newer.name}`}: "npx golden rollout ${group}"`)
  for (const [name, idle] of Object.entries(pins?.slots ?? {})) {
    const image = name === slot || idle === undefined ? undefined : pinnedImage(images, idle)
    if (image?.revoked === true)
      warnings.push(`slot ${name}, which is kept for the way back, has image ${image.name}, and that ${isRevokedText(image)}`)
  }
  if (release !== undefined && guest !== undefined && guest.release !== release.id)
    problems.push(`it runs release ${guest.release}, pinned is ${release.id}`)
  const health =
    away === true && slot !== undefined
      ? 'unreachable'
      : vm?.there !== true
        ? 'absent'
        : !vm.running
          ? 'stopped'
          : guest === undefined
            ? 'unreachable'
            : guest.healthy && guest.active && problems.length === 0
              ? 'healthy'
              : 'unhealthy'
  const service = release?.seed.service ?? site.groups[group]?.service ?? ''
  const withGrafana = roles.includes('logging') && guest?.missing.includes('grafana') !== true
  return {
    group,
    roles,
    activeSlot: slotNames.find((name) => name === place.at) ?? null,
    release: release?.id ?? null,
    image: release?.image ?? null,
    vm: vm?.there === true && release !== undefined ? { vmid: release.vm.vmid, name: release.vm.name, running: vm.running } : null,
    slots: Object.fromEntries(slotNames.flatMap((name) => slotStatus(name, pins, seen) ?? [])),
    since:
      release === undefined || place.at !== slot
        ? null
        : (history.findLast(({ to }) => to.release === release.id)?.ended ?? release.created),
    imageBuilt: running?.record.built ?? null,
    revoked,
    newerImage: newer === undefined ? null : newer.name,
    rollout: pins?.rollout ?? null,
    lastRollout: history.at(-1) ?? null,
    serviceAddress: service,
    urls: urlsOf(site, roles, service, release, withGrafana),
    caFile:
      roles.includes('serena') && site.public.certificate !== undefined ? (rootOf(site, folder) ?? null) : join(folder, secretFiles.ca),
    caFingerprint: roles.includes('serena') && site.public.certificate !== undefined ? null : fingerprintOf(ca),
    credentialFiles: credentialFiles(site, folder, roles, withGrafana),
    health,
    problems,
    warnings,
    certificates,
    services: Object.fromEntries(Object.entries(guest?.services ?? {}).map(([name, { state }]) => [name, state])),
    missing: guest?.missing ?? [],
    sseClients: guest?.sseClients ?? null,
    restorePoints: restorePointsOf(guest, images, now),
    dataDisk: { at: place.at, volume: 'disk' in place ? place.disk.volume : null },
    claim: claimOf(seen, now),
    siteDiffers: changed.length > 0,
    differences: changed,
  }
}

/** Of a rollout that has not come to a good end. */
export function rolloutWarnings(group: string, pins: GroupPins | undefined): string[] {
  const note = pins?.rollout
  if (note === undefined) return []
  return [
    note.phase === 'failed'
      ? `the rollout to slot ${note.to} failed, and the data went back: ${note.reason ?? ''}`
      : `a rollout to slot ${note.to} is under way since ${note.since}, or was interrupted: "npx golden rollout ${group}" goes on with it, "npx golden rollback ${group}" goes back`,
  ]
}

function slotStatus(slot: SlotName, pins: GroupPins | undefined, seen: GroupSeen): [[SlotName, SlotStatus]] | undefined {
  const release = pins?.slots[slot]
  if (release === undefined) return undefined
  const vm = seen.slots[slot]
  return [
    [
      slot,
      {
        vmid: release.vm.vmid,
        name: release.vm.name,
        release: release.id,
        image: release.image.name,
        created: release.created,
        state: vm.there !== true ? 'absent' : vm.running ? 'running' : 'stopped',
        owns: diskPlace(seen).at === slot,
      },
    ],
  ]
}

const restorePointsOf = (guest: GuestStatus | undefined, images: readonly Image[], now: Date): GroupStatus['restorePoints'] =>
  guest?.restorePoints?.map(({ image, ...point }) => ({
    ...point,
    image: images.find(({ record }) => record.fingerprint === image)?.name ?? image,
    ageMinutes: Math.max(0, Math.round((now.getTime() - Date.parse(point.made)) / 60_000)),
  })) ?? null

function claimOf({ depot }: GroupSeen, now: Date): GroupStatus['claim'] {
  if (depot.there !== true || depot.claim === undefined) return null
  const { id: _id, ...claim } = depot.claim
  return { ...claim, stale: isStale(depot.claim, now) }
}

function urlsOf(
  site: Site,
  roles: readonly Role[],
  service: string,
  release: GroupPins['slots'][SlotName],
  withGrafana: boolean,
): Record<string, string> {
  const { host, httpsPort } = release?.seed.public ?? site.public
  const transports = release?.seed.serena?.transports ?? site.serena.transports
  const base = `https://${host}${httpsPort === 443 ? '' : `:${httpsPort}`}`
  const paths = { 'streamable-http': '/mcp', sse: '/sse' }
  return {
    ...(roles.includes('serena') ? Object.fromEntries(transports.map((transport) => [transport, `${base}${paths[transport]}`])) : {}),
    ...(withGrafana ? { grafana: `https://${service}:${release?.seed.logging?.port ?? site.logging.port}/` } : {}),
  }
}

function credentialFiles(site: Site, folder: string, roles: readonly Role[], withGrafana: boolean): Record<string, string> {
  const users = roles.includes('serena')
    ? site.serena.users.flatMap(({ name, password }) => (password.kind === 'file' ? [[name, resolve(folder, password.path)]] : []))
    : []
  const grafana = join(folder, secretFiles.grafanaAdminPassword)
  return { ...Object.fromEntries(users), ...(withGrafana && existsSync(grafana) ? { 'grafana:admin': grafana } : {}) }
}
