/**
 * `golden bake`: from the site and its lock to a template on the Proxmox host. The same inputs: nothing to do.
 * Whatever ends it, the next run starts from a clean place.
 */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { listRange, type Image } from '../images/catalog.ts'
import { short } from '../images/fingerprint.ts'
import { readLock, type Lock } from '../images/lock.ts'
import { renderRecord } from '../images/record.ts'
import { registryCa } from '../images/resolve.ts'
import { stageRootfs, type StagedRootfs } from '../images/stage.ts'
import type { Proxmox } from '../proxmox/client.ts'
import { Failure } from '../proxmox/failure.ts'
import type { Progress } from '../proxmox/progress.ts'
import { macOf, type Site } from '../stacks/site.ts'
import { makeBase } from './base.ts'
import { claimBake, type BakeClaim } from './claim.ts'
import { explainBuild, explainStorage } from './explain.ts'
import { deleteFile, destroyVm, freeVmids, listFiles, readConfig } from './host.ts'
import { collectInputs, inputFiles, scripts, template, type Inputs, type Registry } from './inputs.ts'
import { makeBuildKey } from './key.ts'
import { buildName, imageName, isImportName, isSeedName, seedName } from './names.ts'
import { findLeftovers, planBake, type BakePlan, type Leftover } from './plan.ts'
import { runPacker, type PackerVariables } from './run.ts'
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
  readonly stage?: (options: { targetDir: string; cacheDir: string; progress?: (line: string) => void }) => Promise<StagedRootfs>
}

export interface BakeResult {
  readonly outcome: 'baked' | 'unchanged'
  readonly template: { readonly vmid: number; readonly name: string; readonly fingerprint: string }
}

/**
 * @throws Failure `lock-missing`, `lock-invalid`, `bake-in-progress`, `image-revoked`, `template-range-full`, those of
 * packer/base.ts and packer/explain.ts, `cancelled`, or Proxmox's
 */
export async function bake(options: BakeOptions): Promise<BakeResult> {
  const { site, folder, proxmox, progress } = options
  const lock = await readLock(folder)
  const work = await mkdtemp(join(tmpdir(), 'golden-bake-'))
  try {
    const staged = await progress.step('collect the image\'s files', (note) => (options.stage ?? stageRootfs)({ targetDir: work, cacheDir: options.cacheDir, progress: note }))
    const inputs = await collectInputs(site, lock, staged.sha256)
    const plan = planBake(site, inputs.fingerprint, await listRange(proxmox, site))
    if (plan.kind === 'unchanged') return result('unchanged', plan.image)
    if (plan.kind === 'revoked') throw new Failure('image-revoked', `the image of these inputs, ${plan.image.name} (${plan.image.vmid}), is revoked`, 'Change what it was revoked for: the lock ("golden lock"), the base image, or the project.')
    const claim = await claimBake(folder, work)
    try {
      const vmid = await carryOut({ ...options, work, lock, staged, inputs, claim })
      return { outcome: 'baked', template: { vmid, name: imageName(site, inputs.fingerprint), fingerprint: inputs.fingerprint } }
    } finally {
      await claim.release()
    }
  } catch (error) {
    if (options.signal.aborted) throw new Failure('cancelled', 'the bake was stopped; what it had made is removed', 'Run "golden bake" again.', { cause: error })
    throw error
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

const result = (outcome: BakeResult['outcome'], image: Image): BakeResult => ({ outcome, template: { vmid: image.vmid, name: image.name, fingerprint: image.record.fingerprint } })

interface Bake extends BakeOptions {
  readonly work: string
  readonly lock: Lock
  readonly staged: StagedRootfs
  readonly inputs: Inputs
  readonly claim: BakeClaim
}

async function carryOut(bake: Bake): Promise<number> {
  const { site, proxmox, progress, inputs, claim } = bake
  // Observed again: only now nobody else in this folder bakes.
  const plan = planBake(site, inputs.fingerprint, await listRange(proxmox, site))
  if (plan.kind === 'unchanged') return plan.image.vmid
  if (plan.kind === 'finish') {
    await progress.step(`finish ${plan.name}, which an earlier run had baked`, () => settle(bake, plan.node, plan.vmid))
    return plan.vmid
  }
  if (plan.kind === 'revoked') throw new Error('a revoked image is refused before')
  await clearLeftovers(bake, plan.leftovers)
  const registries = await readRegistries(bake)
  const vmids = await freeVmids(proxmox, site, plan.base.vmid === undefined ? 2 : 1)
  await claim.note(vmids)
  const now = new Date().toISOString()
  if (plan.base.vmid === undefined) {
    const [vmid = 0] = vmids
    await progress.step(`make the base template ${plan.base.name}`, (note) =>
      makeBase({ proxmox, site, folder: bake.folder, vmid, name: plan.base.name, fingerprint: plan.base.fingerprint, now, signal: bake.signal, note }))
  }
  const vmid = vmids.at(-1) ?? 0
  await progress.step(`bake ${plan.name}`, (note) => build(bake, plan, vmid, now, registries, note))
  await settle(bake, site.proxmox.node, vmid)
  return vmid
}

/** Removes what an ended run left, and nothing that may be a bake going on elsewhere. @throws Failure `bake-in-progress` */
async function clearLeftovers(bake: Bake, leftovers: readonly Leftover[]): Promise<void> {
  const { site, proxmox, progress, claim, signal } = bake
  for (const { vmid, node, name, what } of leftovers) {
    if (what === 'build VM' && !claim.abandoned.includes(vmid)) {
      const status = await proxmox.get<{ status: string; uptime?: number }>(`/nodes/${node}/qemu/${vmid}/status/current`)
      if (status.status === 'running' && (status.uptime ?? 0) < longestBake) {
        throw new Failure('bake-in-progress', `another computer seems to bake this site: ${name} (${vmid}) is running`, `Wait for it to end. If nobody bakes, stop VM ${vmid} in Proxmox and run the same command again: it is removed then.`)
      }
    }
    await progress.step(`remove ${name} (${vmid}), ${what} of a run that did not end`, () => destroyVm(proxmox, node, vmid, name, signal))
  }
  for (const name of await listFiles(proxmox, site, 'iso')) if (isSeedName(site, name)) await deleteFile(proxmox, site, 'iso', name)
  for (const name of await listFiles(proxmox, site, 'import')) if (isImportName(site, name)) await deleteFile(proxmox, site, 'import', name)
}

/** In seconds: a build VM that runs for longer is nobody's. */
const longestBake = 6 * 3600

async function readRegistries(bake: Bake): Promise<Registry[]> {
  const hosts = new Set(Object.values(bake.lock.services).map((entry) => entry?.image.split('/')[0] ?? ''))
  const found: Registry[] = []
  for (const host of hosts) {
    const caPem = await registryCa(bake.site, bake.folder, `${host}/`)
    if (caPem !== undefined) found.push({ host, caPem })
  }
  return found
}

async function build(bake: Bake, plan: BakePlan & { kind: 'bake' }, vmid: number, now: string, registries: readonly Registry[], note: (text: string) => void): Promise<void> {
  const { site, proxmox, inputs, work } = bake
  const { node, storage, socksProxy } = site.proxmox
  await findBase(bake, plan.base.name)
  const key = makeBuildKey()
  const run = randomBytes(6).toString('hex')
  const seed = seedName(site, run)
  const mac = macOf(vmid)
  const keyFile = join(work, 'key')
  await writeFile(keyFile, key.privateKey, { mode: 0o600 })
  const inputPaths: string[] = []
  for (const [name, text] of await inputFiles(inputs, now, registries)) {
    const path = join(work, name)
    await writeFile(path, text, { mode: 0o600 })
    inputPaths.push(path)
  }
  const variables: PackerVariables = {
    proxmox_url: `${proxmox.url}/api2/json`, node, pool: site.proxmox.pool,
    vm_id: vmid, vm_name: buildName(site, inputs.fingerprint), base_name: plan.base.name,
    template_name: plan.name,
    template_description: renderRecord({
      schema: 1, kind: 'image', site: site.name, fingerprint: inputs.fingerprint, lock: inputs.image.lock,
      base: { os: site.image.base.os, sha256: site.image.base.sha256 }, built: now, services: inputs.references
    }),
    cores: site.image.build.cores, memory: site.image.build.memoryMiB,
    bridge: site.proxmox.bridge, vlan: site.proxmox.vlan === undefined ? '' : String(site.proxmox.vlan), mac,
    seed: `${storage.iso}:iso/${seed}`,
    ssh_host: site.image.build.address, ssh_key_file: keyFile, ssh_timeout: `${site.image.build.sshTimeoutMinutes}m`,
    socks_host: socksProxy?.host ?? '', socks_port: socksProxy?.port ?? 0,
    scripts, inputs: inputPaths, archives: [bake.staged.file]
  }
  const variablesFile = join(work, 'golden.pkrvars.json')
  await writeFile(variablesFile, JSON.stringify(variables), { mode: 0o600 })
  try {
    // Our own upload: the plugin's can't be used with a token before 1.1.2.
    await proxmox.upload({ node, storage: storage.iso, content: 'iso', filename: seed, data: renderBuildSeed({ site, mac, publicKey: key.publicKey, instance: run }), signal: bake.signal })
    const outcome = await runPacker({ command: 'build', template, variablesFile, workFolder: work, environment: bake.environment, token: bake.token, caFile: bake.caFile, signal: bake.signal, note })
    if (outcome.exitCode !== 0) throw explainBuild(site, outcome)
  } catch (error) {
    // Packer removes its VM itself, but not when its first change of the clone's configuration fails.
    await removeOwn(bake, vmid)
    throw explainStorage(site, error)
  } finally {
    await deleteFile(proxmox, site, 'iso', seed)
  }
}

/** The VM of this VMID, if it is one that a bake of this site has made and not finished. */
async function removeOwn(bake: Bake, vmid: number): Promise<void> {
  const { node } = bake.site.proxmox
  try {
    const config = await readConfig(bake.proxmox, node, vmid)
    if (config === undefined) return
    const [own] = findLeftovers(bake.site, [{ vmid, node, config }])
    if (own !== undefined) await destroyVm(bake.proxmox, own.node, own.vmid, own.name)
  } catch (error) {
    // What the caller is about to say matters more. The next run finds the VM and knows that it is nobody's.
    bake.claim.abandon()
    bake.progress.warn(`VM ${vmid} of this bake could not be removed (${error instanceof Error ? error.message : String(error)}); the next bake does it.`)
  }
}

/**
 * Waits until Proxmox lists the base template. Plugin 1.1.1 knows its source only by name, and takes the last one
 * of that name that it sees.
 */
async function findBase(bake: Bake, name: string): Promise<void> {
  const resources = await untilListed(bake, (one) => one.name === name)
  if (resources.length > 1) throw new Failure('base-ambiguous', `several VMs are named ${name}: ${resources.map((one) => one.vmid).join(', ')}`, 'Rename or remove those that are not the base template of this site.')
}

/** Tidies the template, tags it, and waits until Proxmox lists it. */
async function settle(bake: Bake, node: string, vmid: number): Promise<void> {
  const { site, inputs } = bake
  await tidyTemplate(bake.proxmox, node, vmid)
  const listed = await untilListed(bake, (one) => one.vmid === vmid && one.pool === site.proxmox.pool && Number(one.template) === 1)
  if (listed.length === 0) bake.progress.warn(`Proxmox does not list template ${vmid} (${short(inputs.fingerprint)}) yet; it is there all the same.`)
}

interface Resource {
  readonly vmid: number
  readonly name?: string
  readonly pool?: string
  readonly template?: number
}

/** Proxmox's list of VMs lags up to 10 s behind on real hosts: asks for half a minute. */
async function untilListed(bake: Bake, wanted: (one: Resource) => boolean): Promise<Resource[]> {
  for (let tries = 0; tries < 60; tries++) {
    const found = (await bake.proxmox.get<Resource[]>('/cluster/resources', { type: 'vm' })).filter(wanted)
    if (found.length > 0) return found
    await delay(500, undefined, { signal: bake.signal })
  }
  return []
}
