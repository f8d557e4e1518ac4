/** Serena's active project is that of its process: a new one has none until it is told. */
import type { Seed } from '../contract/seed.ts'
import { containerNetworks } from '../../settings/containers.ts'
import type { Machine, Reply } from './machine.ts'

/** Opening a project may start its language server. */
const timeoutMs = 240_000

/**
 * In a session of its own, which ends after it.
 * @param project arguments of Serena's `activate_project`
 * @throws Error with what Serena says
 */
export async function openProject(machine: Machine, seed: Seed, project: Readonly<Record<string, unknown>>): Promise<void> {
  if (seed.serena?.transports.includes('streamable-http') !== true) return
  const to = { host: containerNetworks(seed.containers).serenaMcp, port: 9121 }
  const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }
  const post = (message: object, session?: string): Promise<Reply> =>
    machine.ask({
      to,
      method: 'POST',
      path: '/mcp',
      headers: session === undefined ? headers : { ...headers, 'mcp-session-id': session },
      body: JSON.stringify({ jsonrpc: '2.0', ...message }),
      timeoutMs,
    })
  const params = { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'golden', version: '1' } }
  const opened = await post({ id: 1, method: 'initialize', params })
  const session = opened.headers['mcp-session-id']
  if (opened.status !== 200 || typeof session !== 'string') throw new Error(`initialize is answered with ${opened.status}`)
  await post({ method: 'notifications/initialized' }, session)
  const called = await post({ id: 2, method: 'tools/call', params: { name: 'activate_project', arguments: project } }, session)
  await machine.ask({ to, method: 'DELETE', path: '/mcp', headers: { 'mcp-session-id': session }, timeoutMs })
  if (called.status !== 200) throw new Error(`activate_project is answered with ${called.status}`)
}
