/**
 * The session keeper, in nginx (njs: a subset of JavaScript, without classes and destructuring; types are blanked out as
 * in the guest's programs). Serena forgets its clients' sessions when it is restarted, killed for memory, or after 30 idle
 * minutes, and most MCP clients do not get over that. The id that a client holds is therefore not Serena's: it carries
 * what opens a session anew, sealed. When Serena says that it does not know a session, it is opened again and the refused
 * call repeated, once. Both slots of a group have the same seal: a session goes on in the one that takes over. Calls that
 * meet no Serena wait for her (gate.ts). Clients without sessions (MCP 2026-07-28) have nothing that she could miss, and
 * rely on the project that was active: before a call of theirs she is asked for a session of our own, by which one that
 * was started again is known.
 *
 * A GET, by which a client asks for messages that Serena never sends (it announces `listChanged: false`), is answered
 * with 405, as the specification has it for servers without such a stream (MCP 2025-06-18, Streamable HTTP).
 */
import crypto from 'crypto'
import fs from 'fs'
import type { Ngx, Request } from './njs.ts'

declare const ngx: Ngx

/** What a client's id carries: Serena's first id for it, and what it said when it opened the session. */
interface Sealed {
  readonly id: string
  readonly opening: {
    readonly protocolVersion: unknown
    readonly capabilities: unknown
    readonly clientInfo: { readonly name: string; readonly version: string }
  }
}

const keyFile = '/etc/golden/nginx/session.key'
/** Calls of a session wait so long for the one that opens it. */
const longestOpeningMs = 30000
/** An id is a header: what a client says about itself beyond this is left out. */
const longestCapabilities = 2000

/** By whose id a Serena that is new is known: she has forgotten it. */
const ours: Sealed = {
  id: 'ours',
  opening: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'golden', version: '1' } },
}
/** A Serena that ends is not there again within this. */
const shortestRestartMs = 1000

const mcp = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

const macOf = (user: string, text: string): string =>
  crypto.createHmac('sha256', fs.readFileSync(keyFile)).update(`${user}\n${text}`).digest('base64url')

/** In a time that does not tell how much of it is right. */
function same(one: string, other: string): boolean {
  if (one.length !== other.length) return false
  let difference = 0
  for (let index = 0; index < one.length; index++) difference |= one.charCodeAt(index) ^ other.charCodeAt(index)
  return difference === 0
}

const short = (text: unknown): string => String(text === undefined ? '' : text).slice(0, 100)

/** @param params of the client's `initialize` */
function seal(user: string, id: string, params: Record<string, unknown>): string {
  const info = (params.clientInfo || {}) as Record<string, unknown>
  const capabilities = params.capabilities || {}
  const sealed: Sealed = {
    id: id,
    opening: {
      protocolVersion: params.protocolVersion,
      capabilities: JSON.stringify(capabilities).length > longestCapabilities ? {} : capabilities,
      clientInfo: { name: short(info.name), version: short(info.version) },
    },
  }
  const text = Buffer.from(JSON.stringify(sealed)).toString('base64url')
  return `${text}.${macOf(user, text)}`
}

/** Undefined for an id that is not one of this user's. */
function unseal(user: string, token: string): Sealed | undefined {
  const dot = token.lastIndexOf('.')
  const text = token.slice(0, dot)
  if (dot < 1 || !same(macOf(user, text), token.slice(dot + 1))) return undefined
  return JSON.parse(Buffer.from(text, 'base64url').toString()) as Sealed
}

const userOf = (r: Request): string => r.variables.golden_user || ''

/** The session is not there. */
const gone = (r: Request): void => turnAway(r, '404')

/** While the slots hand over no connection may stay open: the service address goes to the other one. */
function turnAway(r: Request, status: '404' | '405'): void {
  r.variables.golden_turned_away = status
  if ((ngx.shared.golden_handover.get('state') || 'open') === 'open') return refuse(r)
  r.internalRedirect('@closing')
}

/** js_content of @closing. */
function refuse(r: Request): void {
  if (r.variables.golden_turned_away === '405') {
    r.headersOut.Allow = 'POST, DELETE'
    return r.return(405)
  }
  // As Serena says it; a client that knows the protocol opens a new session.
  r.headersOut['Content-Type'] = 'application/json'
  r.return(404, '{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Session not found"}}\n')
}

/** The body where it is in memory: large ones are in a file, and none that is looked at here is large. */
function bodyOf(r: Request): string {
  try {
    return r.requestText || ''
  } catch (_error) {
    return ''
  }
}

/** A JSON-RPC message, or undefined. */
function messageOf(text: string): { method?: string; params?: Record<string, unknown> } | undefined {
  try {
    return JSON.parse(text)
  } catch (_error) {
    return undefined
  }
}

/** js_content of /mcp: whose id it is, and on to the gate. */
function pass(r: Request): void {
  const sessions = ngx.shared.golden_sessions
  if (r.method !== 'POST' && r.method !== 'DELETE') return turnAway(r, '405')
  const token = r.headersIn['Mcp-Session-Id']
  if (token) {
    const sealed = unseal(userOf(r), token)
    if (sealed === undefined || sessions.get(`ended ${sealed.id}`)) return gone(r)
    ngx.shared.golden_seen.set(sealed.id, Date.now())
    r.variables.golden_session = sealed.id
    r.variables.golden_upstream_session = idNow(sealed.id)
  }
  r.internalRedirect('@gate')
}

/** js_header_filter of @serena: clients see sealed ids only. */
function seen(r: Request): void {
  const sessions = ngx.shared.golden_sessions
  const id = r.headersOut['Mcp-Session-Id']
  const token = r.headersIn['Mcp-Session-Id']
  // Clients of MCP without sessions (2026-07-28) activate one as well.
  if (r.method === 'POST' && r.status === 200) noteProject(bodyOf(r))
  if (token) {
    const session = r.variables.golden_session || ''
    // One client takes over any id that it sees.
    if (id) r.headersOut['Mcp-Session-Id'] = token
    if (r.method === 'DELETE' && r.status < 300) {
      sessions.set(`ended ${session}`, '1')
      sessions.delete(`now ${session}`)
    }
    return
  }
  if (!id) return
  const message = messageOf(bodyOf(r))
  if (r.status === 200 && message && message.method === 'initialize') {
    ngx.shared.golden_seen.set(id, Date.now())
    r.headersOut['Mcp-Session-Id'] = seal(userOf(r), id, message.params || {})
  } else delete r.headersOut['Mcp-Session-Id']
}

/** The project that is active is Serena's own, whoever activated it: a new process has none until it is told. */
function noteProject(text: string): void {
  if (text.indexOf('"activate_project"') < 0) return
  const message = messageOf(text)
  const params = message && message.method === 'tools/call' ? message.params : undefined
  if (params && params.name === 'activate_project') ngx.shared.golden_sessions.set('project', JSON.stringify(params.arguments || {}))
}

/** error_page 404 of @serena: the session is opened again, and the call repeated. */
async function resume(r: Request): Promise<void> {
  const v = r.variables
  const session = v.golden_session
  const sealed = session && !v.golden_resumed ? unseal(userOf(r), r.headersIn['Mcp-Session-Id'] || '') : undefined
  if (!session || sealed === undefined) return gone(r)
  if (r.method === 'DELETE') {
    ngx.shared.golden_sessions.set(`ended ${session}`, '1')
    return r.return(200)
  }
  v.golden_resumed = '1'
  await openAgain(v.golden_serena || '', sealed, v.golden_upstream_session)
  v.golden_upstream_session = idNow(session)
  r.internalRedirect('@serena')
}

/** Serena's id for it by now. */
const idNow = (session: string): string => ngx.shared.golden_sessions.get(`now ${session}`) || session

/** One call of a session opens it, and the others of it wait for that. @param before Serena's id that she did not know */
async function openAgain(url: string, sealed: Sealed, before: string | undefined): Promise<void> {
  const sessions = ngx.shared.golden_sessions
  const session = sealed.id
  const isNew = (): boolean => idNow(session) !== before
  if (sessions.add(`opening ${session}`, '1', longestOpeningMs)) {
    try {
      if (!isNew()) {
        const id = await open(url, sealed)
        if (id) sessions.set(`now ${session}`, id)
      }
    } catch (_error) {
      // It answers for itself when the call is repeated.
    } finally {
      sessions.delete(`opening ${session}`)
    }
  } else {
    // Another call of this session is at it.
    for (const end = Date.now() + longestOpeningMs; !isNew() && sessions.get(`opening ${session}`) && Date.now() < end; ) await sleep(10)
  }
}

/** js_content of @ready, for what comes without a session: the project that was active is so again. */
async function ready(r: Request): Promise<void> {
  const v = r.variables
  const waiting = ngx.shared.golden_waiting
  const asks = r.method === 'POST' && usesProject(bodyOf(r)) && ngx.shared.golden_sessions.get('project')
  if (asks && Date.now() - (waiting.get('asked') || 0) >= shortestRestartMs) {
    const began = Date.now()
    const before = idNow(ours.id)
    v.golden_upstream_session = before
    const pinged = await r.subrequest('/golden-ping', { method: 'POST' })
    if (pinged.status === 404) await openAgain(v.golden_serena || '', ours, before)
    if (pinged.status === 200) waiting.set('asked', began)
    v.golden_upstream_session = ''
  }
  r.internalRedirect('@serena')
}

/** Large bodies, which are not in memory, are calls. */
const usesProject = (text: string): boolean => text === '' || (text.indexOf('"tools/call"') >= 0 && text.indexOf('"activate_project"') < 0)

/** @returns Serena's id of the new session */
async function open(url: string, sealed: Sealed): Promise<string | undefined> {
  const post = (message: object, id?: string): ReturnType<typeof ngx.fetch> =>
    ngx.fetch(url, { method: 'POST', headers: Object.assign({}, mcp, id ? { 'mcp-session-id': id } : {}), body: JSON.stringify(message) })
  const answer = await post({ jsonrpc: '2.0', id: 0, method: 'initialize', params: sealed.opening })
  const id = answer.headers.get('mcp-session-id')
  if (answer.status !== 200 || !id) return undefined
  await post({ jsonrpc: '2.0', method: 'notifications/initialized' }, id)
  const project = ngx.shared.golden_sessions.get('project')
  if (project) {
    const call = { name: 'activate_project', arguments: JSON.parse(project) }
    await (await post({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: call }, id)).text()
  }
  return id
}

export default { pass, seen, resume, ready, refuse }
