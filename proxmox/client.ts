/**
 * A thin client of the Proxmox VE API: transport, errors, tasks, uploads, guest agent. What the calls
 * mean is decided by its callers. Nothing else in this project speaks HTTP to Proxmox.
 */
import { Failure } from '../core/failure.ts'
import { agentExec, waitForAgent, type AgentResult, type AgentWait, type ExecOptions } from './agent.ts'
import { readAnswer, unreachable, type Asked } from './answer.ts'
import { ProxmoxError } from './error.ts'
import { isCertificate } from './identity.ts'
import { Patience } from './patience.ts'
import { waitForTask, type TaskOptions, type Upid } from './tasks.ts'
import { NoAnswer, openTransport, type Answer, type Transport } from './transport.ts'
import { upload, type UploadOptions } from './upload.ts'
import { encode, withQuery, type Call, type Parameters, type Sending, type Wire } from './wire.ts'

export type { AgentResult } from './agent.ts'
export { ProxmoxError } from './error.ts'
export type { Parameters, Sending } from './wire.ts'

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
  /** Connections at once, for looks. @default 4 */
  readonly connections?: number
  /** How long an API that has answered before is waited for when it is away, in milliseconds. @default 120000 */
  readonly waitMs?: number
  /** It is known that this API answers, so that it is waited for from the first request on. @default false */
  readonly known?: boolean
  /** Gets a sentence when the API is away, and one when it is back. */
  readonly say?: (text: string) => void
  /** Once aborted an API that is away is waited for a moment only. */
  readonly signal?: AbortSignal
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
  waitForAgent(node: string, vmid: number, options?: AgentWait): Promise<void>
  /**
   * Proxmox's own time, by its newest answer (`Date`, which pveproxy puts on each; `/nodes/NODE/time` takes Sys.Audit). To
   * within two seconds and the time that an answer takes. Of a server that does not say it, this computer's.
   */
  now(): Date
  close(): void
}

interface Ticket {
  readonly ticket: string
  readonly csrf: string
}

/** @throws Failure `token-malformed` or `ca-unreadable` for what is no token or no certificate; connects lazily */
export function connect(endpoint: Endpoint): Proxmox {
  return new Client(endpoint)
}

class Client implements Proxmox, Wire {
  readonly url: string
  readonly #endpoint: Endpoint
  readonly #transport: Transport
  readonly #patience: Patience
  #ticket: Promise<Ticket> | undefined
  /** Proxmox's time of an answer, and by this process's clock when it came; both in milliseconds. */
  #told: { readonly date: number; readonly at: number } | undefined

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
    this.#transport = openTransport({
      url: this.url,
      caPem: endpoint.caPem,
      connectTimeoutMs: endpoint.connectTimeoutMs ?? 15_000,
      connections: endpoint.connections ?? 4,
    })
    this.#patience = new Patience({
      url: this.url,
      say: endpoint.say,
      signal: endpoint.signal,
      known: endpoint.known,
      waitMs: endpoint.waitMs ?? 120_000,
    })
  }

  get<T>(path: string, query?: Parameters): Promise<T> {
    return this.look<T>(path, query)
  }

  post<T>(path: string, form?: Parameters, sending?: Sending): Promise<T> {
    return this.call<T>({ method: 'POST', path, form: form ?? {}, ...sending })
  }

  put<T>(path: string, form?: Parameters, sending?: Sending): Promise<T> {
    return this.call<T>({ method: 'PUT', path, form: form ?? {}, ...sending })
  }

  // PVE wants the parameters of a DELETE in the query: a body would be answered with 501.
  del<T>(path: string, query?: Parameters, sending?: Sending): Promise<T> {
    return this.call<T>({ method: 'DELETE', path: withQuery(path, query), ...sending })
  }

  look<T>(path: string, query?: Parameters, signal?: AbortSignal): Promise<T> {
    return this.call<T>({ method: 'GET', path: withQuery(path, query), repeatable: true, waiting: signal })
  }

  task(upid: Upid, options?: TaskOptions): Promise<void> {
    return waitForTask(this, upid, options)
  }

  upload(options: UploadOptions): Promise<void> {
    return upload(this, options)
  }

  agentExec(node: string, vmid: number, command: readonly [string, ...string[]], options?: ExecOptions): Promise<AgentResult> {
    return agentExec(this, node, vmid, command, options)
  }

  waitForAgent(node: string, vmid: number, options?: AgentWait): Promise<void> {
    return waitForAgent(this, node, vmid, options)
  }

  clock(): number {
    return this.#patience.clock()
  }

  now(): Date {
    return new Date(this.#told === undefined ? Date.now() : this.#told.date + performance.now() - this.#told.at)
  }

  close(): void {
    this.#transport.close()
  }

  async call<T>(call: Call): Promise<T> {
    let answer = await this.#answer(call)
    if (answer.status === 401 && this.#ticket && !call.stream) {
      // Tickets end after two hours; one more try with a new one.
      this.#ticket = undefined
      answer = await this.#answer(call)
    }
    return readAnswer<T>(this.#asked, call.method, call.path, answer)
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
      const answer = await this.#patience.send(
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
      if (answer.date !== undefined) this.#told = { date: answer.date, at: performance.now() }
      return answer
    } catch (error) {
      throw error instanceof NoAnswer ? unreachable(this.url, method, path, error, repeatable) : error
    }
  }

  get #asked(): Asked {
    return { url: this.url, auth: this.#endpoint.auth }
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
    const data = readAnswer<{ ticket: string; CSRFPreventionToken: string; NeedTFA?: number }>(
      this.#endpoint,
      'POST',
      '/access/ticket',
      answer,
    )
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
}
