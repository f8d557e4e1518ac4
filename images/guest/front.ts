/**
 * Whether nginx works as its clients use it: TLS with the name that they ask for, a certificate that they accept, and a
 * password. A process that answers somewhere else says little about that: with a certificate and somebody else's key
 * nginx starts, and every client fails.
 */
import type { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import type { Seed } from '../contract/seed.ts'
import { probeUser } from './authenticator.ts'
import type { Files, Machine, Reply } from './machine.ts'
import { probeFile } from './places.ts'
import { movingText, startingText } from './refusals.ts'

/** A way in, and the request that costs the least behind it. */
export interface Front {
  readonly role: Seed['roles'][number]
  readonly port: number
  /** What clients ask for: a host name or an address. */
  readonly name: string
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly body?: string
}

/** How the health check goes in there. */
interface Door extends Pick<Front, 'port' | 'name'> {
  readonly machine: Machine
  readonly probe: string
  readonly timeoutMs: number
}

interface Asked {
  readonly method: string
  readonly path: string
  readonly headers?: Record<string, string>
  readonly body?: string
  /** Enough has come when this is in it: some answers never end. */
  readonly until?: string
}

/** The health check's password of this boot. */
export const readProbe = (files: Files): string => (files.exists(probeFile) ? files.read(probeFile) : '')

export function fronts(seed: Seed): Front[] {
  const list: Front[] = []
  // Serena refuses these without starting a session.
  if (seed.roles.includes('serena') && seed.serena)
    list.push({
      role: 'serena',
      port: 443,
      name: seed.public.host,
      method: 'GET',
      path: seed.serena.transports.includes('streamable-http') ? '/mcp' : '/messages/',
    })
  if (seed.roles.includes('logging') && seed.logging)
    list.push({
      role: 'logging',
      port: seed.logging.port,
      name: seed.service,
      method: 'POST',
      path: '/loki/api/v1/push',
      body: '{"streams":[]}',
    })
  return list
}

export interface FrontSeen {
  readonly role: Front['role']
  readonly problems: readonly string[]
}

/** Whether clients get in to what the slot is for: as isEssential (places.ts), what is wrong with the logs counts only without Serena. Pure. */
export const letsIn = ({ roles }: Pick<Seed, 'roles'>, seen: readonly FrontSeen[]): boolean =>
  seen.every(({ role, problems }) => problems.length === 0 || (role === 'logging' && roles.includes('serena')))

/** What is wrong with every way in. */
export const frontProblems = async (machine: Machine, seed: Seed, probe: string): Promise<string[]> =>
  (await lookAtFronts(machine, seed, probe)).flatMap(({ problems }) => problems)

/** Cheap enough for every few seconds. */
export async function lookAtFronts(
  machine: Machine,
  seed: Seed,
  probe: string,
  now = new Date(machine.now()),
  timeoutMs = 15_000,
): Promise<FrontSeen[]> {
  const problemsOf = async (front: Front): Promise<string[]> => {
    const where = `nginx on port ${front.port}`
    let reply: Reply
    try {
      reply = await ask({ ...front, machine, probe, timeoutMs }, { ...front, headers: { 'content-type': 'application/json' } })
    } catch (error) {
      return [`${where}: no connection for ${front.name}: ${(error as NodeJS.ErrnoException).code ?? (error as Error).message}`]
    }
    return [...certificateProblems(front.name, reply.certificate, now), ...answerProblems(reply)].map((problem) => `${where}: ${problem}`)
  }
  return Promise.all(fronts(seed).map(async (front) => ({ role: front.role, problems: await problemsOf(front) })))
}

/** Names and dates; that its key is the right one shows in that there was an answer. */
export function certificateProblems(name: string, certificate: X509Certificate | undefined, now: Date): string[] {
  if (certificate === undefined) return ['it shows no certificate']
  const problems: string[] = []
  // Clients have not looked at the common name for years.
  const covered = isIP(name) === 0 ? certificate.checkHost(name, { subject: 'never' }) : certificate.checkIP(name)
  if (covered === undefined) problems.push(`the certificate is not for ${name}, but for ${certificate.subjectAltName ?? 'no name at all'}`)
  if (now < certificate.validFromDate)
    problems.push(`the certificate begins on ${certificate.validFromDate.toISOString()}; this VM's clock says ${now.toISOString()}`)
  if (now > certificate.validToDate) problems.push(`the certificate ended on ${certificate.validToDate.toISOString()}`)
  return problems
}

/** What is behind nginx is looked at in its own way; here its being away is no problem. */
function answerProblems({ status, body }: Reply): string[] {
  if (status === 401) return ['golden-auth does not know the health check of this boot']
  if (status === 503 && ![startingText, movingText].some((text) => body.includes(text))) return ['golden-auth does not answer']
  return status === 429 || status === 500 || status === 404 ? [`it answers ${status}`] : []
}

/** A client's whole way to Serena, once, and back: opens a session and ends it. */
export async function sessionProblems(machine: Machine, seed: Seed, probe: string, timeoutMs = 30_000): Promise<string[]> {
  const [front] = fronts(seed)
  if (front === undefined || !seed.roles.includes('serena')) return []
  const door: Door = { ...front, machine, probe, timeoutMs }
  const problems: string[] = []
  const attempt = async (path: string, use: () => Promise<string | undefined>): Promise<void> => {
    const problem = await use().catch((error: Error) => error.message)
    if (problem !== undefined) problems.push(`Serena can't be used at ${path}: ${problem}`)
  }
  if (seed.serena?.transports.includes('streamable-http')) await attempt('/mcp', () => streamableProblem(door))
  if (seed.serena?.transports.includes('sse')) await attempt('/sse', () => sseProblem(door))
  return problems
}

async function streamableProblem(door: Door): Promise<string | undefined> {
  const opening = {
    jsonrpc: '2.0',
    id: 1,
    method: 'initialize',
    params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'golden-watch', version: '1' } },
  }
  const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }
  const opened = await ask(door, { method: 'POST', path: '/mcp', headers, body: JSON.stringify(opening), until: '"serverInfo"' })
  const session = opened.headers['mcp-session-id']
  if (opened.status !== 200 || !opened.body.includes('"serverInfo"'))
    return `initialize is answered with ${opened.status} ${opened.body.slice(0, 200).trim()}`
  if (session === undefined) return undefined // a server without sessions has none to end
  const ended = await ask(door, { method: 'DELETE', path: '/mcp', headers: { 'mcp-session-id': String(session) } })
  return ended.status < 300 ? undefined : `the end of a session is answered with ${ended.status}`
}

async function sseProblem(door: Door): Promise<string | undefined> {
  const opened = await ask(door, { method: 'GET', path: '/sse', headers: { accept: 'text/event-stream' }, until: '/messages/' })
  return opened.status === 200 && opened.body.includes('/messages/')
    ? undefined
    : `it is answered with ${opened.status} ${opened.body.slice(0, 200).trim()}`
}

/** An address is no name to TLS. */
export const nameOf = (host: string): { name?: string } => (isIP(host) === 0 ? { name: host } : {})

/** Asks nginx on this host, as the health check, for the name that clients ask for. Whether the certificate will do is judged afterwards, by what it says. */
function ask({ machine, port, name, probe, timeoutMs }: Door, { method, path, headers, body, until }: Asked): Promise<Reply> {
  return machine.ask({
    to: { host: '127.0.0.1', port },
    tls: nameOf(name),
    method,
    path,
    headers: { ...headers, authorization: `Basic ${Buffer.from(`${probeUser}:${probe}`).toString('base64')}`, host: name },
    timeoutMs,
    ...(body === undefined ? {} : { body }),
    ...(until === undefined ? {} : { until }),
  })
}
