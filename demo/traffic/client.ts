/** What all clients of the traffic have in common. */

/** Whom they talk to: the site's public endpoint, as one of its users. */
export interface TrafficTarget {
  /** …/mcp */
  readonly url: string
  readonly user: string
  readonly password: string
  readonly caPem: string
  /** What each call asks Serena for. */
  readonly call: ToolCall
}

export interface ToolCall {
  readonly tool: string
  readonly arguments: Record<string, unknown>
  /** The answer has to have it in it: a call that brings somebody else's data has failed. */
  readonly expected: string
}

/** One that can be opened, and again after a failure. */
export interface TrafficClient {
  readonly name: string
  /** From an answer to the next call, in milliseconds. */
  readonly pauseMs: number
  /** @throws Error when it can't connect */
  open(): Promise<OpenClient>
}

export interface OpenClient {
  /** The session's id, for those that have one. */
  session(): string | undefined
  /** @throws Error when the call fails, or brings something else */
  call(): Promise<void>
  /** A call in progress is given up. May be called twice. */
  close(): Promise<void>
}

/**
 * How long a request may take: a call waits for a handover, and an emulated guest takes its time. Whoever gets no answer
 * until then has failed.
 */
export const requestTimeoutMs = 1_800_000

/**
 * nginx lets 20 requests a second through from one address, and all of these clients have the same. An emulated guest
 * takes longer for a call.
 */
export const withoutPauseMs = 250

export const basic = (user: string, password: string): string => `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`

/** @throws Error with what came instead */
export function expectAnswer({ tool, expected }: ToolCall, text: string): void {
  if (!text.includes(expected))
    throw new Error(`${tool} answered something else: expected ${JSON.stringify(expected)} in ${JSON.stringify(text.slice(0, 400))}`)
}
