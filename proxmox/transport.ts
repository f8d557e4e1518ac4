/**
 * One request to Proxmox over the wire, and its answer or how far it got: connections, certificates, time-outs. By Node's
 * own client, not undici: whether a lost request may be sent again rests on whether it had a connection yet, and whether
 * that was one from before, which undici's requests do not tell; and most verbs would take half as long again to load it.
 */
import { X509Certificate } from 'node:crypto'
import type { ClientRequest, IncomingMessage } from 'node:http'
import { request as httpsRequest, Agent } from 'node:https'
import type { Duplex } from 'node:stream'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { identityProblem } from './identity.ts'

export interface WireRequest {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string | number>>
  readonly body?: Buffer | Readable | undefined
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

export interface Answer {
  readonly status: number
  readonly reason: string
  readonly body: string
  /** The server's own time, as it says itself: milliseconds, to the second. Undefined: it does not say. */
  readonly date?: number | undefined
}

/** There was no whole answer; `cause` says why. */
export class NoAnswer extends Error {
  override readonly cause: Error & { readonly code?: string }
  /** There was no connection yet: the server can't have read anything of the request. */
  readonly unsent: boolean
  /** It went over a connection that was kept from an earlier request. */
  readonly reused: boolean

  constructor(cause: Error, unsent: boolean, reused: boolean) {
    super(cause.message)
    this.name = 'NoAnswer'
    this.cause = cause
    this.unsent = unsent
    this.reused = reused
  }
}

export interface Transport {
  /** @throws NoAnswer */
  send(request: WireRequest): Promise<Answer>
  close(): void
}

export interface TransportOptions {
  /** `https://HOST:8006` */
  readonly url: string
  readonly caPem?: string | undefined
  readonly connectTimeoutMs: number
  /** At once, for looks. */
  readonly connections: number
}

/** A time-out of ours, as opposed to what the system says. */
class TimeOut extends Error {
  readonly code = 'ETIMEDOUT'
}

/**
 * pveproxy closes a connection that is idle for 5 s (pve-http-server, PVE/APIServer/AnyEvent.pm, `timeout`). Ours are
 * given up well before.
 */
const idleMs = 3000

class KeepingAgent extends Agent {
  override keepSocketAlive(socket: Duplex & { setTimeout?: (ms: number) => void }): boolean {
    // The types do not know that Node asks for the answer.
    const kept = super.keepSocketAlive(socket) as unknown as boolean
    // The agent destroys a free connection at its time-out; one that is used again gets the request's own.
    socket.setTimeout?.(idleMs)
    return kept
  }
}

export function openTransport({ url, caPem, connectTimeoutMs, connections }: TransportOptions): Transport {
  const options = {
    maxSockets: connections,
    // A server that sends no chain, as Proxmox does, leaves its own certificate to be pinned: OpenSSL takes that only when asked to.
    ...(caPem === undefined ? {} : { ca: caPem, allowPartialTrustChain: true }),
    checkServerIdentity: (_host: string, certificate: { raw: Buffer }) => identityProblem(url, new X509Certificate(certificate.raw)),
  }
  // Of a kept connection that turns out to be closed nobody can say whether the server has read the request before. For
  // a look that does not matter. What changes something gets a connection of its own, so that it never comes to that.
  const looks = new KeepingAgent({ ...options, keepAlive: true })
  const changes = new Agent({ ...options, keepAlive: false })
  return {
    send: (request) => sendOver(request.method === 'GET' ? looks : changes, url, connectTimeoutMs, request),
    close() {
      looks.destroy()
      changes.destroy()
    },
  }
}

/** Connections that have come about. */
const secured = new WeakSet<Duplex>()

function sendOver(
  agent: Agent,
  url: string,
  connectTimeoutMs: number,
  { method, path, headers, body, timeoutMs, signal }: WireRequest,
): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  let connected = false
  const request: ClientRequest = httpsRequest(`${url}/api2/json${path}`, { method, headers, agent, ...(signal ? { signal } : {}) })
  const fail = (cause: Error): void => reject(new NoAnswer(cause, !connected, request.reusedSocket))
  request.setTimeout(timeoutMs, () => request.destroy(new TimeOut('no answer in time')))
  request.on('error', fail)
  request.on('socket', (socket) => {
    // A request that waited for another one's connection gets it without being told that it is used again.
    connected = request.reusedSocket || secured.has(socket)
    if (connected) return
    const timer = setTimeout(() => request.destroy(new TimeOut(`no connection within ${connectTimeoutMs / 1000} s`)), connectTimeoutMs)
    // Nothing of a request is written before this.
    socket.once('secureConnect', () => {
      connected = true
      secured.add(socket)
      clearTimeout(timer)
    })
    request.once('close', () => clearTimeout(timer))
  })
  request.on('response', (response: IncomingMessage) => {
    const parts: Buffer[] = []
    response.on('data', (part: Buffer) => parts.push(part))
    response.on('error', fail)
    const date = Date.parse(response.headers.date ?? '')
    response.on('end', () =>
      resolve({
        status: response.statusCode ?? 0,
        reason: response.statusMessage ?? '',
        body: Buffer.concat(parts).toString(),
        date: Number.isNaN(date) ? undefined : date,
      }),
    )
  })
  if (body instanceof Readable)
    pipeline(body, request).catch(() => {
      /* the request's own error event tells */
    })
  else request.end(body)
  return promise
}
