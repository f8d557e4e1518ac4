/** Programs in a guest, through its agent. */
import { setTimeout as delay } from 'node:timers/promises'
import { isLost } from '../core/failure.ts'
import { isPidForgotten, isVmOff, missesAnswer } from './conditions.ts'
import { ProxmoxError } from './error.ts'
import type { Sending, Wire } from './wire.ts'

export interface AgentResult {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

export interface ExecOptions extends Sending {
  readonly input?: string
  readonly timeoutMs?: number
  /** Between two looks whether it has ended, at most. @default 1000 */
  readonly pauseMs?: number
  readonly signal?: AbortSignal
}

export interface AgentWait {
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
  readonly onWait?: (elapsedMs: number) => void
}

const execTries = 3

/** As `Proxmox.agentExec`. */
export async function agentExec(
  wire: Wire,
  node: string,
  vmid: number,
  command: readonly [string, ...string[]],
  options: ExecOptions = {},
): Promise<AgentResult> {
  for (let tries = 1; ; tries++) {
    try {
      return await exec(wire, node, vmid, command, options)
    } catch (error) {
      if (!isLost(error) || options.repeatable !== true || tries === execTries) throw error
    }
  }
}

async function exec(
  wire: Wire,
  node: string,
  vmid: number,
  command: readonly string[],
  { input, timeoutMs, pauseMs = 1000, signal, repeatable = false }: ExecOptions,
): Promise<AgentResult> {
  const path = `/nodes/${node}/qemu/${vmid}/agent`
  const form = { command, ...(input === undefined ? {} : { 'input-data': input }) }
  const { pid } = await wire.call<{ pid: number }>({ method: 'POST', path: `${path}/exec`, form, repeatable, waiting: signal })
  const until = wire.clock() + (timeoutMs ?? 120_000)
  let missed: unknown
  for (let pause = 50; ; pause = Math.min(pause * 2, pauseMs)) {
    const status = await wire
      .look<{ exited: number | boolean; exitcode?: number; signal?: number; 'out-data'?: string; 'err-data'?: string }>(
        `${path}/exec-status`,
        { pid },
        signal,
      )
      .catch((error: unknown) => {
        // That answer was lost on its way.
        if (isPidForgotten(error))
          throw new ProxmoxError(
            'agent-exec-lost',
            `${command[0]} in VM ${vmid} has ended, but how was told to nobody`,
            'Run the same command again: it looks first, and goes on from what it finds.',
            { status: 500, method: 'GET', path, cause: error, lost: true },
          )
        if (!missesAnswer(error)) throw error
        missed = error
        return undefined
      })
    if (status !== undefined && Number(status.exited) === 1) {
      return { exitCode: status.exitcode ?? 128 + (status.signal ?? 0), stdout: status['out-data'] ?? '', stderr: status['err-data'] ?? '' }
    }
    if (wire.clock() > until)
      throw new ProxmoxError(
        'agent-exec-timeout',
        `${command[0]} in VM ${vmid} did not end in time`,
        `Look at VM ${vmid}'s console in Proxmox.`,
        { status: 0, method: 'GET', path, cause: missed },
      )
    await delay(pause, undefined, { signal })
  }
}

/** As `Proxmox.waitForAgent`. */
export async function waitForAgent(wire: Wire, node: string, vmid: number, options: AgentWait = {}): Promise<void> {
  const began = wire.clock()
  const timeoutMs = options.timeoutMs ?? 900_000
  let last: unknown
  for (;;) {
    try {
      await wire.call({
        method: 'POST',
        path: `/nodes/${node}/qemu/${vmid}/agent/ping`,
        form: {},
        repeatable: true,
        waiting: options.signal,
      })
      return
    } catch (error) {
      if (!(error instanceof ProxmoxError) || error.status !== 500 || isVmOff(error)) throw error
      last = error
    }
    if (wire.clock() - began > timeoutMs) {
      throw new ProxmoxError(
        'agent-timeout',
        `the guest agent of VM ${vmid} did not answer within ${Math.round(timeoutMs / 1000)} s`,
        `Look at VM ${vmid}'s console in Proxmox: it says where the boot hangs, if it does.`,
        { status: 500, method: 'POST', path: `/nodes/${node}/qemu/${vmid}/agent/ping`, cause: last },
      )
    }
    options.onWait?.(wire.clock() - began)
    await delay(1000, undefined, { signal: options.signal })
  }
}
