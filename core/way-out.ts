/** undici's way out, by the caller's proxies (proxy.ts). A module of its own: most verbs talk to Proxmox alone, and never load undici. */
import { Agent, Dispatcher, Pool, ProxyAgent } from 'undici'
import { proxyFor } from './proxy.ts'

export interface WayOptions {
  readonly connectTimeoutMs?: number
  readonly headersTimeoutMs?: number
  readonly bodyTimeoutMs?: number
  /** PEM of all CAs to trust of the server, not of the proxy. @default the usual ones */
  readonly ca?: readonly string[]
}

/** How long a proxy has for its answer to a CONNECT, where nobody says how long a server has for its own. */
const proxyMs = 60_000

/**
 * The connection to a proxy. When that hangs up at a CONNECT, undici takes it for one that was idle for too long, and
 * connects again without end; by another error it ends. And it waits for ever for one that says nothing.
 */
class WayToProxy extends Pool {
  readonly #answerMs: number

  constructor(uri: URL, options: object, answerMs: number) {
    super(uri, options)
    this.#answerMs = answerMs
  }

  override connect(options: Dispatcher.ConnectOptions): Promise<Dispatcher.ConnectData>
  override connect(options: Dispatcher.ConnectOptions, callback: (error: Error | null, data: Dispatcher.ConnectData) => void): void
  // The proxy agent calls it without a callback.
  override async connect(options: Dispatcher.ConnectOptions): Promise<Dispatcher.ConnectData> {
    const silent = AbortSignal.timeout(this.#answerMs)
    try {
      return await super.connect({
        ...options,
        signal: options.signal instanceof AbortSignal ? AbortSignal.any([options.signal, silent]) : silent,
      })
    } catch (error) {
      if (silent.aborted) throw new Error(`the proxy does not answer in ${this.#answerMs / 1000} s`, { cause: error })
      if ((error as NodeJS.ErrnoException).code !== 'UND_ERR_SOCKET') throw error
      throw new Error(`the proxy ended the connection (${(error as Error).message})`, { cause: error })
    }
  }
}

/** undici's way out: for each server, redirected to or not, what the variables say of it. To be closed by whoever made it. */
export class WayOut extends Dispatcher {
  readonly #env: NodeJS.ProcessEnv
  readonly #options: WayOptions
  readonly #ways = new Map<string, Dispatcher>()

  constructor(env: NodeJS.ProcessEnv, options: WayOptions = {}) {
    super()
    this.#env = env
    this.#options = options
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const origin = String(options.origin)
    let way = this.#ways.get(origin)
    if (way === undefined) this.#ways.set(origin, (way = this.#to(origin)))
    const { headersTimeoutMs, bodyTimeoutMs } = this.#options
    const timeouts = {
      ...(headersTimeoutMs === undefined ? {} : { headersTimeout: headersTimeoutMs }),
      ...(bodyTimeoutMs === undefined ? {} : { bodyTimeout: bodyTimeoutMs }),
    }
    return way.dispatch({ ...timeouts, ...options }, handler)
  }

  #to(origin: string): Dispatcher {
    const { connectTimeoutMs, headersTimeoutMs = proxyMs, ca } = this.#options
    const timeout = connectTimeoutMs === undefined ? {} : { timeout: connectTimeoutMs }
    const connect = { ...timeout, ...(ca === undefined ? {} : { ca: [...ca] }) }
    const proxy = proxyFor(origin, this.#env)
    if (proxy === undefined) return new Agent({ connect })
    return new ProxyAgent({
      uri: proxy,
      // As all others do: what is not TLS is asked of the proxy itself, and many let nobody tunnel to port 80.
      proxyTunnel: false,
      requestTls: connect,
      proxyTls: timeout,
      clientFactory: (uri, options) => new WayToProxy(uri, options, headersTimeoutMs),
    })
  }

  override async close(): Promise<void> {
    await Promise.all([...this.#ways.values()].map((way) => way.close()))
  }

  override async destroy(): Promise<void> {
    await Promise.all([...this.#ways.values()].map((way) => way.destroy()))
  }
}
