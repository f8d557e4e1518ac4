/** Which verb is next, by the state that one leaves. Pure. */
import { shellWord } from '../core/shell-word.ts'
import { channels } from '../images/channels.ts'
import type { Image } from '../images/catalog.ts'
import type { Deployment } from '../releases/deployment.ts'
import type { SiteStatus } from '../rollout/status.ts'
import type { RolledOutGroup } from '../rollout/rollout.ts'
import type { DestroyedGroup } from '../rollout/destroy.ts'
import type { DeployedGroup } from '../rollout/deploy.ts'
import { otherSlot, type Site } from '../settings/site.ts'
import { step, type NextStep } from './next-step.ts'

const isDeployed = ({ groups }: Deployment): boolean => Object.values(groups).some(({ active }) => active !== undefined)

/** What the verb itself would now do. */
export const afterPlan = (command: string, doesSomething: boolean): NextStep[] => (doesSomething ? [step(command, 'do it')] : [])

export interface SiteFolderState {
  readonly folder: string
  /** site.ts is the example still, as it was copied. */
  readonly isExample: boolean
  readonly hasToken: boolean
  readonly hasLock: boolean
  readonly deployment: Deployment
  /** Who has been asked for at the first time, if that was not the usual one. */
  readonly administrator?: string
}

/** @param made whether anything was */
export function afterInit({ folder, isExample, deployment, administrator, ...state }: SiteFolderState, made: boolean): NextStep[] {
  if (isExample)
    return [
      { command: `$EDITOR ${folder}/site.ts`, why: 'addresses, storage, public name' },
      step('init', 'certificates for the names that you chose'),
    ]
  if (isDeployed(deployment)) return made ? [step('rollout --plan', 'a VM keeps what it was given; the next one gets this')] : []
  const setup = administrator === undefined ? 'setup' : `setup --admin ${shellWord(administrator)}`
  return state.hasToken ? afterSetup({ ...state, deployment }) : [step(setup, "the administrator's part on the Proxmox host")]
}

/** Once the host is prepared. */
export function afterSetup({ hasLock, deployment }: Pick<SiteFolderState, 'hasLock' | 'deployment'>): NextStep[] {
  if (isDeployed(deployment)) return [step('status', 'what runs, and how it is')]
  return hasLock ? [step('bake', 'the image')] : [step('lock', 'what goes into the image, into a file that you review')]
}

/** @param found there is something new; @param check it was not written */
export function afterLock(found: boolean, check: boolean): NextStep[] {
  if (check) return found ? [step('lock', 'take it')] : []
  return [step('bake', found ? 'an image with it' : 'nothing to do, if there is an image of it')]
}

export type ImageState = Pick<Image, 'name' | 'verification' | 'channel'> & { readonly fingerprint: string }

/**
 * What an image of this site still lacks before it runs: to be verified, a channel, or somebody who takes it.
 * @param isTaken deployments and rollouts take this one by themselves, once it is fit. @default true
 */
export function afterImage(
  image: ImageState,
  { image: wish, groups }: Pick<Site, 'image' | 'groups'>,
  deployment: Deployment,
  isTaken = true,
): NextStep[] {
  const { name, verification, channel, fingerprint } = image
  if (verification === 'failed') return [step('bake', 'another one, once what its checks say is mended')]
  if (wish.onlyVerified && verification === 'none')
    return [step(`verify ${name}`, 'clones of it do all that a slot does; nothing else is deployed here')]
  if (channel === undefined || channels.indexOf(channel) < channels.indexOf(wish.channel))
    return [step(`promote ${name}`, `this site takes images of channel ${wish.channel}`)]
  const running = Object.keys(groups).map((group) => {
    const pins = deployment.groups[group]
    return pins?.active === undefined ? undefined : pins.slots[pins.active]?.image.fingerprint
  })
  const rollout = isTaken ? 'rollout --plan' : `rollout --plan --image ${name}`
  return [
    ...(isTaken && running.includes(undefined) ? [step('deploy', 'VMs of it')] : []),
    ...(running.some((one) => one !== undefined && one !== fingerprint) ? [step(rollout, 'how it would take over from what runs')] : []),
  ]
}

/** @param fit another image that rollouts would take; @param used some group runs a revoked one */
export function afterRevoke(fit: boolean, used: boolean): NextStep[] {
  if (!fit)
    return [
      step('lock', 'what it was revoked for may be mended by now'),
      step('bake', 'another image'),
      ...(used ? [step('rollout', 'it takes over; what runs goes on until then')] : []),
    ]
  return used ? [step('rollout', 'another image takes over; what runs goes on until then')] : []
}

export function afterDeploy(groups: readonly Pick<DeployedGroup, 'outcome' | 'siteDiffers'>[]): NextStep[] {
  const changed = groups.some(({ outcome }) => outcome === 'deployed')
  return [
    ...(changed
      ? [
          step('status', 'what runs where, and how it is'),
          step('client --check', 'what a client sees from this computer'),
          step('client claude-code', "your client's settings; or cursor, vscode, …"),
        ]
      : []),
    ...differing(groups.some(({ siteDiffers }) => siteDiffers)),
  ]
}

const differing = (differs: boolean): NextStep[] =>
  differs ? [step('rollout --plan', 'what site.ts says otherwise comes with the next slot')] : []

/** Nothing, while all is well: what is wrong with a group says itself what mends it. */
export function afterStatus({ groups }: Pick<SiteStatus, 'groups'>): NextStep[] {
  const all = Object.values(groups)
  const moving = all.filter(({ rollout }) => rollout?.phase !== undefined && rollout.phase !== 'failed')
  if (moving.length > 0)
    return moving.flatMap(({ group }) => [
      step(`rollout ${group}`, 'goes on with what is under way'),
      step(`rollback ${group}`, 'or goes back'),
    ])
  const revoked = all.filter((one) => one.revoked !== null)
  if (revoked.length > 0)
    return afterRevoke(
      revoked.every(({ newerImage }) => newerImage !== null),
      true,
    )
  return [
    ...all.flatMap(({ health, vm }) =>
      health === 'stopped' && vm !== null
        ? [{ command: `qm start ${vm.vmid}`, why: `on the node, or in Proxmox: ${vm.name} is switched off` }]
        : [],
    ),
    ...(all.some(({ health }) => health === 'absent') ? [step('deploy', 'the groups that are not there')] : []),
    ...(all.some(({ newerImage, siteDiffers, health }) => health !== 'absent' && (newerImage !== null || siteDiffers))
      ? [step('rollout --plan', 'what is newer, and would take over')]
      : []),
  ]
}

export interface ClientState {
  readonly deployed: boolean
  /** undefined: its file is not known. */
  readonly file: string | undefined
  readonly did: 'print' | 'plan' | 'write'
}

export function afterClient(name: string, { deployed, file, did }: ClientState): NextStep[] {
  if (!deployed) return [step('deploy', 'there is nothing to connect to yet')]
  if (did === 'plan') return [step(`client ${name} --write`, 'do it')]
  return [
    ...(did === 'print' && file !== undefined ? [step(`client ${name} --write`, `merge it into ${file}`)] : []),
    step('client --check', 'what a client sees from this computer'),
  ]
}

export function afterRollout(groups: readonly Pick<RolledOutGroup, 'outcome'>[]): NextStep[] {
  return groups.every(({ outcome }) => outcome === 'nothing')
    ? []
    : [step('status', 'what runs where, and how it is'), step('rollback', 'the slot before serves again')]
}

/** The next rollout would bring back what somebody went away from. @param deployment of after */
export function afterRollback(groups: readonly Pick<RolledOutGroup, 'group' | 'outcome' | 'slot'>[], deployment: Deployment): NextStep[] {
  const left = groups.flatMap(({ group, outcome, slot }) => {
    const slots = deployment.groups[group]?.slots
    const [now, before] = [slots?.[slot]?.image, slots?.[otherSlot(slot)]?.image]
    return outcome === 'nothing' || before === undefined || before.fingerprint === now?.fingerprint ? [] : [before.name]
  })
  if (groups.every(({ outcome }) => outcome === 'nothing')) return []
  return [
    step('status', 'what runs where, and how it is'),
    ...[...new Set(left)].map((name) =>
      step(`revoke ${name} --reason "…"`, 'if that image is at fault: else the next rollout takes it again'),
    ),
    ...(left.length === 0 ? [step('rollout --plan', 'what the next one would bring again: mend site.ts before')] : []),
  ]
}

export function afterDestroy(groups: readonly Pick<DestroyedGroup, 'group' | 'dataDisk'>[]): NextStep[] {
  return [
    step('deploy', groups.some(({ dataDisk }) => dataDisk === 'kept') ? 'brings it back, with its data' : 'brings it back'),
    ...groups.flatMap(({ group, dataDisk }) =>
      dataDisk === 'kept' ? [step(`delete-data ${group}`, 'its data is not wanted any more')] : [],
    ),
  ]
}

/** @param deployment of after */
export function afterDeleteData(deployment: Deployment): NextStep[] {
  return [
    step('deploy', 'makes it anew, empty'),
    ...(Object.keys(deployment.groups).length === 0 ? [step('prune --all', 'if the site is to go: no image is needed any more')] : []),
  ]
}

/** @param left what was to go and is there still. @param all nothing was to stay */
export function afterPrune(words: string, left: number, all: boolean, deployment: Deployment): NextStep[] {
  if (left > 0) return [step(words, 'once that is mended: it goes on')]
  return all && Object.keys(deployment.groups).length === 0
    ? [step('setup --remove', 'if the site is to go: the host as it was before')]
    : []
}
