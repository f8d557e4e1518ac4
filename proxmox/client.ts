/**
 * A thin client of the Proxmox VE API: transport, errors, tasks, uploads, guest agent. What the calls
 * mean is decided by its callers. Nothing else in this project speaks HTTP to Proxmox.
 */
import { createHash, X509Certificate } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { request as httpsRequest, Agent } from 'node:https'
import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { Failure } from './failure.ts'
import { identityProblem, isCertificate } from './identity.ts'
import { saysFull, storageFullHint } from './storage-full.ts'

export interface Token {
  /** `user@realm!name` */
  readonly id: string
  readonly secret: string
}

export interface Login {
  readonly username: string
  readonly password: string
}

export interface Endpoint {
  /** `https://HOST:8006` */
  readonly url: string
  /** PEM that the server's certificate is verified with. @default the system's CAs */
  readonly caPem?: string
  readonly auth: Token | Login
  /** How long one request may take, in milliseconds. @default 60000 */
  readonly timeoutMs?: number
  /** How long a connection may take to come about, in milliseconds. @default 15000 */
  readonly connectTimeoutMs?: number
}

/** The API refused a request, or answered something that makes no sense. */
export class ProxmoxError extends Failure {
  /** HTTP status; 0 when there was no answer. */
  readonly status: number
  readonly method: string
  readonly path: string
  /** PVE's complaints by parameter. */
  readonly parameters: Readonly<Record<string, string>>

  constructor(code: string, message: string, hint: string, details: { status: number; method: string; path: string; parameters?: Record<string, string>; cause?: unknown }) {
    super(code, message, hint, { cause: details.cause })
    this.name = 'ProxmoxError'
    this.status = details.status
    this.method = details.method
    this.path = details.path
    this.parameters = details.parameters ?? {}
  }
}

export type Parameter = string | number | boolean | readonly string[] | undefined
export type Parameters = Readonly<Record<string, Parameter>>

export interface AgentResult {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

export interface UploadOptions {
  readonly node: string
  readonly storage: string
  readonly content: 'iso' | 'import'
  readonly filename: string
  /** Bytes, or the path of a file on this computer. */
  readonly data: Uint8Array | string
  readonly onProgress?: (fraction: number) => void
  readonly signal?: AbortSignal
}

export interface TaskOptions {
  /** @default 600000 */
  readonly timeoutMs?: number
  /** The task's newest log line, whenever there is one. */
  readonly onLog?: (line: string) => void
  readonly signal?: AbortSignal
  /**
   * When the wait ends before the task does (aborted, no answer, no patience), Proxmox is asked to stop the task and its
   * end is waited for all the same: only then can what it has made be taken away. @default false
   */
  readonly stop?: boolean
}

export interface Proxmox {
  readonly url: string
  get<T = unknown>(path: string, query?: Parameters): Promise<T>
  post<T = unknown>(path: string, form?: Parameters): Promise<T>
  put<T = unknown>(path: string, form?: Parameters): Promise<T>
  del<T = unknown>(path: string, query?: Parameters): Promise<T>
  /** Waits for a task; rejects with code `task-failed` and PVE's own words when it did not end well. */
  task(upid: string, options?: TaskOptions): Promise<void>
  /** Uploads a file (an existing one of that name is overwritten: that is PVE's way) and waits for its task. */
  upload(options: UploadOptions): Promise<void>
  /**
   * Runs a program in a guest through its agent and waits for it to end.
   * Needs VM.GuestAgent.Unrestricted. `input` is passed on standard input (64 KiB at most).
   */
  agentExec(node: string, vmid: number, command: readonly [string, ...string[]], options?: { input?: string; timeoutMs?: number; signal?: AbortSignal }): Promise<AgentResult>
  /** Waits until the guest's agent answers; rejects with code `agent-timeout`. */
  waitForAgent(node: string, vmid: number, options?: { timeoutMs?: number; signal?: AbortSignal; onWait?: (elapsedMs: number) => void }): Promise<void>
  close(): void
}

interface Answer {
  readonly status: number
  readonly reason: string
  readonly body: string
}

interface Ticket {
  readonly ticket: string
  readonly csrf: string
}

/** @throws Failure `token-malformed` or `ca-unreadable` for what is no token or no certificate; connects lazily */
export function connect(endpoint: Endpoint): Proxmox {
  return new Client(endpoint)
}

class Client implements Proxmox {
  readonly url: string
  readonly #endpoint: Endpoint
  readonly #agent: Agent
  #ticket: Promise<Ticket> | undefined

  constructor(endpoint: Endpoint) {
    this.url = endpoint.url.replace(/\/+$/, '')
    this.#endpoint = endpoint
    const { auth } = endpoint
    // It goes into a header: with a line break or the mark of an encoding in it no request could even be made.
    if ('secret' in auth && !/^[!-~]*$/.test(auth.id + auth.secret)) throw new Failure('token-malformed', `token ${auth.id}, or its secret, is not one word of plain characters`, 'Put the secret alone into its place, in one line and without a byte order mark; or make a new one with "golden setup --new-token".')
    if (endpoint.caPem !== undefined && !isCertificate(endpoint.caPem)) throw new Failure('ca-unreadable', `what is pinned for ${this.url} is no certificate in PEM`, 'Remove the file that proxmox.caFile names (secrets/proxmox-ca.pem by default), and run "golden setup" to see and pin the right one.')
    this.#agent = new Agent({
      keepAlive: true,
      maxSockets: 4,
      // A server that sends no chain, as Proxmox does, leaves its own certificate to be pinned: OpenSSL takes that only when asked to.
      ...(endpoint.caPem === undefined ? {} : { ca: endpoint.caPem, allowPartialTrustChain: true }),
      checkServerIdentity: (_host, certificate) => identityProblem(this.url, new X509Certificate(certificate.raw))
    })
  }

  get<T>(path: string, query?: Parameters): Promise<T> {
    return this.#call<T>('GET', withQuery(path, query))
  }

  post<T>(path: string, form?: Parameters): Promise<T> {
    return this.#call<T>('POST', path, form ?? {})
  }

  put<T>(path: string, form?: Parameters): Promise<T> {
    return this.#call<T>('PUT', path, form ?? {})
  }

  // PVE wants the parameters of a DELETE in the query: a body would be answered with 501.
  del<T>(path: string, query?: Parameters): Promise<T> {
    return this.#call<T>('DELETE', withQuery(path, query))
  }

  async task(upid: string, options: TaskOptions = {}): Promise<void> {
    try {
      await this.#watch(upid, options)
    } catch (error) {
      if (options.stop) await this.#stop(upid)
      throw error
    }
  }

  /** Why the wait ended matters more than what goes wrong here. */
  async #stop(upid: string): Promise<void> {
    const path = `/nodes/${upid.split(':')[1]}/tasks/${encodeURIComponent(upid)}`
    try {
      if ((await this.get<{ status: string }>(`${path}/status`)).status === 'stopped') return
      await this.del(path)
      await this.#watch(upid, {})
    } catch { /* a task that was stopped has failed */ }
  }

  async #watch(upid: string, options: TaskOptions): Promise<void> {
    const node = upid.split(':')[1]
    if (node === undefined || !upid.startsWith('UPID:')) throw new Error(`not a task id: ${upid}`)
    const path = `/nodes/${node}/tasks/${encodeURIComponent(upid)}`
    const until = Date.now() + (options.timeoutMs ?? 600_000)
    let seen = 0
    for (let pause = 50; ; pause = Math.min(pause * 2, 1000)) {
      const status = await this.get<{ status: string; exitstatus?: string }>(`${path}/status`)
      if (options.onLog) {
        const lines = await this.get<{ n: number; t: string }[]>(`${path}/log`, { start: seen, limit: 500 })
        for (const line of lines) if (line.t !== 'no content') options.onLog(line.t)
        seen += lines.length
      }
      if (status.status === 'stopped') {
        const exit = status.exitstatus ?? 'unknown'
        if (exit === 'OK' || exit.startsWith('WARNINGS')) return
        if (saysFull(exit)) throw new ProxmoxError('storage-full', `a storage of ${this.url} is full: ${exit}`, storageFullHint, { status: 0, method: 'GET', path })
        throw new ProxmoxError('task-failed', `Proxmox task ${upid.split(':')[5] ?? ''} ${upid.split(':')[6] ?? ''} failed: ${exit}`.replace(/ +/g, ' '), `See the task's log in Proxmox (node ${node}, Tasks).`, { status: 0, method: 'GET', path })
      }
      if (Date.now() > until) throw new ProxmoxError('task-timeout', `Proxmox task ${upid} still runs`, `Look at it in Proxmox (node ${node}, Tasks), then run the same command again.`, { status: 0, method: 'GET', path })
      await delay(pause, undefined, { signal: options.signal })
    }
  }

  async upload(options: UploadOptions): Promise<void> {
    const { node, storage, content, filename, data } = options
    const boundary = `----golden-${createHash('sha256').update(`${filename}${Date.now()}`).digest('hex').slice(0, 32)}`
    const size = typeof data === 'string' ? (await stat(data)).size : data.byteLength
    const checksum = createHash('sha256')
    if (typeof data === 'string') await pipeline(createReadStream(data), checksum)
    else checksum.update(data)
    // PVE parses the fields in this order, the file last (PVE::APIServer::AnyEvent).
    const field = (name: string, value: string): string => `--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`
    const digest = checksum.digest('hex')
    const head = Buffer.from(
      field('content', content) + field('checksum-algorithm', 'sha256') + field('checksum', digest) +
      `--${boundary}\r\nContent-Disposition: form-data; name="filename"; filename="${filename}"\r\nContent-Type: application/octet-stream\r\n\r\n`)
    const tail = Buffer.from(`\r\n--${boundary}--\r\n`)
    let sent = 0
    // Once everything is on its way only the answer tells the task that has to be ended: from then on it is waited for.
    const sending = new AbortController()
    const abort = (): void => { sending.abort() }
    if (options.signal?.aborted) abort()
    options.signal?.addEventListener('abort', abort)
    const chunks = typeof data === 'string' ? createReadStream(data, { highWaterMark: 1 << 20 }) : [data]
    const body = Readable.from((async function* () {
      yield head
      for await (const chunk of chunks as AsyncIterable<Uint8Array>) {
        yield chunk
        sent += chunk.byteLength
        options.onProgress?.(size === 0 ? 1 : sent / size)
      }
      options.signal?.removeEventListener('abort', abort)
      yield tail
    })())
    const path = `/nodes/${node}/storage/${storage}/upload`
    let upid: string
    try {
      upid = await this.#call<string>('POST', path, undefined, {
        type: `multipart/form-data; boundary=${boundary}`,
        length: head.length + size + tail.length,
        stream: body,
        timeoutMs: 3_600_000,
        signal: sending.signal
      })
    } finally {
      options.signal?.removeEventListener('abort', abort)
    }
    await this.task(upid, { stop: true, ...(options.signal ? { signal: options.signal } : {}) })
  }

  async agentExec(node: string, vmid: number, command: readonly [string, ...string[]], options: { input?: string; timeoutMs?: number; signal?: AbortSignal } = {}): Promise<AgentResult> {
    const path = `/nodes/${node}/qemu/${vmid}/agent`
    const { pid } = await this.post<{ pid: number }>(`${path}/exec`, { command, ...(options.input === undefined ? {} : { 'input-data': options.input }) })
    const until = Date.now() + (options.timeoutMs ?? 120_000)
    for (let pause = 50; ; pause = Math.min(pause * 2, 1000)) {
      const status = await this.get<{ exited: number | boolean; exitcode?: number; signal?: number; 'out-data'?: string; 'err-data'?: string }>(`${path}/exec-status`, { pid })
      if (Number(status.exited) === 1) {
        return { exitCode: status.exitcode ?? 128 + (status.signal ?? 0), stdout: status['out-data'] ?? '', stderr: status['err-data'] ?? '' }
      }
      if (Date.now() > until) throw new ProxmoxError('agent-exec-timeout', `${command[0]} in VM ${vmid} did not end in time`, `Look at VM ${vmid}'s console in Proxmox.`, { status: 0, method: 'GET', path })
      await delay(pause, undefined, { signal: options.signal })
    }
  }

  async waitForAgent(node: string, vmid: number, options: { timeoutMs?: number; signal?: AbortSignal; onWait?: (elapsedMs: number) => void } = {}): Promise<void> {
    const began = Date.now()
    const timeoutMs = options.timeoutMs ?? 900_000
    let last: unknown
    for (;;) {
      try {
        await this.post(`/nodes/${node}/qemu/${vmid}/agent/ping`)
        return
      } catch (error) {
        // PVE says 500 for "agent not running" and "VM not running" alike; only the first one passes by itself.
        if (!(error instanceof ProxmoxError) || error.status !== 500 || /VM \d+ (is )?not running/.test(error.message)) throw error
        last = error
      }
      if (Date.now() - began > timeoutMs) {
        throw new ProxmoxError('agent-timeout', `the guest agent of VM ${vmid} did not answer within ${Math.round(timeoutMs / 1000)} s`, `Look at VM ${vmid}'s console in Proxmox: it says where the boot hangs, if it does.`, { status: 500, method: 'POST', path: `/nodes/${node}/qemu/${vmid}/agent/ping`, cause: last })
      }
      options.onWait?.(Date.now() - began)
      await delay(1000, undefined, { signal: options.signal })
    }
  }

  close(): void {
    this.#agent.destroy()
  }

  async #call<T>(method: string, path: string, form?: Parameters, raw?: { type: string; length: number; stream: Readable; timeoutMs: number; signal?: AbortSignal }): Promise<T> {
    const headers: Record<string, string | number> = { Accept: 'application/json', ...(await this.#authorization(method)) }
    let body: Buffer | undefined
    if (raw) {
      headers['Content-Type'] = raw.type
      headers['Content-Length'] = raw.length
    } else if (form) {
      body = Buffer.from(encode(form))
      headers['Content-Type'] = 'application/x-www-form-urlencoded'
      headers['Content-Length'] = body.length
    }
    let answer = await this.#send(method, path, headers, body ?? raw?.stream, raw?.timeoutMs, raw?.signal)
    if (answer.status === 401 && this.#ticket && !raw) {
      // Tickets end after two hours; one more try with a new one.
      this.#ticket = undefined
      answer = await this.#send(method, path, { ...headers, ...(await this.#authorization(method)) }, body, undefined, undefined)
    }
    return this.#read<T>(method, path, answer)
  }

  #read<T>(method: string, path: string, answer: Answer): T {
    const parsed = parse(answer.body)
    if (answer.status >= 200 && answer.status < 300 && parsed !== undefined && 'data' in parsed) return parsed.data as T
    const message = (parsed?.message ?? answer.reason).trim() || `HTTP ${answer.status}`
    const parameters = parsed?.errors ?? {}
    const listed = Object.entries(parameters).map(([name, text]) => `${name}: ${text.trim()}`).join('; ')
    const what = `${method} ${path.split('?')[0]}: ${message}${listed === '' ? '' : ` (${listed})`}`
    const details = { status: answer.status, method, path, parameters }
    if (answer.status === 401) {
      const { auth } = this.#endpoint
      if ('password' in auth) throw new ProxmoxError('login-refused', `Proxmox at ${this.url} does not accept the password of ${auth.username}`, 'Check the user, with its realm, and the password.', details)
      throw new ProxmoxError('not-authenticated', `Proxmox at ${this.url} does not accept the token ${auth.id}`, 'If it is gone, has expired, or its secret is another: "golden setup --new-token" makes a new one. Or correct proxmox.tokenId and proxmox.token in site.ts.', details)
    }
    if (answer.status === 403) throw new ProxmoxError('permission-denied', what, 'Run "golden setup" again: it repairs the role, the pools and their permissions.', details)
    if (answer.status >= 200 && answer.status < 300) throw new ProxmoxError('not-proxmox', `${this.url} does not answer like Proxmox VE`, 'Check proxmox.url in site.ts.', details)
    if (saysFull(what)) throw new ProxmoxError('storage-full', `a storage is full: ${what}`, storageFullHint, details)
    throw new ProxmoxError('proxmox-refused', what, 'Mend what Proxmox complains about, then run the same command again.', details)
  }

  async #authorization(method: string): Promise<Record<string, string>> {
    const { auth } = this.#endpoint
    if ('secret' in auth) return { Authorization: `PVEAPIToken=${auth.id}=${auth.secret}` }
    this.#ticket ??= this.#login(auth)
    const { ticket, csrf } = await this.#ticket
    return { Cookie: `PVEAuthCookie=${encodeURIComponent(ticket)}`, ...(method === 'GET' ? {} : { CSRFPreventionToken: csrf }) }
  }

  async #login(login: Login): Promise<Ticket> {
    const body = Buffer.from(encode({ username: login.username, password: login.password }))
    const answer = await this.#send('POST', '/access/ticket', { 'Content-Type': 'application/x-www-form-urlencoded', 'Content-Length': body.length }, body, undefined, undefined)
    const data = this.#read<{ ticket: string; CSRFPreventionToken: string; NeedTFA?: number }>('POST', '/access/ticket', answer)
    if (data.NeedTFA) {
      // What came is no ticket yet, only the question for the second factor.
      throw new ProxmoxError('tfa-needed', `${login.username} logs in to ${this.url} with a second factor`, 'Use an API token of an administrator (without privilege separation) instead: "golden setup --admin USER@REALM!TOKEN", with its secret in PROXMOX_ADMIN_TOKEN.', { status: answer.status, method: 'POST', path: '/access/ticket' })
    }
    return { ticket: data.ticket, csrf: data.CSRFPreventionToken }
  }

  #send(method: string, path: string, headers: Record<string, string | number>, body: Buffer | Readable | undefined, timeoutMs: number | undefined, signal: AbortSignal | undefined): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    const fail = (cause: Error): void => reject(this.#unreachable(method, path, cause))
    const request = httpsRequest(`${this.url}/api2/json${path}`, { method, headers, agent: this.#agent, ...(signal ? { signal } : {}) })
    request.setTimeout(timeoutMs ?? this.#endpoint.timeoutMs ?? 60_000, () => request.destroy(new Error('no answer in time')))
    request.on('error', fail)
    request.on('socket', (socket) => {
      if (!socket.connecting) return
      const connectMs = this.#endpoint.connectTimeoutMs ?? 15_000
      const timer = setTimeout(() => request.destroy(new Error(`no connection within ${connectMs / 1000} s`)), connectMs)
      const connected = (): void => { clearTimeout(timer) }
      socket.once('secureConnect', connected)
      request.once('close', connected)
    })
    request.on('response', (response: IncomingMessage) => {
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => parts.push(part))
      response.on('error', fail)
      response.on('end', () => resolve({ status: response.statusCode ?? 0, reason: response.statusMessage ?? '', body: Buffer.concat(parts).toString() }))
    })
    if (body instanceof Readable) pipeline(body, request).catch(() => { /* the request's own error event tells */ })
    else request.end(body)
    return promise
  }

  #unreachable(method: string, path: string, cause: Error & { code?: string }): Failure {
    if (cause instanceof Failure) return cause
    const details = { status: 0, method, path, cause }
    if (cause.name === 'AbortError') return new ProxmoxError('cancelled', 'cancelled', 'Run the same command again.', details)
    const certificate = /CERT|SELF_SIGNED|ALTNAME|UNABLE_TO_VERIFY|ISSUER/.test(cause.code ?? '')
    if (certificate) {
      return new ProxmoxError('certificate-not-trusted', `the certificate of ${this.url} is not trusted: ${cause.message}`, 'If the host or its certificate changed on purpose, remove the pinned one (proxmox.caFile, secrets/proxmox-ca.pem by default) and run "golden setup" to see and pin the new one; otherwise somebody may be in between.', details)
    }
    return new ProxmoxError('proxmox-unreachable', `Proxmox does not answer at ${this.url}: ${cause.message}`, 'Check proxmox.url in site.ts, the network, and that the host is up.', details)
  }
}

/** Form encoding; arrays become repeated keys, booleans 0 and 1. PVE splits at a raw `;` too, so everything is escaped. */
function encode(parameters: Parameters): string {
  const pairs: string[] = []
  for (const [key, value] of Object.entries(parameters)) {
    if (value === undefined) continue
    const values = Array.isArray(value) ? value as readonly string[] : [typeof value === 'boolean' ? (value ? '1' : '0') : String(value)]
    for (const one of values) pairs.push(`${encodeURIComponent(key)}=${encodeURIComponent(one)}`)
  }
  return pairs.join('&')
}

function withQuery(path: string, query: Parameters | undefined): string {
  const text = query === undefined ? '' : encode(query)
  return text === '' ? path : `${path}?${text}`
}

function parse(body: string): { data?: unknown; message?: string; errors?: Record<string, string> } | undefined {
  try {
    const value: unknown = JSON.parse(body)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}
