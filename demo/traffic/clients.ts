/** All kinds of clients at once, as the demo's rollouts have them. */
import type { TrafficClient, TrafficTarget } from './client.ts'
import { keptConnection, type KeptConnection } from './kept-connection.ts'
import { pythonClient } from './python-client.ts'
import { sdkClient } from './sdk-client.ts'
import { statelessClient } from './stateless-client.ts'

export interface ClientsTarget extends TrafficTarget {
  /** The same as `caPem`. */
  readonly caFile: string
  /** Python of an environment that has `mcp`; without it there is no client of that kind. */
  readonly python?: string
}

/** The kinds that call Serena's tools. @param idleMs of the one that is idle between its calls */
export function toolClients(target: ClientsTarget, idleMs: number): TrafficClient[] {
  const { python } = target
  return [
    sdkClient(target, 'TypeScript SDK'),
    idleClient(target, idleMs),
    ...(python === undefined ? [] : [pythonClient({ ...target, python }, 'Python SDK')]),
    statelessClient(target, 'TypeScript client of 2026-07-28, without sessions'),
  ]
}

export const idleClient = (target: TrafficTarget, pauseMs: number): TrafficClient =>
  sdkClient(target, `TypeScript SDK, idle for ${pauseMs / 1000} s between calls`, pauseMs)

/** @param mark tells the numbers of this run from those of others */
export function numberedConnection({ url, caPem }: TrafficTarget, mark: string, everyMs: number): KeptConnection {
  const { hostname, port } = new URL(url)
  return keptConnection(`one TLS connection, a request every ${everyMs / 1000} s`, {
    host: hostname,
    port: Number(port || 443),
    caPem,
    mark,
    everyMs,
  })
}
