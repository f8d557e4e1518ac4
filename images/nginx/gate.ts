/**
 * The gate, in nginx (njs, as keeper.ts): where requests go while the slots hand over. MCP calls wait, within bounds, until
 * this slot's Serena is there or the peer slot takes them; everything else is told to come again, which its clients do.
 * What is running is counted, so that a slot stops when nobody waits for an answer any more. Read and told by
 * images/guest/keeper-control.ts, which has the words for it.
 */
import type { Ngx, Request } from './njs.ts'

declare const ngx: Ngx

/** `call`, `message` (to the SSE transport) and `push` keep this slot busy; `stream` is SSE's, which never ends; `forward` is the peer's. */
type Kind = 'call' | 'message' | 'push' | 'stream' | 'forward'

const states = ['open', 'park', 'forward']

const shortestPauseMs = 5
const longestPauseMs = 50
/** Serena starts in seconds, and clients give up after a minute. */
const longestAwayMs = 30000
const lookEveryMs = 250
/** Of one call, with a session and without: each wait costs two internal redirects, or three, of which nginx allows ten. */
const mostWaits = 2
const mostWaitsWithout = 1
/** Of a body whose size nobody has said, this much is in memory. */
const unsaidBytes = 1048576
/** No call takes so long: its process of nginx was ended while it ran. */
const longestCallMs = 7200000
/** More than nginx has connections. */
const most = 100000

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

const stateNow = (): string => ngx.shared.golden_handover.get('state') || 'open'

/** Before the state is looked at: whoever sets it and then waits for those that run misses none. */
function begin(r: Request, kind: Kind): void {
  r.variables.golden_kind = kind
  ngx.shared.golden_running.set(`${kind} ${r.variables.golden_call}`, Date.now())
}

function end(r: Request): void {
  const v = r.variables
  if (v.golden_kind && v.golden_call) ngx.shared.golden_running.delete(`${v.golden_kind} ${v.golden_call}`)
}

/** js_set, for access_log: looked at when a request has ended, however that was. */
function logged(r: Request): string {
  end(r)
  return r.variables.golden_heard || ''
}

/** The same where one line for each request would be a log about logging. */
function loggedPush(r: Request): string {
  end(r)
  return r.status >= 400 && r.status < 500 ? '1' : ''
}

/** js_set. */
function state(): string {
  return stateNow()
}

/**
 * js_set, of a request whose answer keeps the connection: whether this one's is to be the last. A slot that forwards has its
 * successor at the service address long since, and what is still open here when its time is over breaks.
 */
function leaves(r: Request): string {
  const since = Number(ngx.shared.golden_handover.get('since')) || Date.now()
  return stateNow() === 'forward' && Date.now() - since >= Number(r.variables.golden_stays) * 1000 ? '1' : ''
}

/** What waits at most. */
interface Bounds {
  readonly calls: number
  readonly bytes: number
  readonly ms: number
}

function boundsOf(r: Request): Bounds {
  const said = (r.variables.golden_parking || '').split(' ')
  return { calls: Number(said[0]), bytes: Number(said[1]), ms: Number(said[2]) }
}

const bytesOf = (r: Request): number => Number(r.headersIn['Content-Length']) || (r.headersIn['Transfer-Encoding'] ? unsaidBytes : 0)

function takePlace(r: Request, bounds: Bounds): boolean {
  const waiting = ngx.shared.golden_waiting
  const calls = waiting.incr('calls', 1, 0)
  const bytes = waiting.incr('bytes', bytesOf(r), 0)
  if (calls <= bounds.calls && bytes <= bounds.bytes) return true
  leavePlace(r)
  return false
}

function leavePlace(r: Request): void {
  ngx.shared.golden_waiting.incr('calls', -1, 0)
  ngx.shared.golden_waiting.incr('bytes', -bytesOf(r), 0)
}

function refuse(r: Request): void {
  ngx.shared.golden_counts.incr('refused', 1, 0)
  r.internalRedirect('@starting')
}

/** js_content of @gate, and what becomes of a call that nobody has got. */
async function enter(r: Request): Promise<void> {
  const v = r.variables
  const bounds = boundsOf(r)
  const began = Date.now()
  const since = Number(v.golden_since) || began
  v.golden_since = String(since)
  const missed = Number(v.golden_missed) || began
  let waits = false
  let pause = shortestPauseMs
  try {
    for (;;) {
      begin(r, 'call')
      const current = stateNow()
      const failed = v.golden_tried === current
      if (current !== 'park' && (!failed || wasSeen(current, began))) return go(r, current)
      end(r)
      if (!waits) {
        // This host's own health check has no patience to lose.
        if (current !== 'open' && v.golden_heard === '0') return r.internalRedirect('@starting')
        if (!takePlace(r, bounds)) return refuse(r)
        waits = true
      }
      const isOver = current === 'open' ? Date.now() - missed >= longestAwayMs : Date.now() - since >= bounds.ms
      if (isOver) return refuse(r)
      if (failed) await look(r, current)
      await sleep(pause)
      pause = Math.min(pause * 1.5, longestPauseMs)
    }
  } finally {
    if (waits) leavePlace(r)
  }
}

function go(r: Request, current: string): void {
  const v = r.variables
  v.golden_tried = current
  if (current === 'open') return r.internalRedirect(v.golden_session ? '@serena' : '@ready')
  end(r)
  // From the peer: two that forward would send it to and fro.
  if (v.ssl_client_verify === 'SUCCESS') return refuse(r)
  begin(r, 'forward')
  r.internalRedirect('@forward')
}

/** error_page 502 504 of @serena and @forward: a call that nobody has got waits until somebody is there. */
async function away(r: Request): Promise<void> {
  const v = r.variables
  end(r)
  // The time of the last connection that came about; `-`: none. What may have arrived is never repeated.
  if (/[0-9]\s*$/.test(v.upstream_connect_time || '')) return r.internalRedirect('@starting')
  const waits = Number(v.golden_waits) || 0
  if (waits >= (v.golden_session ? mostWaits : mostWaitsWithout)) return refuse(r)
  v.golden_waits = String(waits + 1)
  if (!v.golden_missed) v.golden_missed = String(Date.now())
  await enter(r)
}

const wasSeen = (where: string, since: number): boolean => (ngx.shared.golden_waiting.get(`seen ${where}`) || 0) >= since

/** One at a time looks, for all: for Serena or, where calls are forwarded, for the peer. */
async function look(r: Request, where: string): Promise<void> {
  const waiting = ngx.shared.golden_waiting
  if (!waiting.add(`looking ${where}`, 1, lookEveryMs)) return
  const isThere = where === 'open' ? await answers(r.variables.golden_serena || '') : (await peerStatus(r)) === 200
  if (isThere) waiting.set(`seen ${where}`, Date.now())
}

async function answers(url: string): Promise<boolean> {
  try {
    await ngx.fetch(url)
    return true
  } catch (_error) {
    return false
  }
}

async function peerStatus(r: Request): Promise<number> {
  const reply = await r.subrequest('/golden-peer', { method: 'GET' })
  return reply.status
}

/** js_content of the SSE transport's locations: its clients can't be kept, and connect again. */
function sse(r: Request): void {
  const kind = r.method === 'GET' ? 'stream' : 'message'
  begin(r, kind)
  if (stateNow() === 'open') return r.internalRedirect(`@sse_${kind}`)
  end(r)
  r.internalRedirect('@starting')
}

/** js_content of Loki's push: the agents keep what is refused, and push it again. */
function push(r: Request): void {
  begin(r, 'push')
  if (stateNow() === 'open') return r.internalRedirect('@push')
  end(r)
  r.internalRedirect('@moving')
}

function say(r: Request, status: number, what: object): void {
  r.headersOut['Content-Type'] = 'application/json'
  r.return(status, `${JSON.stringify(what)}\n`)
}

/** What came with a PUT, if that is JSON with an object. */
function putOf(r: Request): Record<string, unknown> | undefined {
  try {
    const said = JSON.parse(r.requestText || '')
    return typeof said === 'object' && said !== null ? said : undefined
  } catch (_error) {
    return undefined
  }
}

/** js_content, for this host alone. */
function control(r: Request): void {
  if (r.method === 'PUT') {
    const said = putOf(r)
    const wanted = said ? said.state : undefined
    if (states.indexOf(wanted as string) < 0) return say(r, 400, { error: `state must be one of ${states.join(', ')}` })
    if (wanted === 'forward' && !r.variables.golden_peer) return say(r, 409, { error: 'the seed has no key for the peer slot' })
    if (stateNow() !== wanted) ngx.shared.golden_handover.set('since', String(Date.now()))
    ngx.shared.golden_handover.set('state', wanted as string)
  } else if (r.method !== 'GET') return say(r, 405, { error: 'GET or PUT' })
  say(r, 200, whatIsGoingOn())
}

function whatIsGoingOn(): object {
  const now = Date.now()
  const count: Record<string, number> = { call: 0, message: 0, push: 0, stream: 0, forward: 0 }
  let oldestMs = 0
  const list = ngx.shared.golden_running.items(most)
  for (let index = 0; index < list.length; index++) {
    const entry = list[index]!
    const kind = entry[0].slice(0, entry[0].indexOf(' '))
    const ageMs = Math.max(0, now - entry[1])
    if (kind !== 'stream' && ageMs > longestCallMs) continue
    count[kind] = (count[kind] || 0) + 1
    if (kind !== 'stream' && kind !== 'forward') oldestMs = Math.max(oldestMs, ageMs)
  }
  return {
    state: stateNow(),
    busy: count.call! + count.message! + count.push!,
    oldestMs: oldestMs,
    forwarding: count.forward,
    parked: ngx.shared.golden_waiting.get('calls') || 0,
    parkedBytes: ngx.shared.golden_waiting.get('bytes') || 0,
    refused: ngx.shared.golden_counts.get('refused') || 0,
    sse: count.stream,
    sessions: ngx.shared.golden_seen.size(),
  }
}

/** js_content, for this host alone: what the other slot has to know. */
function carry(r: Request): void {
  const sessions = ngx.shared.golden_sessions
  if (r.method === 'PUT') {
    const said = putOf(r)
    if (!said || said.schema !== 1) return say(r, 400, { error: 'schema must be 1' })
    if (said.project) sessions.set('project', JSON.stringify(said.project))
    else sessions.delete('project')
  } else if (r.method !== 'GET') return say(r, 405, { error: 'GET or PUT' })
  const project = sessions.get('project')
  say(r, 200, project ? { schema: 1, project: JSON.parse(project) } : { schema: 1 })
}

export default { enter, away, sse, push, logged, loggedPush, state, leaves, control, carry }
