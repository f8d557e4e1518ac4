/**
 * `golden verify`: clones of an image, on the build address, with secrets that are thrown away, that do all that a slot
 * does; what they show is kept with the image, and they are gone. What ends it otherwise says nothing of the image.
 */
import { randomBytes } from 'node:crypto'
import { Failure } from '../core/failure.ts'
import type { Progress } from '../core/progress.ts'
import { who } from '../core/who.ts'
import { listImages, listRange, type Image } from '../images/catalog.ts'
import { requireTrusted } from '../images/trust.ts'
import { claimBake, type BakeClaim } from '../packer/claim.ts'
import { clearLeftovers, endAbandoned } from '../packer/clear.ts'
import { freeVmids } from '../packer/host.ts'
import { newRun } from '../packer/names.ts'
import { findLeftovers } from '../packer/plan.ts'
import type { Proxmox } from '../proxmox/client.ts'
import { requirePlace } from '../proxmox/place.ts'
import { placeOf, type Site } from '../settings/site.ts'
import { makeClone, removeClone, type Clone, type Cloning } from './clones.ts'
import { keepResult } from './keep-result.ts'
import { fromHere, type Here } from './outside.ts'
import { imageToVerify, ofOtherVersion, planVerify, type VerifyPlan } from './plan.ts'
import { failedChecks, hasPassed, newReport, type CheckResult } from './report.ts'
import { makeTrialSecrets, type TrialSecrets } from './secrets.ts'
import { trialGroups, trialRelease, trialSite } from './trial.ts'
import { begin, type Patience, type Trying } from './course.ts'
import { bringUp, tryOut, wearOut } from './try-out.ts'

export interface VerifyOptions {
  readonly site: Site
  /** The site folder. */
  readonly folder: string
  readonly proxmox: Proxmox
  readonly progress: Progress
  readonly signal: AbortSignal
  /** By its name, the end of it, or its VMID. @default the newest of the site's base */
  readonly image?: string
  /** @default by the site, or what a slow host takes */
  readonly patience?: Partial<Patience>
  /** @default this computer, through the site's proxy if it has one */
  readonly here?: Here
}

export interface VerifyResult {
  readonly image: { readonly vmid: number; readonly name: string; readonly fingerprint: string }
  /** That it is in. */
  readonly channel: Image['channel'] | null
  readonly passed: boolean
  readonly checks: readonly CheckResult[]
  readonly ms: number
}

/** What `verify` would do; nothing is changed. @throws Failure as `imageToVerify` */
export async function planVerification({ site, proxmox, image }: Pick<VerifyOptions, 'site' | 'proxmox' | 'image'>): Promise<VerifyPlan> {
  return planVerify(site, imageToVerify(site, (await listImages(proxmox, site)).images, image))
}

/**
 * @throws Failure `bake-in-progress`, `template-range-full`, `cancelled`, those of proxmox/place.ts and `imageToVerify`, or
 * Proxmox's: of the image they say nothing
 */
export async function verify(options: VerifyOptions): Promise<VerifyResult> {
  const { folder, signal } = options
  const run = newRun(new Date())
  const claim = await claimBake(folder, '', run, options)
  const left: string[] = []
  try {
    return await carryOut({ ...options, run, claim, left })
  } catch (error) {
    if (signal.aborted) throw stopped(left, error)
    throw left.length > 0 && error instanceof Failure
      ? new Failure(error.code, error.message, `${error.hint} ${stillThere(left)}`, { cause: error })
      : error
  } finally {
    await claim.release()
  }
}

const stillThere = (left: readonly string[]): string =>
  `Still there: ${left.join(', ')}; the next "npx golden verify" or "npx golden bake" in this site folder takes care of it.`

const stopped = (left: readonly string[], cause: unknown): Failure =>
  left.length === 0
    ? new Failure('cancelled', 'the verification was stopped; its clones are removed', 'Run "npx golden verify" again.', { cause })
    : new Failure('cancelled', 'the verification was stopped, but not all of its clones could be removed', stillThere(left), { cause })

interface Verification extends VerifyOptions {
  /** packer/names.ts */
  readonly run: string
  readonly claim: BakeClaim
  /** What this run has made and could not remove. */
  readonly left: string[]
}

async function carryOut(verification: Verification): Promise<VerifyResult> {
  const { site, proxmox, progress, signal, claim } = verification
  const began = performance.now()
  const { linkedClones } = await requirePlace(proxmox, placeOf(site), progress.warn)
  if (claim.abandoned.length > 0) await endAbandoned(verification)
  // Its VMs, and those of a bake, would have the same address.
  await clearLeftovers(verification, findLeftovers(site, await listRange(proxmox, site)), true)
  const image = imageToVerify(site, (await listImages(proxmox, site)).images, verification.image)
  await requireTrusted(verification, image)
  const vmids = await freeVmids(proxmox, site, trialGroups(site).length)
  const trial = trialSite(site, vmids)
  const secrets = await makeTrialSecrets(trial, new Date())
  const cloning: Cloning = { ...verification, image }
  const clones = trialGroups(site).map(({ name, roles }, at): Clone => {
    const origin = { run: verification.run, id: randomBytes(6).toString('hex'), created: new Date(), image, fullClone: !linkedClones }
    return { at, group: name, roles, release: trialRelease(site, trial, at, origin) }
  })
  const report = newReport(progress, signal)
  let checks: readonly CheckResult[]
  try {
    // One after another: Proxmox locks the image while it clones.
    for (const clone of clones)
      await progress.step(`clone ${image.name} (${image.vmid}) to VM ${clone.release.vm.vmid}, ${clone.roles.join(' and ')}`, () =>
        makeClone(cloning, clone, secrets.seeds[clone.group] ?? noSecrets(clone)),
      )
    checks = await tryAll(verification, { image, trial, clones, secrets, report })
  } finally {
    for (const clone of clones)
      await progress.step(`remove VM ${clone.release.vm.vmid} (${clone.release.vm.name})`, async () => {
        const remains = await removeClone(verification, clone)
        if (remains.length > 0) claim.abandon()
        verification.left.push(...remains)
      })
  }
  const passed = hasPassed(checks)
  await progress.step(`keep the result with ${image.name}`, () =>
    keepResult(verification, image, { passed, at: proxmox.now().toISOString(), by: who(), failed: failedChecks(checks) }),
  )
  const { vmid, name, record, channel = null } = image
  return { image: { vmid, name, fingerprint: record.fingerprint }, channel, passed, checks, ms: Math.round(performance.now() - began) }
}

const noSecrets = ({ group }: Clone): never => {
  throw new Error(`there are no secrets for group ${group}`)
}

interface Trials {
  readonly image: Image
  readonly trial: Site
  readonly clones: readonly Clone[]
  readonly secrets: TrialSecrets
  readonly report: ReturnType<typeof newReport>
}

async function tryAll(verification: Verification, { image, trial, clones, secrets, report }: Trials): Promise<readonly CheckResult[]> {
  const { site, proxmox, signal } = verification
  const patience: Patience = {
    bootMs: 1_800_000,
    healthMs: site.rollout.healthMinutes * 60_000,
    logsMs: 300_000,
    rebootSeconds: 300,
    shutdownSeconds: 180,
    pauseMs: 2000,
    ...verification.patience,
  }
  const all = clones.map((clone): Trying => {
    const place = { proxmox, node: site.proxmox.node, vmid: clone.release.vm.vmid, signal, pauseMs: patience.pauseMs }
    const refuse = (): never => {
      throw ofOtherVersion(image)
    }
    const here = verification.here ?? fromHere(site.proxmox.socksProxy)
    return { ...place, site, trial, clone, secrets, patience, report, here, refuse }
  })
  const courses = all.map(begin)
  for (const course of courses) await bringUp(course)
  for (const course of courses) await tryOut(course, all)
  // In the other order: with the logs the last.
  for (const course of courses.toReversed()) await wearOut(course)
  return report.results
}
