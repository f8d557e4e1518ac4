/** Tries one clone out, from its first boot to its last shutdown. */
import { parts, type Part, type SelftestCheck } from '../images/contract/selftest.ts'
import { statusSchema } from '../images/contract/status.ts'
import { ProxmoxError } from '../proxmox/client.ts'
import { vmAt } from '../proxmox/vm.ts'
import { createDataDisk, seenVm } from '../rollout/depot.ts'
import { observeVm, placesOf } from '../rollout/observe.ts'
import { lookFromOutside, reachesNothing } from './closed.ts'
import type { Course, Trial, Trying } from './course.ts'
import { askChecks, bootOf, guestAt, requireChecks, servesProblem, until, waitsProblem } from './inside.ts'
import { selectorsOf, untilLogged } from './logs.ts'
import { Unfit } from './report.ts'
import { trialProject, trialUser } from './trial.ts'

/** Until it has data and serves: the clone with the logs before the other one, whose lines go there. */
export async function bringUp({ trying, course }: Trial): Promise<void> {
  const { trial, clone, patience, proxmox, node, vmid, signal } = trying
  const guest = guestAt(trying)
  await course.must('boots', async (note) => {
    await guest.wait((elapsedMs) => note(`wait for the guest: ${Math.round(elapsedMs / 1000)} s`), patience.bootMs)
    await until(trying, patience.bootMs, () => undefined, note)
  })
  await course.must('standby', async (note) => {
    await until(trying, patience.healthMs, waitsProblem, note)
    requireChecks((await askChecks(trying, 'selftest')) ?? trying.refuse())
  })
  await course.must('activates', async (note) => {
    await createDataDisk(
      proxmox,
      placesOf(trial, clone.group, undefined),
      seenVm(vmid, await observeVm(proxmox, node, vmid, 'scsi0')),
      signal,
    )
    await until(trying, patience.healthMs, ({ dataDisk }) => (dataDisk === 'blank' ? undefined : `the data disk is ${dataDisk}`), note)
    await guest.call('format')
    await guest.call('activate')
    await until(trying, patience.healthMs, servesProblem, note)
  })
}

/** Everything of a clone that serves, while the others do, too. */
export async function tryOut({ trying, course }: Trial, all: readonly Trying[]): Promise<void> {
  await lookInside(trying, course)
  const { clone, secrets, patience } = trying
  await course.check('tools', async () => {
    requireChecks((await askChecks(trying, 'work', trialUser, secrets.password, trialProject)) ?? trying.refuse())
  })
  const logging = all.find(({ clone: { roles } }) => roles.includes('logging'))
  await course.check('logs', async (note) => {
    for (const selector of selectorsOf(clone)) await untilLogged(logging ?? trying, selector, patience, note)
  })
  await course.check('closed-inside', (note) => reachesNothing(trying, all, note))
  await lookFromOutside({ trying, course }, all)
}

/** Apart from those, to its end: what takes its data and its power away. */
export async function wearOut({ trying, course }: Trial): Promise<void> {
  const { patience, proxmox, node, vmid, signal } = trying
  const guest = guestAt(trying)
  const vm = vmAt(proxmox, node, vmid)
  await course.check('let-go', async (note) => {
    const said = (await guest.call('let-go', '30')) as { readonly drained?: boolean; readonly requests?: number; readonly status?: unknown }
    const left = statusSchema.safeParse(said.status).data
    if (left === undefined || left.active || left.dataDisk !== 'ready')
      throw new Unfit(`it has not let go of its data disk, which is ${left?.dataDisk}`)
    if (said.drained !== true) throw new Unfit(`it has cut off ${said.requests} requests, and there should be none`)
    // As where the other slot does not want the data after all.
    await guest.call('activate')
    await until(trying, patience.healthMs, servesProblem, note)
  })
  await course.check('reboot', async (note) => {
    const before = await bootOf(trying)
    const upid = await vm.reboot(patience.rebootSeconds)
    await proxmox.task(upid, { signal, timeoutMs: (patience.rebootSeconds + 300) * 1000 }).catch((error: unknown) => {
      // That it went on, or hung: Proxmox itself has done what it was asked to.
      if (error instanceof ProxmoxError && error.ofTask) throw new Unfit(error.message)
      throw error
    })
    await guest.wait((elapsedMs) => note(`wait for the guest: ${Math.round(elapsedMs / 1000)} s`), patience.bootMs)
    if ((await bootOf(trying)) === before) throw new Unfit('it has not booted again')
    await until(trying, patience.healthMs, servesProblem, note)
    requireChecks((await askChecks(trying, 'selftest')) ?? trying.refuse())
  })
  await course.check('yield', async (note) => {
    await guest.call('yield')
    await until(
      trying,
      patience.logsMs,
      ({ active, dataDisk, serviceAddress: { held, address } }) =>
        active || dataDisk !== 'ready' ? `its data disk is ${dataDisk}` : held ? `it keeps the service address ${address}` : undefined,
      note,
    )
  })
  await course.check('shutdown', async () => {
    const began = performance.now()
    await proxmox.task(await vm.shutdown(patience.shutdownSeconds), { signal, timeoutMs: (patience.shutdownSeconds + 120) * 1000 })
    if (performance.now() - began >= patience.shutdownSeconds * 1000)
      throw new Unfit(`it had not shut down after ${patience.shutdownSeconds} s, and its power was cut`)
  })
}

/** A check for each part of slotctl's own. */
async function lookInside(trying: Trying, course: Course): Promise<void> {
  const { report, clone } = trying
  const mine = parts.filter((part) => part !== 'tools' && course.has(part))
  if (mine.length === 0) return
  const began = performance.now()
  const seen = (await askChecks(trying, 'selftest')) ?? trying.refuse()
  const ms = Math.round(performance.now() - began)
  for (const part of mine) report.add({ clone: clone.group, name: part, ms, ...verdict(part, seen) })
}

/** A part of which nothing is said was not looked at. Pure. */
export function verdict(part: Part, seen: readonly SelftestCheck[]): { readonly ok: boolean; readonly detail?: string } {
  const own = seen.filter((one) => one.part === part)
  if (own.length === 0) return { ok: false, detail: 'slotctl says nothing of it' }
  try {
    requireChecks(own)
    return { ok: true }
  } catch (error) {
    return { ok: false, detail: (error as Error).message }
  }
}
