/** One slot takes over from the other under load, and what that cost whom. */
import type { SlotName } from '../settings/site.ts'
import { openMcp } from '../clients/mcp.ts'
import { expectEqual, expectThat } from './checks.ts'
import type { Scene } from './scene.ts'
import { ended, type Call } from './traffic/call.ts'
import { requestTimeoutMs } from './traffic/client.ts'
import type { KeptConnection } from './traffic/kept-connection.ts'
import { clock, expectNoFailure, expectOneSession, longestLine, summaryLines } from './traffic/summary.ts'

const longCallSeconds = 30
const longCallName = `a call of ${longCallSeconds} s`

/** What `rollout` and `rollback` say of a group. */
interface Moved {
  readonly outcome: string
  readonly slot: SlotName
  readonly parts: readonly { readonly step: string; readonly ms: number }[]
}

/** What is in progress while the data is handed over; ready for it beforehand. */
interface During {
  /** Never rejects. */
  begin(): Promise<void>
  close(): Promise<void>
}

/** One slot takes over from the other, and nobody notices. */
export function move(
  { checks, golden, load, pace }: Scene,
  verb: 'rollout' | 'rollback',
  group: string,
  to: SlotName,
  prepare?: () => Promise<During>,
): Promise<boolean> {
  return checks.check(`two VMs: golden ${verb} ${group}: not one call fails`, async () => {
    if (load === undefined) throw new Error('there are no clients')
    const { traffic } = load
    const began = Date.now()
    const calls = (): Call[] => traffic.record.calls.filter((call) => ended(call) >= began)
    const during = await prepare?.()
    let handedOver: Promise<void> | undefined
    let from = 0
    const hear = (line: string): void => {
      if (handedOver !== undefined || !line.includes(`hand group ${group} over to slot ${to}`)) return
      from = Date.now()
      traffic.breathe(0)
      handedOver = during?.begin() ?? Promise.resolve()
    }
    traffic.breathe(pace.breathMs)
    try {
      const { groups } = (await golden.heardBy(hear)(verb, group)) as { groups: readonly Moved[] }
      expectEqual(
        'what became of it',
        groups.map(({ outcome, slot }) => [outcome, slot]),
        [['rolled-out', to]],
      )
      checks.found(`handover from ${clock(from)}: ${partsText(groups[0]?.parts ?? [])}`)
      if (handedOver === undefined) throw new Error('the verb did not say when it began to hand over')
      await handedOver
      // Who still waits is not known to have been served.
      await traffic.round()
      const ordinary = calls().filter(({ client }) => client !== longCallName)
      checks.found(longestLine(ordinary))
      checks.figure(longestCallFigure, Math.max(...ordinary.map(({ ms }) => ms)))
      for (const [step, ms] of stepSums(groups[0]?.parts ?? [])) checks.figure(step, ms)
    } finally {
      traffic.breathe(0)
      await handedOver
      await during?.close()
      for (const line of [...summaryLines(calls()), connectionLine(load.kept)]) checks.found(line)
    }
    expectNoFailure(calls())
    expectOneSession(traffic.record.calls)
  })
}

/** The name of the longest pause that a client has noticed, among a check's figures. */
export const longestCallFigure = 'longest call'

/** Each step once, in the order in which they first came. */
function stepSums(parts: Moved['parts']): Map<string, number> {
  const sums = new Map<string, number>()
  for (const { step, ms } of parts) sums.set(step, (sums.get(step) ?? 0) + ms)
  return sums
}

export function partsText(parts: Moved['parts']): string {
  const total = parts.reduce((sum, { ms }) => sum + ms, 0)
  const list = [...stepSums(parts)].map(([step, ms]) => `${step} ${(ms / 1000).toFixed(1)} s`)
  return `${(total / 1000).toFixed(1)} s in all: ${list.join(', ')}`
}

const connectionLine = ({ opened, closedByAnswer, closedIdle, answered }: KeptConnection): string =>
  `the TLS connection: ${answered.length} requests answered, opened ${opened} times, ended by "Connection: close" ${closedByAnswer} times, in order between requests ${closedIdle} times`

/** A call that is in progress when the old slot is asked to let go. Connected by now: what is measured is the call. */
export async function longCall({ load, target }: Scene): Promise<During> {
  const session = await openMcp({ ...target, transport: 'streamable-http' }, { timeoutMs: requestTimeoutMs })
  return {
    async begin() {
      await load?.traffic.record.measure(longCallName, session.id, async () => {
        const text = await session.call('execute_shell_command', { command: `sleep ${longCallSeconds} && echo it has slept` })
        expectThat(text.includes('it has slept'), `it says: ${text.slice(0, 400)}`)
      })
    },
    close: () => session.close().catch(() => {}),
  }
}
