/** What `status` found, for people. Pure. */
import { ageText, sizeText } from '../core/quantity.ts'
import { firewallNotice } from './firewall.ts'
import { holderText, timeText } from './group-claim.ts'
import type { RolloutEntry } from './history.ts'
import { sseLine } from './sse-clients.ts'
import type { GroupStatus, SiteStatus } from './status.ts'

const claimLine = (claim: NonNullable<GroupStatus['claim']>): string =>
  claim.stale
    ? `${holderText(claim)}, not renewed since and good until ${timeText(claim.until)}: the next run takes over`
    : `${holderText(claim)} is at it`

const day = (time: string): string => time.slice(0, 16).replace('T', ' ')

function slotLines({ slots, image, activeSlot, release, since, imageBuilt }: GroupStatus): string[] {
  if (image === null) return []
  const baked = imageBuilt === null ? '' : ` of ${imageBuilt.slice(0, 10)}`
  const old = Object.entries(slots).filter(([, slot]) => slot.release !== release)
  return [
    `  slot     ${activeSlot ?? 'none'}, release ${release ?? 'none'}, image ${image.name}${baked}${since === null ? '' : `, since ${day(since)}`}`,
    ...old.map(([name, slot]) => `  before   ${name}, release ${slot.release}, image ${slot.image}: ${slot.state}, VM ${slot.vmid}`),
  ]
}

function restoreLines({ group, restorePoints }: GroupStatus): string[] {
  const newest = restorePoints?.at(-1)
  if (restorePoints === null || newest === undefined) return []
  const count = restorePoints.length === 1 ? '1 restore point' : `${restorePoints.length} restore points`
  const bytes = restorePoints.reduce((sum, point) => sum + point.bytes, 0)
  const use = newest.last ? `: "npx golden rollback ${group} --state before" puts it back` : ''
  return [
    `  state    ${count}, ${sizeText(bytes)}, the newest ${ageText(newest.ageMinutes)} old, as image ${newest.image.slice(0, 40)} had left it${use}`,
  ]
}

function clientLines({ sseClients }: GroupStatus): string[] {
  const line = sseLine(sseClients)
  return line === undefined ? [] : [`  clients  ${line}`]
}

function rolloutText({ verb, from, to, who, began, ended, outcome, reason }: RolloutEntry): string {
  const seconds = Math.round((Date.parse(ended) - Date.parse(began)) / 1000)
  const how = outcome === 'done' ? 'done' : outcome === 'taken-back' ? 'taken back' : 'not ended'
  return `${verb} from ${from.slot} to ${to.slot}, ${day(began)}, ${seconds} s, by ${who}: ${how}${reason === undefined ? '' : ` (${reason.split('\n')[0]})`}`
}

/** The fingerprint is what people compare the page at /ca with, where the guest has one. */
const caLines = ({ caFile, caFingerprint, roles, serviceAddress }: GroupStatus): string[] =>
  caFile === null
    ? []
    : [
        `  ca       ${caFile}${roles.includes('serena') && caFingerprint !== null ? `, from the admin network http://${serviceAddress}/ca` : ''}`,
        ...(caFingerprint === null ? [] : [`           SHA-256 ${caFingerprint}`]),
      ]

/** Before anything else: whoever looks for something else has to see it, too. */
const revokedLines = (groups: readonly GroupStatus[]): string[] =>
  groups.flatMap(({ group, revoked }) => (revoked === null ? [] : [`REVOKED   ${group} runs it: ${revoked}`]))

export function renderStatus(status: SiteStatus): string {
  const groups = Object.values(status.groups)
  const lines = groups.flatMap((one) => [
    `${one.group} (${one.roles.join(', ')}): ${one.health}`,
    ...slotLines(one),
    ...(one.newerImage === null ? [] : [`  newer    image ${one.newerImage}: "npx golden rollout ${one.group}" brings it`]),
    ...(one.lastRollout === null ? [] : [`  last     ${rolloutText(one.lastRollout)}`]),
    `  address  ${one.serviceAddress}`,
    ...Object.entries(one.urls).map(([name, url]) => `  ${name.padEnd(8)} ${url}`),
    ...caLines(one),
    ...Object.entries(one.credentialFiles).map(([user, file]) => `  password ${user}: ${file}`),
    `  data     ${one.dataDisk.volume ?? 'none'} (${one.dataDisk.at})`,
    ...restoreLines(one),
    ...clientLines(one),
    ...(one.claim === null ? [] : [`  claim    ${claimLine(one.claim)}`]),
    ...(one.missing.length === 0 ? [] : [`  without  ${one.missing.join(', ')}: the image has none`]),
    ...one.certificates.map(({ name, ends, daysLeft }) => `  ends     ${name}: ${ends.slice(0, 10)}, ${daysLeft} days left`),
    ...one.problems.map((problem) => `  problem  ${problem}`),
    ...one.warnings.map((warning) => `  warning  ${warning}`),
    ...one.differences.map((difference) => `  note     ${difference}`),
  ])
  lines.unshift(...revokedLines(groups))
  lines.push(...status.problems.map((problem) => `problem    ${problem}`))
  lines.push(...status.warnings.map((warning) => `warning    ${warning}`))
  const firewall = firewallNotice(status.proxmoxFirewall)
  if (firewall !== undefined) lines.push(firewall)
  return lines.join('\n')
}
