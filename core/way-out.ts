/** undici's way out, by the caller's proxies (proxy.ts). A module of its own: most verbs talk to Proxmox alone, and never load undici. */
import { Agent, Dispatcher, ProxyAgent } from 'undici'
import { proxyFor } from './proxy.ts'

export interface WayOptions {
  readonly connectTimeoutMs?: number
  readonly headersTimeoutMs?: number
  readonly bodyTimeoutMs?: number
  /** PEM of all CAs to trust of the server, not of the proxy. @default the usual ones */
  readonly ca?: readonly string[]
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
    return way.dispatch(options, handler)
  }

  #to(origin: string): Dispatcher {
    const { connectTimeoutMs, headersTimeoutMs, bodyTimeoutMs, ca } = this.#options
    const timeouts = {
      ...(headersTimeoutMs === undefined ? {} : { headersTimeout: headersTimeoutMs }),
      ...(bodyTimeoutMs === undefined ? {} : { bodyTimeout: bodyTimeoutMs }),
    }
    const connect = {
      ...(connectTimeoutMs === undefined ? {} : { timeout: connectTimeoutMs }),
      ...(ca === undefined ? {} : { ca: [...ca] }),
    }
    const proxy = proxyFor(origin, this.#env)
    return proxy === undefined ? new Agent({ ...timeouts, connect }) : new ProxyAgent({ ...timeouts, uri: proxy, requestTls: connect })
  }

  override async close(): Promise<void> {
    await Promise.all([...this.#ways.values()].map((way) => way.close()))
  }

  override async destroy(): Promise<void> {
    await Promise.all([...this.#ways.values()].map((way) => way.destroy()))
  }
}
