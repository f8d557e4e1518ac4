/** What nginx does with its clients while the slots hand over, and how it is told (images/nginx/keeper.ts). */
import type { Machine } from './machine.ts'
import { BadStatus, fetchText } from './probe.ts'

/**
 * `open`: calls go to this slot's Serena, logs to its Loki. `park`: MCP calls wait, everything else is told to come again.
 * `forward`: MCP calls, also those that waited, go to the peer slot. A new nginx is open.
 */
export type HandoverState = 'open' | 'park' | 'forward'

export interface Handover {
  readonly state: HandoverState
  /** MCP calls, messages over SSE and pushes of logs that this slot's own Serena or Loki is at. */
  readonly busy: number
  /** How long the oldest of those has been running. */
  readonly oldestMs: number
  /** Calls that the peer slot is at, through this one. */
  readonly forwarding: number
  /** Calls that wait, and the size of their bodies. */
  readonly parked: number
  readonly parkedBytes: number
  /** Calls that were told to come again since nginx started, because too many waited, or for too long. */
  readonly refused: number
  /** SSE clients that are connected: they have to connect again. */
  readonly sse: number
  /** MCP sessions with a call in the last half hour. */
  readonly sessions: number
}

/** What the new slot has to know of the old one. */
export interface Carry {
  readonly schema: 1
  /** Arguments of the last `activate_project`; absent: none was activated. */
  readonly project?: Readonly<Record<string, unknown>>
}

const control = 'http://127.0.0.1:8099'
const timeoutMs = 5000

/** @throws BadStatus; errors of the network have a `code` */
export const handoverState = async (machine: Machine): Promise<Handover> =>
  JSON.parse(await fetchText(machine, `${control}/handover`, timeoutMs)) as Handover

/** @returns what it is afterwards. @throws as `handoverState`; status 409: this slot's seed has nothing to forward with */
export const setHandoverState = async (machine: Machine, state: HandoverState): Promise<Handover> =>
  JSON.parse(await put(machine, '/handover', { state })) as Handover

/** @throws as `handoverState` */
export const readCarry = async (machine: Machine): Promise<Carry> =>
  JSON.parse(await fetchText(machine, `${control}/handover/carry`, timeoutMs)) as Carry

/** Takes the place of all that was known before. @throws as `handoverState` */
export const writeCarry = async (machine: Machine, carry: Carry): Promise<void> => void (await put(machine, '/handover/carry', carry))

/**
 * What the peer slot says in its `ownerFile` (places.ts), over TLS with both slots' own certificate; `{}` where it has none.
 * @throws BadStatus 502 or 504 where it can't be reached
 */
export const peerOwner = async (machine: Machine): Promise<Record<string, unknown>> =>
  JSON.parse(await fetchText(machine, `${control}/peer/owner`, timeoutMs)) as Record<string, unknown>

async function put(machine: Machine, path: string, body: object): Promise<string> {
  const { hostname, port } = new URL(control)
  const reply = await machine.ask({
    to: { host: hostname, port: Number(port) },
    method: 'PUT',
    path,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    timeoutMs,
  })
  if (reply.status !== 200) throw new BadStatus(reply)
  return reply.body
}
