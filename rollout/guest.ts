/** What a slot's guest says and does: `slotctl` through the guest agent. */
import type { Proxmox } from '../proxmox/client.ts'
import type { DeepReadonly } from '../core/deep-readonly.ts'
import { Failure } from '../core/failure.ts'
import { statusSchema, type Status } from '../images/contract/status.ts'
import type { Release } from '../releases/deployment.ts'
import type { VmSeen } from './observe.ts'

/** `slotctl status`. */
export type GuestStatus = DeepReadonly<Status>

export interface Guest {
  /** Undefined while the agent does not answer, or the seed is not read yet. */
  status(): Promise<GuestStatus | undefined>
  /** Waits for the agent, 15 minutes if nothing else is said. @throws ProxmoxError `agent-timeout` */
  wait(onWait: (elapsedMs: number) => void, timeoutMs?: number): Promise<void>
  /** @returns what it prints. @throws Failure `slot-refused` with slotctl's own reason */
  call(verb: 'format' | 'activate' | 'drain' | 'yield' | 'let-go' | 'state' | 'forward' | 'take-over', ...args: string[]): Promise<unknown>
}

/** `yield` waits for containers to stop, `format` for mkfs on a slow disk. */
const callTimeoutMs = 600_000
/** Verbs that first wait, for the seconds that they are given, and then begin. */
const mayTake: ReadonlySet<string> = new Set(['drain', 'let-go'])
/** Clients may be waiting for the next step. */
const callPauseMs = 150
const program = '/usr/local/sbin/slotctl'
const notTheGuests: readonly string[] = ['permission-denied', 'not-authenticated', 'proxmox-unreachable', 'certificate-not-trusted']

/** That it does not answer, or refuses; as opposed to an API that says nothing, or not to this token. */
export const isOfGuest = (error: unknown): boolean => error instanceof Failure && !notTheGuests.includes(error.code)

/** What the guest of a slot says; undefined also where it does not run. */
export const statusIn = async (proxmox: Proxmox, release: Release | undefined, vm: VmSeen | undefined, signal?: AbortSignal) =>
  release !== undefined && vm?.there === true && vm.running
    ? guestOf(proxmox, release.vm.node, release.vm.vmid, signal).status()
    : undefined

export function guestOf(proxmox: Proxmox, node: string, vmid: number, signal?: AbortSignal): Guest {
  const options = signal === undefined ? {} : { signal }
  return {
    // A refusal, such as that of a VM without a seed, is no status.
    status: async () => statusSchema.safeParse(await slotctl(proxmox, node, vmid, ['status'], signal)).data,
    wait: (onWait, timeoutMs) =>
      proxmox.waitForAgent(node, vmid, { onWait, ...(timeoutMs === undefined ? {} : { timeoutMs }), ...options }),
    async call(verb, ...args) {
      const { exitCode, stdout, stderr } = await proxmox.agentExec(node, vmid, [program, verb, ...args], {
        timeoutMs: callTimeoutMs + (mayTake.has(verb) ? Number(args[0] ?? 0) * 1000 : 0),
        pauseMs: callPauseMs,
        ...options,
      })
      if (exitCode === 0) return jsonIn(stdout)
      const reason = reasonIn(stdout) ?? (stderr.trim() || `exit code ${exitCode}`)
      throw new Failure(
        'slot-refused',
        `VM ${vmid} refused "slotctl ${verb}": ${reason}`,
        `Look at VM ${vmid}: "slotctl status" there, or its console in Proxmox. Then run the same command again.`,
      )
    },
  }
}

/** What a verb of slotctl prints, parsed; undefined where it does not answer, or refuses. */
export async function slotctl(
  proxmox: Proxmox,
  node: string,
  vmid: number,
  words: readonly string[],
  signal?: AbortSignal,
): Promise<unknown> {
  const options = { timeoutMs: 60_000, repeatable: true, ...(signal === undefined ? {} : { signal }) }
  try {
    const { exitCode, stdout } = await proxmox.agentExec(node, vmid, [program, ...words], options)
    return exitCode === 0 ? JSON.parse(stdout) : undefined
  } catch (error) {
    signal?.throwIfAborted()
    // An agent that is not there yet, a guest that boots, half an answer: nothing is said at the moment. Where the API
    // itself says nothing, that tells nothing of the guest.
    if (error instanceof SyntaxError || isOfGuest(error)) return undefined
    throw error
  }
}

const reasonIn = (stdout: string): string | undefined => (jsonIn(stdout) as { error?: { message?: string } } | undefined)?.error?.message

function jsonIn(stdout: string): unknown {
  try {
    return JSON.parse(stdout)
  } catch {
    return undefined
  }
}
