/** What site.ts asks for that is other than what a slot runs: which setting, from what, to what. */
import { canonical, type Plain } from '../core/canonical.ts'
import { newRelease, type Release } from '../releases/deployment.ts'
import { otherSlot, type Site, type SlotName } from '../settings/site.ts'

export interface SettingChange {
  /** Where it is in site.ts, e.g. `serena.memoryMiB`. */
  readonly setting: string
  /** What runs. */
  readonly from: string
  readonly to: string
}

/** What a setting is in a release, and how that is shown. */
type Row = readonly [setting: string, value: (release: Release) => Plain | undefined, show?: (value: Plain | undefined) => string]

/** A key's comment tells people more than the key. */
const nameOf = (key: string): string => key.split(/\s+/).slice(2).join(' ') || `…${key.trim().slice(-12)}`

const flowsOf = ({ flows }: Release, purpose: string): Release['flows']['flows'] => flows.flows.filter((flow) => flow.purpose === purpose)

function rows(group: string, slot: SlotName): Row[] {
  const own = `groups.${group}`
  return [
    ['proxmox.node', ({ vm }) => vm.node],
    ['proxmox.pool', ({ vm }) => vm.pool],
    ['proxmox.bridge', ({ vm }) => vm.bridge],
    ['proxmox.vlan', ({ vm }) => vm.vlan],
    ['proxmox.storage.iso', ({ vm }) => vm.seed.split(':')[0]],
    [`${own}.roles`, ({ seed }) => seed.roles],
    [`${own}.cores`, ({ vm }) => vm.cores],
    [`${own}.memoryMiB`, ({ vm }) => vm.memoryMiB],
    [`${own}.service`, ({ seed }) => seed.service],
    [`${own}.slots.${slot}.vmid`, ({ vm }) => vm.vmid],
    [`${own}.slots.${slot}.address`, ({ seed }) => seed.address],
    [`${own}.slots.${otherSlot(slot)}.address`, ({ seed }) => seed.peer],
    ['network.subnet', ({ seed }) => `/${seed.prefix}`],
    ['network.gateway', ({ seed }) => seed.gateway],
    ['network.nameservers', ({ seed }) => seed.nameservers],
    ['network.ntp', ({ seed }) => seed.ntp],
    ['network.containers', ({ seed }) => seed.containers],
    ['network.admin', (release) => flowsOf(release, 'SSH from the admin network').flatMap(({ remote }) => remote)],
    [
      'network.outgoing',
      (release) =>
        flowsOf(release, 'listed in network.outgoing').map(
          ({ remote, ports, protocol }) => `${remote.join(',')}:${ports.join(',')}/${protocol}`,
        ),
    ],
    ['public.host', ({ seed }) => seed.public.host],
    ['public.httpsPort', ({ seed }) => seed.public.httpsPort],
    ['public.httpPort', ({ seed }) => seed.public.httpPort],
    ['public.certificate', ({ access, seed }) => (seed.acme === undefined ? access?.certificate : acmeText(seed.acme))],
    ['public.certificate.rootFile', ({ access }) => access?.rootFile],
    [
      'public.certificate.outgoing',
      (release) =>
        flowsOf(release, 'the ACME client').map(({ remote, ports, protocol }) => `${remote.join(',')}:${ports.join(',')}/${protocol}`),
    ],
    ['serena.transports', ({ seed }) => seed.serena?.transports],
    ['serena.interface', ({ seed }) => seed.serena?.interface],
    ['serena.shell', ({ seed }) => seed.serena?.shell],
    ['serena.memoryMiB', ({ seed }) => seed.serena?.memoryMiB],
    ['serena.parking.calls', ({ seed }) => seed.serena?.parking?.calls],
    ['serena.parking.mebibytes', ({ seed }) => seed.serena?.parking?.mebibytes],
    ['serena.parking.seconds', ({ seed }) => seed.serena?.parking?.seconds],
    ['serena.projects', ({ seed }) => seed.serena?.projects.map(({ name, git }) => (git === undefined ? name : `${name} (${git})`))],
    ['serena.users', ({ access }) => access?.users],
    ['logging.retentionDays', ({ seed }) => seed.logging?.retentionDays],
    ['logging.port', ({ seed }) => seed.logging?.port ?? seed.loki?.port],
    ['logging.agent', ({ seed }) => seed.loki?.agent],
    ['the service address of the group with the role logging', ({ seed }) => seed.loki?.host],
    ['ssh.projectKeys', ({ seed }) => seed.ssh.projectKeys, keyNames],
    ['ssh.adminKeys', ({ seed }) => seed.ssh.adminKeys, keyNames],
  ]
}

const acmeText = ({ server, email, profile, externalAccount, dns }: NonNullable<Release['seed']['acme']>): string => {
  const by =
    dns === undefined ? 'HTTP-01' : `DNS-01 by ${dns.provider}${dns.waitSeconds === undefined ? '' : `, waiting ${dns.waitSeconds} s`}`
  const more = [email, profile && `profile ${profile}`, externalAccount && `account ${externalAccount}`].filter((one) => one !== undefined)
  return [`acme of ${server}`, by, ...more].join(', ')
}

const shown = (value: Plain | undefined): string =>
  value === undefined ? 'nothing' : Array.isArray(value) ? (value.length === 0 ? 'none' : value.join(', ')) : String(value)

const keyNames = (value: Plain | undefined): string => shown((value as readonly string[]).map(nameOf))

/** A release of what site.ts says now, in the place of a pinned one: of the same age, by the same name. */
export function releaseOfToday(site: Site, group: string, slot: SlotName, pinned: Release): Release {
  const seedTag = /-[0-9a-f]{12}([0-9a-f]{12})\.iso$/.exec(pinned.vm.seed)?.[1]
  return newRelease(site, group, slot, {
    id: pinned.id,
    created: new Date(pinned.created),
    image: pinned.image,
    fullClone: pinned.vm.fullClone ?? false,
    ...(seedTag === undefined ? {} : { seedTag }),
  })
}

/**
 * Empty where a release made now would be the same, its id and age aside. Pure.
 * @param group one that the site has
 */
export function settingChanges(site: Site, group: string, slot: SlotName, pinned: Release): SettingChange[] {
  const { given: _given, ...before } = pinned
  const { access, ...today } = releaseOfToday(site, group, slot, pinned)
  // A release of an earlier version does not say who may connect.
  const now: Release = access === undefined || before.access === undefined ? today : { ...today, access }
  const text = (one: unknown): string => canonical(one as Plain)
  if (text(now) === text(before)) return []
  const list = rows(group, slot).flatMap(([setting, value, show = shown]): SettingChange[] => {
    const [from, to] = [value(before), value(now)]
    if (text(from ?? null) === text(to ?? null)) return []
    const [one, other] = [show(from), show(to)]
    // Keys may differ whose comments do not.
    return [one === other ? { setting, from: one, to: `another ${other}` } : { setting, from: one, to: other }]
  })
  if (list.length > 0) return list
  return [{ setting: 'the version of this project', from: 'the one that this release was made with', to: 'this one' }]
}

export const changeText = ({ setting, from, to }: SettingChange): string => `${setting}: ${from} → ${to}`
