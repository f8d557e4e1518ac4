/** What is asked of a clone's guest. */
import type { Proxmox } from '../proxmox/client.ts'
import { selftestSchema, type SelftestCheck } from '../images/contract/selftest.ts'
import { guestOf, program, type Guest, type GuestStatus } from '../rollout/guest.ts'
import { untilNextLook } from '../rollout/reconcile.ts'
import { Unfit } from './report.ts'

export interface Place {
  readonly proxmox: Proxmox
  readonly node: string
  readonly vmid: number
  readonly signal: AbortSignal
  /** Between two looks while something is waited for. @default 2000 */
  readonly pauseMs?: number | undefined
}

export const guestAt = ({ proxmox, node, vmid, signal }: Place): Guest => guestOf(proxmox, node, vmid, signal)

/** Long enough for a session in which two language servers start on an emulated processor. */
const timeoutMs = 1_800_000

/** What a verb of slotctl that may be asked twice prints, whether it is content or not. @throws Unfit where that is nothing */
export async function slotctl({ proxmox, node, vmid, signal }: Place, ...words: string[]): Promise<unknown> {
  const { exitCode, stdout, stderr } = await proxmox.agentExec(node, vmid, [program, ...words], { signal, timeoutMs, repeatable: true })
  const [verb] = words
  let said: unknown
  try {
    said = JSON.parse(stdout)
  } catch {
    throw new Unfit(`slotctl ${verb} ended with ${exitCode}: ${`${stdout}${stderr}`.trim().slice(-500)}`)
  }
  const { error } = said as { error?: { message?: string } }
  if (error !== undefined) throw new Unfit(`slotctl ${verb}: ${error.message}`)
  return said
}

/** Its checks. Undefined: it is of a version of this project that says it in another way. */
export async function askChecks(place: Place, ...words: string[]): Promise<readonly SelftestCheck[] | undefined> {
  return selftestSchema.safeParse(await slotctl(place, ...words)).data?.checks
}

/** What is wrong, as one sentence. @throws Unfit if anything is */
export function requireChecks(checks: readonly SelftestCheck[]): void {
  const failed = checks.filter(({ ok }) => !ok)
  if (failed.length > 0)
    throw new Unfit(failed.map(({ name, detail }) => (detail ? `not so: ${name} (${detail})` : `not so: ${name}`)).join('; '))
}

/** A program in the guest that only looks or is to be there. @throws Unfit where it fails */
export async function run({ proxmox, node, vmid, signal }: Place, ...command: [string, ...string[]]): Promise<string> {
  const { exitCode, stdout, stderr } = await proxmox.agentExec(node, vmid, command, { signal, repeatable: true })
  if (exitCode !== 0) throw new Unfit(`${command.join(' ')} ended with ${exitCode}: ${stderr.trim().slice(-300)}`)
  return stdout
}

/** Which boot it is. */
export const bootOf = async (place: Place): Promise<string> => (await run(place, '/bin/cat', '/proc/sys/kernel/random/boot_id')).trim()

/**
 * Waits until the guest says of itself what is wanted.
 * @param problem what is still missing, of a status
 * @throws Unfit with what was missing last, when the time is over
 */
export async function until(
  place: Place,
  waitMs: number,
  problem: (status: GuestStatus) => string | undefined,
  note: (text: string) => void,
): Promise<GuestStatus> {
  const guest = guestAt(place)
  const end = performance.now() + waitMs
  for (;;) {
    const asked = performance.now()
    const status = await guest.status()
    const missing = status === undefined ? 'slotctl does not answer' : problem(status)
    if (status !== undefined && missing === undefined) return status
    if (performance.now() > end) throw new Unfit(missing ?? '')
    note(missing ?? '')
    await untilNextLook(performance.now() - asked, place.signal, place.pauseMs)
  }
}

const problemsOf = ({ problems }: GuestStatus, otherwise: string): string => (problems.length > 0 ? problems.join('; ') : otherwise)

/** What an image lacks on purpose is no problem of it; and of a slot that serves nothing else may be one. */
export const servesProblem = (status: GuestStatus): string | undefined => {
  const { active, healthy, serviceAddress, handover, problems } = status
  if (!active) return problemsOf(status, 'it has no data')
  if (!healthy || problems.length > 0) return problemsOf(status, 'it is not healthy')
  if (!serviceAddress.held) return problemsOf(status, `it does not take the service address ${serviceAddress.address}`)
  return (handover ?? 'none') === 'none' ? undefined : `it is ${handover} still`
}

export const waitsProblem = (status: GuestStatus): string | undefined => {
  const { active, healthy, dataDisk, serviceAddress, problems } = status
  if (active || dataDisk !== 'absent') return `it has a data disk already: ${dataDisk}`
  if (!healthy || problems.length > 0) return problemsOf(status, 'it is not healthy')
  return serviceAddress.held ? `it holds the service address ${serviceAddress.address}` : undefined
}
