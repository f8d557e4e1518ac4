/** Removes what runs at the build address left that did not end well. */
import { Failure } from '../core/failure.ts'
import type { Progress } from '../core/progress.ts'
import type { Proxmox } from '../proxmox/client.ts'
import { activeTasks } from '../proxmox/tasks.ts'
import { vmAt } from '../proxmox/vm.ts'
import type { Site } from '../settings/site.ts'
import type { BakeClaim } from './claim.ts'
import { deleteFile, destroyVm, listFiles } from './host.ts'
import { beginOf, isImportName, isSeedName, runOf } from './names.ts'
import { isOf, longestBake, mayGoOn, type Leftover } from './plan.ts'

export interface Clearing {
  readonly site: Site
  readonly proxmox: Proxmox
  readonly progress: Progress
  readonly signal: AbortSignal
  readonly claim: BakeClaim
}

/** Waits for what Proxmox still makes for runs that were killed: until then it is in no pool, and can't be seen. */
export async function endAbandoned({ site, proxmox, progress, signal }: Clearing): Promise<void> {
  const { node, templates } = site.proxmox
  for (const { upid, type, id } of await activeTasks(proxmox, node)) {
    if (!/^qm(create|clone)$/.test(type) || Number(id) < templates.first || Number(id) > templates.last) continue
    await progress.step(`wait for task ${type} ${id} of a run that did not end`, async () => {
      try {
        await proxmox.task(upid, { signal, timeoutMs: 1_800_000 })
      } catch (error) {
        if (signal.aborted) throw error
        // However it ended, what it has made is seen next.
      }
    })
  }
}

/**
 * Removes what ended runs left, and nothing that may be of a bake or a verification going on elsewhere.
 * @param refuse give up if there seems to be one
 * @throws Failure `bake-in-progress`
 */
export async function clearLeftovers(clearing: Clearing, leftovers: readonly Leftover[], refuse: boolean): Promise<void> {
  const { site, proxmox, progress, claim, signal } = clearing
  const isNobodys = (run: string, begin: number): boolean => claim.abandoned.includes(run) || !mayGoOn(begin, Date.now())
  const nobodys: Leftover[] = []
  for (const one of leftovers) {
    const why = isNobodys(one.run, one.begin)
      ? await signOfLife(clearing, one)
      : `began at ${new Date(one.begin).toISOString().slice(11, 16)} UTC`
    if (why === undefined) nobodys.push(one)
    else if (refuse)
      throw new Failure(
        'bake-in-progress',
        `another ${one.what === 'clone' ? 'verification' : 'bake'} of this site seems to be going on, from another computer or site folder: ${one.what} ${one.name} (${one.vmid}) ${why}`,
        `Wait for it to end: both use the build address. If nobody is at it, remove VM ${one.vmid} in Proxmox, then run the same command again.`,
      )
  }
  for (const { vmid, node, name, what, run } of nobodys) {
    await progress.step(`remove ${name} (${vmid}), ${what} of a run that did not end`, () =>
      destroyVm(proxmox, node, vmid, isOf(site, { vmid, node, run }), signal),
    )
  }
  for (const [content, isOurs] of [
    ['iso', isSeedName],
    ['import', isImportName],
  ] as const) {
    for (const name of await listFiles(proxmox, site, content)) {
      if (isOurs(site, name) && isNobodys(runOf(name), beginOf(runOf(name)))) await deleteFile(proxmox, site, content, name)
    }
  }
  if (claim.abandoned.length > 0) await claim.forget()
}

/** Of a VM that seems to be nobody's: something does go on with it. */
async function signOfLife({ proxmox, claim }: Clearing, { vmid, node, run, lock }: Leftover): Promise<string | undefined> {
  if (claim.abandoned.includes(run)) return undefined
  if (lock !== undefined) return `is locked (${lock})`
  const status = await vmAt(proxmox, node, vmid).status()
  return status.status === 'running' && (status.uptime ?? 0) * 1000 < longestBake ? 'is running' : undefined
}
