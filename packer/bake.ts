/**
 * `golden bake`: from the site and its lock to a template on the Proxmox host. The same inputs: nothing to do.
 * Whatever ends it, the next run starts from a clean place.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bringHere, elsewhere, isRevokedText, listRange, sortRange, volumeOf, type Image } from '../images/catalog.ts'
import { completeFromManifest, completeLock } from '../images/complete-lock.ts'
import { readLock, type Lock } from '../images/lock.ts'
import { groundOf } from '../images/lock-ground.ts'
import { requireCurrent } from '../images/lock-outdated.ts'
import { readManifest, writeManifest } from '../images/manifest.ts'
import { renderRecord, type TemplateRecord } from '../images/record.ts'
import { keepSbom, readSbom } from '../images/sbom/record.ts'
import { registryCa } from '../images/resolve.ts'
import { seedForm } from '../images/contract/seed.ts'
import { requireSigningKey, sealWith } from '../images/signature.ts'
import { collectRootfs, type Rootfs } from '../images/stage.ts'
import { diskOf } from '../images/trust.ts'
import { ProxmoxError, type Proxmox } from '../proxmox/client.ts'
import { Failure } from '../core/failure.ts'
import { requirePlace } from '../proxmox/place.ts'
import { gib, shortOfSpace } from '../proxmox/space.ts'
import type { Progress } from '../core/progress.ts'
import { macOf, placeOf, type Site } from '../settings/site.ts'
import { makeBase } from './base.ts'
import { claimBake, type BakeClaim } from './claim.ts'
import { clearLeftovers, endAbandoned } from './clear.ts'
import { explainBuild, explainStorage, type BuildOutcome } from './explain.ts'
import { findBase } from './find-base.ts'
import { deleteFile, destroyVm, freeVmids } from './host.ts'
import { collectInputs, inputFiles, scripts, template, type Inputs, type Registry } from './inputs.ts'
import { makeBuildKey } from './key.ts'
import { manifestOf } from './manifest.ts'
import { buildName, newRun, seedName } from './names.ts'
import { isOf, planBake, type BakePlan } from './plan.ts'
import { previewBake, type BakePreview } from './preview.ts'
import { runPacker, type PackerVariables } from './run.ts'
import { prepareSbom } from './sbom.ts'
import { renderBuildSeed } from './seed.ts'
import { tidyTemplate } from './tidy.ts'

export interface BakeOptions {
  readonly site: Site
  /** The site folder. */
  readonly folder: string
  readonly proxmox: Proxmox
  readonly token: { readonly id: string; readonly secret: string }
  /** The CA that Proxmox's certificate is verified with. @default the system's */
  readonly caFile?: string | undefined
  /** PATH with Packer, PACKER_PLUGIN_PATH, … as tools/ has them. */
  readonly environment: Readonly<Record<string, string>>
  /** Where fetched packages are kept. */
  readonly cacheDir: string
  readonly progress: Progress
  readonly signal: AbortSignal
  /** @default images/stage.ts, with language servers */
  readonly stage?: (cacheDir: string) => Promise<Rootfs>
}

export interface BakeResult {
  readonly outcome: 'baked' | 'unchanged'
  readonly template: { readonly vmid: number; readonly name: string; readonly fingerprint: string }
  /** How far it has come: a new one has come nowhere yet. */
  readonly state: Pick<Image, 'verification' | 'channel'>
  /** It has told the lock what all packages are. */
  readonly completed: boolean
}

/**
 * @throws Failure `lock-missing`, `lock-invalid`, `lock-outdated`, `base-not-locked`, `bake-in-progress`, `image-revoked`, `base-revoked`, `base-elsewhere`,
 * `template-range-full`, those of images/signature.ts, proxmox/place.ts, packer/base.ts, packer/find-base.ts and packer/explain.ts, `cancelled`, or Proxmox's
 */
export async function bake(options: BakeOptions): Promise<BakeResult> {
  const { site, folder, signal } = options
  const lock = await readLock(folder)
  const run = newRun(new Date())
  // Nothing is made, not even this folder, before the claim says whose it is: the next run removes what is left of it.
  const work = join(tmpdir(), `golden-bake-${randomBytes(8).toString('hex')}`)
  const claim = await claimBake(folder, work, run, options)
  const left: string[] = []
  try {
    await mkdir(work, { mode: 0o700 })
    try {
      return await carryOut({ ...options, work, lock, run, claim, left })
    } catch (error) {
      if (signal.aborted) throw stopped(left, error)
      const failure = error instanceof ProxmoxError ? explainStorage(site, error) : error
      throw left.length > 0 && failure instanceof Failure
        ? new Failure(failure.code, failure.message, `${failure.hint} ${stillThere(left)}`, { cause: failure })
        : failure
    } finally {
      await rm(work, { recursive: true, force: true })
    }
  } finally {
    await claim.release()
  }
}

const stillThere = (left: readonly string[]): string =>
  `Still there: ${left.join(', ')}; the next "npx golden bake" in this site folder takes care of it.`

function stopped(left: readonly string[], cause: unknown): Failure {
  return left.length === 0
    ? new Failure('cancelled', 'the bake was stopped; what it had begun is removed', 'Run "npx golden bake" again.', { cause })
    : new Failure('cancelled', 'the bake was stopped, but not all that it had begun could be removed', stillThere(left), { cause })
}

interface Bake extends BakeOptions {
  readonly work: string
  readonly lock: Lock
  /** See names.ts. */
  readonly run: string
  readonly claim: BakeClaim
  /** What this run has made and could not remove. */
  readonly left: string[]
}

type Collecting = Pick<BakeOptions, 'site' | 'folder' | 'proxmox' | 'progress' | 'cacheDir' | 'stage'>

/** What goes in, once it is known that the host can do it. */
async function collect({ site, folder, proxmox, progress, cacheDir, stage = collectRootfs }: Collecting, lock: Lock) {
  const ground = await groundOf(site, folder)
  requireCurrent(lock, ground)
  const place = await requirePlace(proxmox, placeOf(site), progress.warn)
  const rootfs = await progress.step("collect the image's files", () => stage(cacheDir))
  return { place, rootfs, inputs: await collectInputs(site, lock, rootfs.sha256, ground.archives) }
}

/**
 * What `bake` would do; nothing is changed on the host.
 * @throws Failure as `bake` before it begins
 */
export async function planBaking(options: Collecting): Promise<BakePreview> {
  const { site, folder, proxmox } = options
  const { inputs } = await collect(options, await readLock(folder))
  const range = await listRange(proxmox, site)
  return previewBake(planBake(site, inputs.fingerprint, range), inputs.image, inputs.fingerprint, sortRange(range).images)
}

async function carryOut(bake: Bake): Promise<BakeResult> {
  const { site, folder, proxmox, progress, signal, claim, run } = bake
  const { place, rootfs, inputs } = await collect(bake, bake.lock)
  const { fingerprint } = inputs
  if (claim.abandoned.length > 0) await endAbandoned(bake)
  const plan = planBake(site, fingerprint, await listRange(proxmox, site))
  if (plan.kind === 'revoked')
    throw new Failure(
      'image-revoked',
      `the image of these inputs, ${plan.image.name} (${plan.image.vmid}), ${isRevokedText(plan.image)}`,
      'Change what it was revoked for: the lock ("npx golden lock"), the base image, or the project.',
    )
  if (plan.kind === 'base-revoked')
    throw new Failure(
      'base-revoked',
      `the base ${plan.base.name} (${plan.base.vmid}) ${isRevokedText(plan.base)}`,
      'Take another base image: image.base in site.ts.',
    )
  if (plan.kind !== 'unchanged' || claim.abandoned.length > 0) await clearLeftovers(bake, plan.leftovers, plan.kind === 'bake')
  if (plan.kind === 'unchanged')
    return {
      outcome: 'unchanged',
      template: { vmid: plan.image.vmid, name: plan.image.name, fingerprint },
      state: plan.image,
      completed: await completeFromManifest(folder, bake.lock, { ...plan.image.record, name: plan.image.name }, progress.warn),
    }
  // Whatever is made from here on is signed at its end.
  await requireSigningKey(bake)
  if (plan.kind === 'finish') {
    const title = `finish ${plan.name}, which an earlier run had baked`
    const record = await progress.step(title, () => settle(bake, plan.node, plan.vmid, plan.name))
    const completed = record !== undefined && (await completeFromManifest(folder, bake.lock, { ...record, name: plan.name }, progress.warn))
    return { outcome: 'baked', template: { vmid: plan.vmid, name: plan.name, fingerprint }, state: fresh, completed }
  }
  const away = plan.base.elsewhere
  if (away !== undefined)
    throw new Failure(
      'base-elsewhere',
      `the base template ${away.name} (${away.vmid}) is ${elsewhere(site, away) ?? ''}`,
      `In Proxmox, ${bringHere(site, away)}; or remove it: the bake makes a new one.`,
    )
  if (plan.base.vmid === undefined && place.imports !== undefined) throw place.imports
  const disk = { bytes: site.image.build.diskGiB * gib }
  const needs = [...(plan.base.vmid === undefined ? [{ what: 'the base', ...disk }] : []), { what: 'the image', ...disk }]
  const short = shortOfSpace(site.proxmox.storage.disks, place.free, needs)
  if (short !== undefined) progress.warn(short)
  for (const image of plan.elsewhere ?? [])
    progress.info(
      `image ${image.name} (${image.vmid}) of the same inputs is ${elsewhere(site, image) ?? ''}: another one is baked. To use that one instead, ${bringHere(site, image)}.`,
    )
  // Only now, when there is something to bake: an archive of this size takes a while.
  const archive = await progress.step("pack the image's files", (note) => rootfs.write(bake.work, note))
  const registries = await readRegistries(bake)
  const vmids = await freeVmids(proxmox, site, plan.base.vmid === undefined ? 2 : 1)
  const now = new Date().toISOString()
  if (plan.base.vmid === undefined) {
    const [vmid = 0] = vmids
    await progress.step(`make the base template ${plan.base.name}`, (note) =>
      makeBase({
        proxmox,
        site,
        folder,
        vmid,
        name: plan.base.name,
        fingerprint: plan.base.fingerprint,
        run,
        now,
        signal,
        note,
        takeAway: (what, remove) => takeAway(bake, what, remove),
      }),
    )
  }
  signal.throwIfAborted()
  const vmid = vmids.at(-1) ?? 0
  const packages = await progress.step(`bake ${plan.name}`, (note) =>
    build(bake, plan, { archive, rootfs, inputs, vmid, baseVmid: plan.base.vmid ?? vmids[0] ?? 0, now, registries, note }),
  )
  await settle(bake, site.proxmox.node, vmid, plan.name)
  const completed = await completeLock(folder, bake.lock, packages, progress.warn)
  return { outcome: 'baked', template: { vmid, name: plan.name, fingerprint }, state: fresh, completed }
}

const fresh: BakeResult['state'] = { verification: 'none', channel: 'candidate' }

/** Removes something of this run. What could not be removed is kept in mind and noted for the next run; what happened before matters more. @returns whether it is gone */
async function takeAway(bake: Bake, what: string, remove: () => Promise<void>): Promise<boolean> {
  try {
    await remove()
    return true
  } catch (error) {
    bake.claim.abandon()
    bake.left.push(what)
    bake.progress.warn(`${what} could not be removed: ${error instanceof Error ? error.message : String(error)}`)
    return false
  }
}

async function readRegistries(bake: Bake): Promise<Registry[]> {
  const hosts = new Set(Object.values(bake.lock.services).map((entry) => entry?.image.split('/')[0] ?? ''))
  const found: Registry[] = []
  for (const host of hosts) {
    const caPem = await registryCa(bake.site, bake.folder, `${host}/`)
    if (caPem !== undefined) found.push({ host, caPem })
  }
  return found
}

interface Build {
  /** What is unpacked at the guest's root. */
  readonly archive: string
  readonly rootfs: Rootfs
  readonly inputs: Inputs
  readonly vmid: number
  readonly baseVmid: number
  /** ISO 8601. */
  readonly now: string
  readonly registries: readonly Registry[]
  readonly note: (text: string) => void
}

/** How often Packer is run, which ends at the first answer that Proxmox does not give: each update restarts its services. */
const packerTries = 3

async function build(
  bake: Bake,
  plan: BakePlan & { kind: 'bake' },
  { archive, rootfs, inputs, vmid, baseVmid, now, registries, note }: Build,
): Promise<BuildOutcome['packages']> {
  const { site, folder, proxmox, work, run, signal, progress } = bake
  const { node, storage, socksProxy } = site.proxmox
  const key = makeBuildKey()
  const seed = seedName(site, run)
  const mac = macOf(vmid, site.image.build.address)
  const keyFile = join(work, 'key')
  await writeFile(keyFile, key.privateKey, { mode: 0o600 })
  const inputPaths: string[] = []
  for (const [name, text] of await inputFiles(inputs, now, registries)) {
    const path = join(work, name)
    await writeFile(path, text, { mode: 0o600 })
    inputPaths.push(path)
  }
  const { inventory, sbom, command } = await prepareSbom(work, plan.name, now, inputs, rootfs)
  const variables: PackerVariables = {
    proxmox_url: `${proxmox.url}/api2/json`,
    node,
    pool: site.proxmox.pool,
    vm_id: vmid,
    vm_name: buildName(site, run),
    base_name: plan.base.name,
    template_name: plan.name,
    template_description: renderRecord({
      schema: 1,
      kind: 'image',
      site: site.name,
      fingerprint: inputs.fingerprint,
      lock: inputs.image.lock,
      base: inputs.image.base,
      built: now,
      seed: seedForm,
      services: inputs.references,
      unfinished: true,
      run,
    }),
    cores: site.image.build.cores,
    memory: site.image.build.memoryMiB,
    bridge: site.proxmox.bridge,
    vlan: site.proxmox.vlan === undefined ? '' : String(site.proxmox.vlan),
    mac,
    seed: `${storage.iso}:iso/${seed}`,
    ssh_host: site.image.build.address,
    ssh_key_file: keyFile,
    ssh_timeout: `${site.image.build.sshTimeoutMinutes}m`,
    socks_host: socksProxy?.host ?? '',
    socks_port: socksProxy?.port ?? 0,
    scripts,
    inputs: inputPaths,
    archives: [archive],
    inventory,
    sbom,
    sbom_command: command,
  }
  const variablesFile = join(work, 'golden.pkrvars.json')
  await writeFile(variablesFile, JSON.stringify(variables), { mode: 0o600 })
  try {
    // Our own upload: the plugin's can't be used with a token before 1.1.2.
    await proxmox.upload({
      node,
      storage: storage.iso,
      content: 'iso',
      filename: seed,
      data: renderBuildSeed({ site, mac, publicKey: key.publicKey, instance: run }),
      signal,
    })
    for (let tries = 1; ; tries++) {
      await findBase(bake, plan.base.name, baseVmid)
      try {
        const outcome = await runPacker({
          command: 'build',
          template,
          variablesFile,
          workFolder: work,
          environment: bake.environment,
          token: bake.token,
          caFile: bake.caFile,
          signal,
          note,
          started: (pid) => bake.claim.packerBegins(pid),
        })
        if (outcome.exitCode !== 0) throw explainBuild(site, outcome)
        await writeManifest(folder, plan.name, manifestOf(inputs, rootfs, now, outcome))
        await keepSbom(folder, plan.name, sbom)
        return outcome.packages
      } catch (error) {
        // Packer removes its VM itself, but not when its first change of the clone's configuration fails. This also waits for an API that is away.
        const removed = await takeAway(bake, `VM ${vmid} (${variables.vm_name})`, () =>
          destroyVm(proxmox, node, vmid, isOf(site, { vmid, node, run })),
        )
        const passes = error instanceof Failure && error.code === 'proxmox-unreachable'
        if (!passes || !removed || tries === packerTries || signal.aborted) throw error
        progress.warn(`${error.message.split('\n')[0] ?? ''}; it is run once more, with a new VM`)
      }
    }
  } finally {
    await takeAway(bake, `the file ${seed} on storage ${storage.iso}`, () => deleteFile(proxmox, site, 'iso', seed))
  }
}

/** Tidies the template and tags it, with a record that names its manifest, SBOM and disk, and is signed. @returns that record */
async function settle(bake: Bake, node: string, vmid: number, name: string): Promise<TemplateRecord | undefined> {
  const { folder, proxmox, claim, left } = bake
  let sealed: TemplateRecord | undefined
  try {
    const seal = sealWith(bake)
    await tidyTemplate(proxmox, node, vmid, async (record, config) => {
      const disk = await diskOf(proxmox, { vmid, node, name, volume: volumeOf(config) })
      // Those of another bake of the same inputs, or none: a run on another computer may have baked what this one finishes.
      const [manifest, sbom] = await Promise.all([readManifest(folder, name), readSbom(folder, name)])
      sealed = await seal({
        ...record,
        ...(manifest.ok && manifest.manifest.built === record.built ? { manifest: manifest.digest } : {}),
        ...(sbom.ok && sbom.sbom.metadata.timestamp === record.built ? { sbom: sbom.digest } : {}),
        disk,
      })
      return sealed
    })
    return sealed
  } catch (error) {
    // The next run finishes it, or removes it if its inputs are others.
    claim.abandon()
    left.push(`template ${vmid}, baked but not tagged`)
    throw error
  }
}
