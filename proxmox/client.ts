/**
 * A thin client of the Proxmox VE API: transport, errors, tasks, uploads, guest agent. What the calls
 * mean is decided by its callers. Nothing else in this project speaks HTTP to Proxmox.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { Failure, isLost } from '../core/failure.ts'
import type { FailureCode } from '../core/failures.ts'
import { isCertificate } from './identity.ts'
import { isPassingStatus, mayBeDone, Patience } from './patience.ts'
import { settleTasks } from './settle.ts'
import { saysFull, storageFullHint } from './storage-full.ts'
import { NoAnswer, openTransport, type Answer, type Transport } from './transport.ts'

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
  /** How long an API that has answered before is waited for when it is away, in milliseconds. @default 120000 */
  readonly waitMs?: number
  /** It is known that this API answers, so that it is waited for from the first request on. @default false */
  readonly known?: boolean
  /** Gets a sentence when the API is away, and one when it is back. */
  readonly say?: (text: string) => void
  /** Once aborted an API that is away is waited for a moment only. */
  readonly signal?: AbortSignal
}

/** The API refused a request, or answered something that makes no sense. */
export class ProxmoxError extends Failure {
  /** HTTP status; 0 when there was no answer. */
  readonly status: number
  readonly method: string
  readonly path: string
  /** PVE's complaints by parameter. */
  readonly parameters: Readonly<Record<string, string>>

  constructor(
    code: FailureCode,
    message: string,
    hint: string,
    details: { status: number; method: string; path: string; parameters?: Record<string, string>; cause?: unknown; lost?: boolean },
  ) {
    super(code, message, hint, details)
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

export interface ExecOptions extends Sending {
  readonly input?: string
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
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

export interface Sending {
  /** Twice is as once, so it is sent again when its answer is lost. A GET always is. @default false */
  readonly repeatable?: boolean
}

/**
 * Faults that pass are waited for (patience.ts). A change whose answer is lost rejects with a failure that says so
 * (`isLost`): whoever asked looks what became of it, and repeats nothing before.
 */
export interface Proxmox {
  readonly url: string
  get<T = unknown>(path: string, query?: Parameters): Promise<T>
  post<T = unknown>(path: string, form?: Parameters, sending?: Sending): Promise<T>
  put<T = unknown>(path: string, form?: Parameters, sending?: Sending): Promise<T>
  del<T = unknown>(path: string, query?: Parameters, sending?: Sending): Promise<T>
  /** Waits for a task; rejects with code `task-failed` and PVE's own words when it did not end well. */
  task(upid: string, options?: TaskOptions): Promise<void>
  /** Uploads a file (an existing one of that name is overwritten: that is PVE's way) and waits for its task. */
  upload(options: UploadOptions): Promise<void>
  /**
   * Runs a program in a guest through its agent and waits for it to end.
   * Needs VM.GuestAgent.Unrestricted. `input` is passed on standard input (64 KiB at most).
   */
  agentExec(node: string, vmid: number, command: readonly [string, ...string[]], options?: ExecOptions): Promise<AgentResult>
  /** Waits until the guest's agent answers; rejects with code `agent-timeout`. */
  waitForAgent(
    node: string,
    vmid: number,
    options?: { timeoutMs?: number; signal?: AbortSignal; onWait?: (elapsedMs: number) => void },
  ): Promise<void>
  close(): void
}

interface Call extends Sending {
  readonly method: string
  readonly path: string
  readonly form?: Parameters
  readonly stream?: { readonly type: string; readonly length: number; readonly body: () => Readable }
  /** @default true */
  readonly authorize?: boolean
  readonly timeoutMs?: number
  /** Ends the request. */
  readonly signal?: AbortSignal | undefined
  /** Ends the wait for an API that is away, not a request that is on its way. @default `signal` */
  readonly waiting?: AbortSignal | undefined
}

/** How often a file is sent whose arrival nobody confirms. */
const uploadTries = 3
const execTries = 3

/**
 * What PVE says of an agent that missed one question (PVE::QemuServer::Agent, PVE::QMPClient): the guest is too busy, or
 * frozen for a backup, and the program goes on in it. Of a VM that does not run it says something else.
 */
const missesAnswer = ({ status, message }: ProxmoxError): boolean =>
  status === 500 &&
  !/VM \d+ (is )?not running/.test(message) &&
  /guest agent is not running|qga (command|socket)|got timeout|frozen/i.test(message)

const servicesHint =
  'Something between here and Proxmox\'s services answers in their place: see "systemctl status pveproxy pvedaemon" on the node. Then run the same command again: it looks first, and goes on from what it finds.'

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
  readonly #transport: Transport
  readonly #patience: Patience
  #ticket: Promise<Ticket> | undefined

  constructor(endpoint: Endpoint) {
    this.url = endpoint.url.replace(/\/+$/, '')
    this.#endpoint = endpoint
    const { auth } = endpoint
    // It goes into a header: with a line break or the mark of an encoding in it no request could even be made.
    if ('secret' in auth && !/^[!-~]*$/.test(auth.id + auth.secret))
      throw new Failure(
        'token-malformed',
        `token ${auth.id}, or its secret, is not one word of plain characters`,
        'Put the secret alone into its place, in one line and without a byte order mark; or make a new one with "npx golden setup --new-token".',
      )
    if (endpoint.caPem !== undefined && !isCertificate(endpoint.caPem))
      throw new Failure(
        'ca-unreadable',
        `what is pinned for ${this.url} is no certificate in PEM`,
        'Remove the file that proxmox.caFile names (secrets/proxmox-ca.pem by default), and run "npx golden setup" to see and pin the right one.',
      )
    this.#transport = openTransport({ url: this.url, caPem: endpoint.caPem, connectTimeoutMs: endpoint.connectTimeoutMs ?? 15_000 })
    this.#patience = new Patience({
      url: this.url,
      say: endpoint.say,
      signal: endpoint.signal,
      known: endpoint.known,
      waitMs: endpoint.waitMs ?? 120_000,
    })
  }

  get<T>(path: string, query?: Parameters): Promise<T> {
    return this.#look<T>(path, query)
  }

  post<T>(path: string, form?: Parameters, sending?: Sending): Promise<T> {
    return this.#call<T>({ method: 'POST', path, form: form ?? {}, ...sending })
  }

  put<T>(path: string, form?: Parameters, sending?: Sending): Promise<T> {
    return this.#call<T>({ method: 'PUT', path, form: form ?? {}, ...sending })
  }

  // PVE wants the parameters of a DELETE in the query: a body would be answered with 501.
  del<T>(path: string, query?: Parameters, sending?: Sending): Promise<T> {
    return this.#call<T>({ method: 'DELETE', path: withQuery(path, query), ...sending })
  }

  #look<T>(path: string, query?: Parameters, signal?: AbortSignal): Promise<T> {
    return this.#call<T>({ method: 'GET', path: withQuery(path, query), repeatable: true, waiting: signal })
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
      await this.del(path, {}, { repeatable: true })
      await this.#watch(upid, {})
    } catch {
      /* a task that was stopped has failed */
    }
  }

  async #watch(upid: string, options: TaskOptions): Promise<void> {
    const node = upid.split(':')[1]
    if (node === undefined || !upid.startsWith('UPID:')) throw new Error(`not a task id: ${upid}`)
    const path = `/nodes/${node}/tasks/${encodeURIComponent(upid)}`
    const until = this.#patience.clock() + (options.timeoutMs ?? 600_000)
    let seen = 0
    for (let pause = 50; ; pause = Math.min(pause * 2, 1000)) {
      const status = await this.#look<{ status: string; exitstatus?: string }>(`${path}/status`, {}, options.signal)
      if (options.onLog) {
        const lines = await this.#look<{ n: number; t: string }[]>(`${path}/log`, { start: seen, limit: 500 }, options.signal)
        for (const line of lines) if (line.t !== 'no content') options.onLog(line.t)
        seen += lines.length
      }
      if (status.status === 'stopped') {
        const exit = status.exitstatus ?? 'unknown'
        if (exit === 'OK' || exit.startsWith('WARNINGS')) return
        if (saysFull(exit))
          throw new ProxmoxError('storage-full', `a storage of ${this.url} is full: ${exit}`, storageFullHint, {
            status: 0,
            method: 'GET',
            path,
          })
        throw new ProxmoxError(
          'task-failed',
          `Proxmox task ${upid.split(':')[5] ?? ''} ${upid.split(':')[6] ?? ''} failed: ${exit}`.replace(/ +/g, ' '),
          `See the task's log in Proxmox (node ${node}, Tasks).`,
          { status: 0, method: 'GET', path },
        )
      }
      if (this.#patience.clock() > until)
        throw new ProxmoxError(
          'task-timeout',
          `Proxmox task ${upid} still runs`,
          `Look at it in Proxmox (node ${node}, Tasks), then run the same command again.`,
          { status: 0, method: 'GET', path },
        )
      await delay(pause, undefined, { signal: options.signal })
    }
  }

  async upload(options: UploadOptions): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        const upid = await this.#send(options)
        return await this.task(upid, { stop: true, ...(options.signal ? { signal: options.signal } : {}) })
      } catch (error) {
        if (!isLost(error) || tries === uploadTries || options.signal?.aborted) throw error
        // What has arrived writes to the same file. The same once more is what it should be, whichever ends last; but not both at a time.
        await settleTasks(this, options.node, ({ type }) => type === 'imgcopy', options.signal)
      }
    }
  }

  /** @returns the task that puts the file in its place */
  async #send(options: UploadOptions): Promise<string> {
    const { node, storage, content, filename, data } = options
    const boundary = `----golden-${createHash('sha256').update(`${filename}${Date.now()}`).digest('hex').slice(0, 32)}`
    const size = typeof data === 'string' ? (await stat(data)).size : data.byteLength
    const checksum = createHash('sha256')
    if (typeof data === 'string') await pipeline(createReadStream(data), checksum)
    else checksum.update(data)
    // PVE parses the fields in this order, the file last (PVE::APIServer::AnyEvent).
    const field = (name: string, value: string): string =>
      `--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`
    const digest = checksum.digest('hex')
    const head = Buffer.from(
      field('content', content) +
        field('checksum-algorithm', 'sha256') +
        field('checksum', digest) +
        `--${boundary}\r\nContent-Disposition: form-data; name="filename"; filename="${filename}"\r\nContent-Type: application/octet-stream\r\n\r\n`,
    )
    const tail = Buffer.from(`\r\n--${boundary}--\r\n`)
    // Once everything is on its way only the answer tells the task that has to be ended: from then on it is waited for.
    const sending = new AbortController()
    const abort = (): void => {
      sending.abort()
    }
    if (options.signal?.aborted) abort()
    options.signal?.addEventListener('abort', abort)
    const body = (): Readable =>
      Readable.from(
        (async function* () {
          let sent = 0
          yield head
          for await (const chunk of (typeof data === 'string'
            ? createReadStream(data, { highWaterMark: 1 << 20 })
            : [data]) as AsyncIterable<Uint8Array>) {
            yield chunk
            sent += chunk.byteLength
            options.onProgress?.(size === 0 ? 1 : sent / size)
          }
          options.signal?.removeEventListener('abort', abort)
          yield tail
        })(),
      )
    try {
      return await this.#call<string>({
        method: 'POST',
        path: `/nodes/${node}/storage/${storage}/upload`,
        stream: { type: `multipart/form-data; boundary=${boundary}`, length: head.length + size + tail.length, body },
        timeoutMs: 3_600_000,
        signal: sending.signal,
      })
    } finally {
      options.signal?.removeEventListener('abort', abort)
    }
  }

  async agentExec(node: string, vmid: number, command: readonly [string, ...string[]], options: ExecOptions = {}): Promise<AgentResult> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#exec(node, vmid, command, options)
      } catch (error) {
        if (!isLost(error) || options.repeatable !== true || tries === execTries) throw error
      }
    }
  }

  async #exec(
    node: string,
    vmid: number,
    command: readonly string[],
    { input, timeoutMs, signal, repeatable = false }: ExecOptions,
  ): Promise<AgentResult> {
    const path = `/nodes/${node}/qemu/${vmid}/agent`
    const form = { command, ...(input === undefined ? {} : { 'input-data': input }) }
    const { pid } = await this.#call<{ pid: number }>({ method: 'POST', path: `${path}/exec`, form, repeatable, waiting: signal })
    const until = this.#patience.clock() + (timeoutMs ?? 120_000)
    let missed: unknown
    for (let pause = 50; ; pause = Math.min(pause * 2, 1000)) {
      const status = await this.#look<{
        exited: number | boolean
        exitcode?: number
        signal?: number
        'out-data'?: string
        'err-data'?: string
      }>(`${path}/exec-status`, { pid }, signal).catch((error: unknown) => {
        // The agent tells of an end once, and forgets it (QEMU, qga/commands.c, guest-exec-status): that answer was lost on its way.
        if (error instanceof ProxmoxError && error.status === 500 && /PID \d+ does not exist/.test(error.message))
          throw new ProxmoxError(
            'agent-exec-lost',
            `${command[0]} in VM ${vmid} has ended, but how was told to nobody`,
            'Run the same command again: it looks first, and goes on from what it finds.',
            { status: 500, method: 'GET', path, cause: error, lost: true },
          )
        if (!(error instanceof ProxmoxError) || !missesAnswer(error)) throw error
        missed = error
        return undefined
      })
      if (status !== undefined && Number(status.exited) === 1) {
        return {
          exitCode: status.exitcode ?? 128 + (status.signal ?? 0),
          stdout: status['out-data'] ?? '',
          stderr: status['err-data'] ?? '',
        }
      }
      if (this.#patience.clock() > until)
        throw new ProxmoxError(
          'agent-exec-timeout',
          `${command[0]} in VM ${vmid} did not end in time`,
          `Look at VM ${vmid}'s console in Proxmox.`,
          { status: 0, method: 'GET', path, cause: missed },
        )
      await delay(pause, undefined, { signal })
    }
  }

  async waitForAgent(
    node: string,
    vmid: number,
    options: { timeoutMs?: number; signal?: AbortSignal; onWait?: (elapsedMs: number) => void } = {},
  ): Promise<void> {
    const began = this.#patience.clock()
    const timeoutMs = options.timeoutMs ?? 900_000
    let last: unknown
    for (;;) {
      try {
        await this.#call({
          method: 'POST',
          path: `/nodes/${node}/qemu/${vmid}/agent/ping`,
          form: {},
          repeatable: true,
          waiting: options.signal,
        })
        return
      } catch (error) {
        // PVE says 500 for "agent not running" and "VM not running" alike; only the first one passes by itself.
        if (!(error instanceof ProxmoxError) || error.status !== 500 || /VM \d+ (is )?not running/.test(error.message)) throw error
        last = error
      }
      if (this.#patience.clock() - began > timeoutMs) {
        throw new ProxmoxError(
          'agent-timeout',
          `the guest agent of VM ${vmid} did not answer within ${Math.round(timeoutMs / 1000)} s`,
          `Look at VM ${vmid}'s console in Proxmox: it says where the boot hangs, if it does.`,
          { status: 500, method: 'POST', path: `/nodes/${node}/qemu/${vmid}/agent/ping`, cause: last },
        )
      }
      options.onWait?.(this.#patience.clock() - began)
      await delay(1000, undefined, { signal: options.signal })
    }
  }

  close(): void {
    this.#transport.close()
  }

  async #call<T>(call: Call): Promise<T> {
    let answer = await this.#answer(call)
    if (answer.status === 401 && this.#ticket && !call.stream) {
      // Tickets end after two hours; one more try with a new one.
      this.#ticket = undefined
      answer = await this.#answer(call)
    }
    return this.#read<T>(call.method, call.path, answer)
  }

  async #answer({ method, path, form, stream, authorize = true, repeatable = false, timeoutMs, signal, waiting }: Call): Promise<Answer> {
    const headers: Record<string, string | number> = { Accept: 'application/json', ...(authorize ? await this.#authorization(method) : {}) }
    const text = form === undefined ? undefined : Buffer.from(encode(form))
    if (stream) {
      headers['Content-Type'] = stream.type
      headers['Content-Length'] = stream.length
    } else if (text) {
      headers['Content-Type'] = 'application/x-www-form-urlencoded'
      headers['Content-Length'] = text.length
    }
    try {
      return await this.#patience.send(
        () =>
          this.#transport.send({
            method,
            path,
            headers,
            body: stream?.body() ?? text,
            timeoutMs: timeoutMs ?? this.#endpoint.timeoutMs ?? 60_000,
            signal,
          }),
        repeatable,
        waiting ?? signal,
      )
    } catch (error) {
      throw error instanceof NoAnswer ? this.#unreachable(method, path, error, repeatable) : error
    }
  }

  #read<T>(method: string, path: string, answer: Answer): T {
    const parsed = parse(answer.body)
    if (answer.status >= 200 && answer.status < 300 && parsed !== undefined && 'data' in parsed) return parsed.data as T
    const message = (parsed?.message ?? answer.reason).trim() || `HTTP ${answer.status}`
    const parameters = parsed?.errors ?? {}
    const listed = Object.entries(parameters)
      .map(([name, text]) => `${name}: ${text.trim()}`)
      .join('; ')
    const what = `${method} ${path.split('?')[0]}: ${message}${listed === '' ? '' : ` (${listed})`}`
    const details = { status: answer.status, method, path, parameters }
    if (answer.status === 401) {
      const { auth } = this.#endpoint
      if ('password' in auth)
        throw new ProxmoxError(
          'login-refused',
          `Proxmox at ${this.url} does not accept the password of ${auth.username}`,
          'Check the user, with its realm, and the password.',
          details,
        )
      throw new ProxmoxError(
        'not-authenticated',
        `Proxmox at ${this.url} does not accept the token ${auth.id}`,
        'If it is gone, has expired, or its secret is another: "npx golden setup --new-token" makes a new one. Or correct proxmox.tokenId and proxmox.token in site.ts.',
        details,
      )
    }
    if (answer.status === 403)
      throw new ProxmoxError(
        'permission-denied',
        what,
        'Run "npx golden setup" again: it repairs the role, the pools and their permissions.',
        details,
      )
    if (answer.status >= 200 && answer.status < 300)
      throw new ProxmoxError('not-proxmox', `${this.url} does not answer like Proxmox VE`, 'Check proxmox.url in site.ts.', details)
    if (isPassingStatus(answer.status))
      throw new ProxmoxError('proxmox-unreachable', `${what} (${answer.status})`, servicesHint, {
        ...details,
        lost: method !== 'GET' && mayBeDone(answer.status),
      })
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
    const answer = await this.#answer({
      method: 'POST',
      path: '/access/ticket',
      form: { username: login.username, password: login.password },
      authorize: false,
      repeatable: true,
    })
    const data = this.#read<{ ticket: string; CSRFPreventionToken: string; NeedTFA?: number }>('POST', '/access/ticket', answer)
    if (data.NeedTFA) {
      // What came is no ticket yet, only the question for the second factor.
      throw new ProxmoxError(
        'tfa-needed',
        `${login.username} logs in to ${this.url} with a second factor`,
        'Use an API token of an administrator (without privilege separation) instead: "npx golden setup --admin \'USER@REALM!TOKEN\'", with its secret in PROXMOX_ADMIN_TOKEN.',
        { status: answer.status, method: 'POST', path: '/access/ticket' },
      )
    }
    return { ticket: data.ticket, csrf: data.CSRFPreventionToken }
  }

  #unreachable(method: string, path: string, noAnswer: NoAnswer, repeatable: boolean): Failure {
    const { cause } = noAnswer
    if (cause instanceof Failure) return cause
    const details = { status: 0, method, path, cause }
    if (cause.name === 'AbortError') return new ProxmoxError('cancelled', 'cancelled', 'Run the same command again.', details)
    const certificate = /CERT|SELF_SIGNED|ALTNAME|UNABLE_TO_VERIFY|ISSUER/.test(cause.code ?? '')
    if (certificate) {
      return new ProxmoxError(
        'certificate-not-trusted',
        `the certificate of ${this.url} is not trusted: ${cause.message}`,
        'If the host or its certificate changed on purpose, remove the pinned one (proxmox.caFile, secrets/proxmox-ca.pem by default) and run "npx golden setup" to see and pin the new one; otherwise somebody may be in between.',
        details,
      )
    }
    if (!repeatable && mayBeDone(noAnswer)) {
      return new ProxmoxError(
        'proxmox-unreachable',
        `Proxmox at ${this.url} did not say what became of ${method} ${path.split('?')[0]}: ${cause.message}`,
        'Run the same command again: it looks first, and goes on from what it finds.',
        { ...details, lost: true },
      )
    }
    return new ProxmoxError(
      'proxmox-unreachable',
      `Proxmox does not answer at ${this.url}: ${cause.message}`,
      'Check proxmox.url in site.ts, the network, and that the host is up.',
      details,
    )
  }
}

/** Form encoding; arrays become repeated keys, booleans 0 and 1. PVE splits at a raw `;` too, so everything is escaped. */
function encode(parameters: Parameters): string {
  const pairs: string[] = []
  for (const [key, value] of Object.entries(parameters)) {
    if (value === undefined) continue
    const values = Array.isArray(value) ? (value as readonly string[]) : [typeof value === 'boolean' ? (value ? '1' : '0') : String(value)]
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
