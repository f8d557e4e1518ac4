/** How a request to Proxmox is put, and what the parts of the client share. */
import type { Readable } from 'node:stream'

export type Parameter = string | number | boolean | readonly string[] | undefined
export type Parameters = Readonly<Record<string, Parameter>>

export interface Sending {
  /** Twice is as once, so it is sent again when its answer is lost. A GET always is. @default false */
  readonly repeatable?: boolean
}

export interface Call extends Sending {
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

/** Of the client (client.ts), for what is made of several requests: tasks, uploads, programs in a guest. */
export interface Wire {
  readonly url: string
  /** Waits for an API that is away (patience.ts); whether it is sent again the call says. */
  call<T>(call: Call): Promise<T>
  /** A GET. @param signal ends the wait for an API that is away, not a request that is on its way */
  look<T>(path: string, query?: Parameters, signal?: AbortSignal): Promise<T>
  /** Milliseconds in which the API could be asked: what waits for something there counts these only. */
  clock(): number
}

/** Form encoding; arrays become repeated keys, booleans 0 and 1. PVE splits at a raw `;` too, so everything is escaped. */
export function encode(parameters: Parameters): string {
  const pairs: string[] = []
  for (const [key, value] of Object.entries(parameters)) {
    if (value === undefined) continue
    const values = Array.isArray(value) ? (value as readonly string[]) : [typeof value === 'boolean' ? (value ? '1' : '0') : String(value)]
    for (const one of values) pairs.push(`${encodeURIComponent(key)}=${encodeURIComponent(one)}`)
  }
  return pairs.join('&')
}

export function withQuery(path: string, query: Parameters | undefined): string {
  const text = query === undefined ? '' : encode(query)
  return text === '' ? path : `${path}?${text}`
}
