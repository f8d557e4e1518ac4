/** What a night is made of, bound to the real things: the verbs' own functions. */
import type { FailureFacts } from '../core/failure.ts'
import type { Progress } from '../core/progress.ts'
import { who } from '../core/who.ts'
import { isPinned, withLockedBase } from '../images/base-image.ts'
import { lookFirst } from '../doctor/first.ts'
import { elsewhere, listImages, templateNamed, type Image } from '../images/catalog.ts'
import { seedForm } from '../images/contract/seed.ts'
import { completeFromManifest } from '../images/complete-lock.ts'
import type { ImageDiff } from '../images/diff.ts'
import { changeLines, lockChanges, type LockChange } from '../images/lock-changes.ts'
import { findLock, parseLock, readLock, type Lock } from '../images/lock.ts'
import { promote } from '../images/promote.ts'
import { refuse } from '../images/refuse.ts'
import { updateLock } from '../images/resolve.ts'
import { collectRootfs, type Rootfs } from '../images/stage.ts'
import type { NightGroup, NightImage, NightSeen } from '../nightly/decide-night.ts'
import { deliver, requireDelivery } from '../nightly/deliver.ts'
import type { Message } from '../nightly/delivery.ts'
import type { ImageName, News, NightSteps, Survey } from '../nightly/night.ts'
import { takeUp } from '../nightly/to-branch.ts'
import { bake, planBaking } from '../packer/bake.ts'
import { baseFingerprint, mayGoOn } from '../packer/plan.ts'
import type { BakePreview } from '../packer/preview.ts'
import type { Proxmox } from '../proxmox/client.ts'
import { storageAt } from '../proxmox/storage.ts'
import { certificatesOf } from '../releases/given.ts'
import type { Deployment, GroupPins, Release } from '../releases/deployment.ts'
import { readPins } from '../releases/pins.ts'
import { outlookOf, outlookWithAcme, type CertificateOutlook } from '../rollout/acme-status.ts'
import { goneBackFrom, takenBackIn } from '../rollout/gone-back.ts'
import { guestOf } from '../rollout/guest.ts'
import { readHistory } from '../rollout/history.ts'
import { useText } from '../rollout/image-uses.ts'
import { compareImages, readImages } from '../rollout/list-images.ts'
import type { PruneOptions } from '../rollout/plan-prune.ts'
import { planPruning, prune } from '../rollout/prune.ts'
import { rollout } from '../rollout/rollout.ts'
import { otherSlot, type Site } from '../settings/site.ts'
import type { Program } from '../tools/index.ts'
import { checks } from '../verify/plan.ts'
import { verify } from '../verify/verify.ts'
import { toolVersions } from './lock.ts'
import type { OpenProxmox } from './open.ts'
import { programEnvironment } from './programs.ts'

export interface NightPlace {
  /** As site.ts has it, without what the lock says. */
  readonly site: Site
  readonly folder: string
  readonly env: NodeJS.ProcessEnv
  readonly cacheDir: string
  readonly progress: Progress
  readonly signal: AbortSignal
  /** The connection, made when it is first asked for: a secret that is not there is a failed night, of which people hear. */
  readonly open: () => Promise<OpenProxmox>
  /** @default images/stage.ts, with language servers */
  readonly stage?: (cacheDir: string) => Promise<Rootfs>
}

export function nightSteps(place: NightPlace): NightSteps {
  const { folder, env, cacheDir, progress, signal } = place
  const collect = place.stage ?? collectRootfs
  let rootfs: Promise<Rootfs> | undefined
  /** A night looks several times, and its own files do not change. */
  const stage = (dir: string): Promise<Rootfs> => (rootfs ??= collect(dir))
  /** The base may be another one since the lock was written. */
  const opened = async (): Promise<OpenProxmox> => ({ ...(await place.open()), site: await siteNow(place) })
  const openedFor = async (verb: 'bake' | 'rollout', program: Program) => {
    const open = await opened()
    await lookFirst(verb, { ...open, env, progress, signal })
    return { ...open, environment: await programEnvironment(open, [program], progress, signal), progress, signal }
  }
  /** A night looks several times, and tells it once. */
  const unfinished = new Set<string>()
  /** Where there is nothing to bake, no bake completes the lock. */
  const completeLock = async ({ plan }: BakePreview): Promise<void> => {
    if (plan.kind !== 'unchanged') return
    await completeFromManifest(folder, await readLock(folder), { ...plan.image.record, name: plan.image.name }, (text) => {
      if (!unfinished.has(text)) progress.warn(text)
      unfinished.add(text)
    })
  }
  const imageAt = async (open: OpenProxmox, { vmid }: ImageName): Promise<Image> =>
    templateNamed(open.site, (await listImages(open.proxmox, open.site)).images, String(vmid))

  return {
    ready: () => requireDelivery({ folder, settings: place.site.nightly.git, env }),
    async lock() {
      await takeUp({ folder, settings: place.site.nightly.git, env, progress })
      const newBase = place.site.nightly.newBase && !isPinned(place.site)
      const { changes } = await updateLock({
        site: place.site,
        folder,
        cacheDir,
        tools: toolVersions(place.site),
        progress,
        signal,
        newBase,
      })
      return changes.map(newsOf)
    },
    async look() {
      const open = await opened()
      const preview = await planBaking({ ...open, progress, cacheDir, stage })
      await completeLock(preview)
      return look(open, preview)
    },
    async bake() {
      const options = await openedFor('bake', 'packer')
      const { template } = await bake({ ...options, cacheDir, stage })
      return { vmid: template.vmid, name: template.name }
    },
    async verify({ vmid }) {
      const { site, proxmox } = await opened()
      await lookFirst('verify', { site, folder, proxmox, env, progress, signal })
      const { passed, checks: results } = await verify({ site, folder, proxmox, progress, signal, image: String(vmid) })
      return {
        passed,
        checks: results.map(({ clone, name, ok, detail, skipped }) => ({
          name: `${clone}: ${checks[name]}`,
          ok,
          ...(detail === undefined ? {} : { detail: skipped ? `not tried: ${detail}` : detail }),
        })),
      }
    },
    async promote(image) {
      const open = await opened()
      await promote({ ...open, by: who(), signal }, await imageAt(open, image), 'stable')
    },
    async rollout(image, groups) {
      const before = await readPins(folder)
      const options = await openedFor('rollout', 'engine')
      const done = await rollout({ ...options, only: groups, image: String(image.vmid) })
      return done
        .filter(({ outcome }) => outcome !== 'nothing')
        .map(({ group, image: to, parts }) => ({
          group,
          from: activeOf(before, group)?.image.name ?? '',
          to,
          ms: parts.reduce((sum, { ms }) => sum + ms, 0),
        }))
    },
    async refuse(image, reason) {
      const open = await opened()
      await refuse({ ...open, by: who(), signal }, await imageAt(open, image), reason)
    },
    async prune() {
      const open = await opened()
      const how = pruneOptions(open)
      const plan = await planPruning(open, how)
      const { plan: done } = await prune({ ...open, environment: {}, progress, signal }, how, plan)
      return [
        ...done.remove.map(({ what, name, bytes }) => ({ what, name, bytes: bytes ?? null })),
        ...done.seeds.map((name) => ({ what: 'seed', name, bytes: null })),
      ]
    },
    async deliver() {
      const after = await readLock(folder)
      return deliver({ folder, settings: place.site.nightly.git, env, progress, message: (before) => lockMessage(before, after) })
    },
    async survey(made) {
      const found = await survey(await opened(), made, signal)
      return { ...found, warnings: [...found.warnings, ...unfinished] }
    },
  }
}

/** With the base that the lock has by now, where the site leaves it to that. */
export const siteNow = async ({ site, folder }: Pick<NightPlace, 'site' | 'folder'>): Promise<Site> =>
  isPinned(site) ? site : withLockedBase(site, await findLock(folder))

const newsOf = ({ what, name, from, to }: LockChange): News => ({ what, name, from: from ?? null, to: to ?? null })

const activeOf = ({ groups }: Deployment, group: string) => {
  const pins = groups[group]
  return pins?.active === undefined ? undefined : pins.slots[pins.active]
}

const pruneOptions = ({ site, proxmox }: OpenProxmox): PruneOptions => ({
  wantedBase: baseFingerprint(site),
  mayBeBaking: (built) => mayGoOn(Date.parse(built), proxmox.now().getTime()),
  oldSlots: false,
})

/** What the night decides by. */
export async function look(open: OpenProxmox, preview: BakePreview): Promise<NightSeen> {
  const { site, folder, proxmox } = open
  const { images } = await listImages(proxmox, site)
  const deployment = await readPins(folder)
  const goneBack = goneBackFrom(await readHistory(folder))
  const takenBack = takenBackIn(deployment)
  const { remove, seeds } = await planPruning(open, pruneOptions(open))
  return {
    now: proxmox.now(),
    inputs: inputsOf(preview),
    images: images.map(
      (image): NightImage => ({
        vmid: image.vmid,
        name: image.name,
        fingerprint: image.record.fingerprint,
        built: image.record.built,
        verified: image.record.verify && { passed: image.record.verify.passed, at: image.record.verify.at },
        channel: image.channel,
        demoted: image.record.channel?.name === 'candidate',
        revoked: image.revoked,
        usable:
          image.record.base.sha256 === site.image.base.sha256 &&
          elsewhere(site, image) === undefined &&
          (image.record.seed ?? 1) === seedForm,
        refused: image.record.refused?.reason ?? goneBack.get(image.name) ?? takenBack.get(image.name),
      }),
    ),
    groups: groupsOf(site, deployment),
    prunable: remove.length + seeds.length,
  }
}

function inputsOf({ fingerprint, plan }: BakePreview): NightSeen['inputs'] {
  if (plan.kind !== 'revoked' && plan.kind !== 'base-revoked') return { fingerprint, bake: plan.kind }
  const refusal: FailureFacts =
    plan.kind === 'revoked'
      ? {
          code: 'image-revoked',
          message: `the image of today's inputs, ${plan.image.name} (${plan.image.vmid}), is revoked: nothing is baked`,
          hint: 'Change what it was revoked for: the lock, the base image, or the project.',
        }
      : {
          code: 'base-revoked',
          message: `the base ${plan.base.name} (${plan.base.vmid}) is revoked: nothing is baked from it`,
          hint: 'Take another base: image.base in site.ts, or "npx golden lock --base".',
        }
  return { fingerprint, bake: 'refused', refusal }
}

/** Those that are deployed and that the site still has. */
function groupsOf(site: Site, deployment: Deployment): NightGroup[] {
  return Object.entries(deployment.groups).flatMap(([group, pins]) => {
    const active = activeOf(deployment, group)
    if (active === undefined || site.groups[group] === undefined) return []
    const unfinished = unfinishedOf(pins)
    return [{ group, image: active.image, since: active.created, ...(unfinished === undefined ? {} : { unfinished }) }]
  })
}

/**
 * The image that a rollout which was interrupted was about. One that was only preparing has touched nothing that serves, and
 * may not have its release yet.
 */
export function unfinishedOf({ rollout: note, slots }: GroupPins): ImageName | undefined {
  if (note === undefined || note.phase === 'prepare' || note.phase === 'failed') return undefined
  const image = slots[note.phase === 'take-back' ? otherSlot(note.to) : note.to]?.image
  return image && { vmid: image.vmid, name: image.name }
}

/** For whoever reviews the lock. */
export function lockMessage(before: string | undefined, after: Lock): Message {
  let old: Lock | undefined
  try {
    old = before === undefined ? undefined : parseLock(before, 'images.lock.json')
  } catch {
    // Of another version, or broken: everything is new then.
  }
  const changes = lockChanges(old, after)
  const names = [...new Set(changes.map(({ name }) => name))]
  const first = names.slice(0, 3).join(', ')
  return {
    subject:
      names.length === 0 ? 'Keep what the night has made' : `Lock ${first}${names.length > 3 ? ` and ${names.length - 3} more` : ''}`,
    body: ['Baked and verified by golden nightly.', '', ...changeLines(changes).map((line) => `- ${line}`)].join('\n'),
  }
}

async function survey(open: OpenProxmox, made: ImageName | undefined, signal: AbortSignal): Promise<Survey> {
  const { site, folder, proxmox } = open
  const { node, storage } = site.proxmox
  const [deployment, { images }, status] = await Promise.all([
    readPins(folder),
    readImages(open),
    storageAt(proxmox, node, storage.disks).status(),
  ])
  const certificates: Survey['certificates'][number][] = []
  for (const group of Object.keys(deployment.groups))
    certificates.push(...(await certificatesIn(proxmox, activeOf(deployment, group), signal)).map((one) => ({ group, ...one })))
  const at = images.findIndex(({ vmid }) => vmid === made?.vmid)
  const before = at < 0 ? undefined : images.slice(at + 1).find(({ revoked }) => !revoked)
  return {
    differences:
      made === undefined || before === undefined ? null : differencesOf(await compareImages(open, String(before.vmid), String(made.vmid))),
    certificates,
    images: images.map(({ name, vmid, built, channel, verification, revoked, bytes, uses }) => ({
      name,
      vmid,
      built,
      channel,
      verification,
      revoked,
      bytes,
      usedBy: uses.map(useText),
    })),
    storage: status.total > 0 ? { name: storage.disks, usedBytes: status.used, totalBytes: status.total } : null,
    warnings: images.flatMap(({ name, signature, uses }) =>
      signature?.problem == null || uses.length === 0 ? [] : [`${name}: ${signature.problem.message}`],
    ),
  }
}

/** Of the release that serves. What a slot has from an ACME server is its own to say: the release was given one in its place. */
export async function certificatesIn(proxmox: Proxmox, release: Release | undefined, signal?: AbortSignal): Promise<CertificateOutlook[]> {
  const given = certificatesOf(release?.given, proxmox.now())
  if (release?.seed.acme === undefined) return outlookOf(given)
  const { node, vmid } = release.vm
  return outlookWithAcme(given, await guestOf(proxmox, node, vmid, signal).status(), proxmox.now())
}

function differencesOf({ from, to, base, containers, packages, files, unknown }: ImageDiff): NonNullable<Survey['differences']> {
  const of = (what: string, changes: ImageDiff['packages']): News[] => (changes ?? []).map((change) => ({ what, ...change }))
  return {
    from: from.name,
    to: to.name,
    news: [...of('base', base), ...of('container', containers), ...of('package', packages), ...of('file', files)],
    unknown,
  }
}
