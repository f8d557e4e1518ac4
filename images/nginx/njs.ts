/** What is used of njs (nginx.org, "njs reference"): types, which are blanked out. */

export interface Request {
  readonly method: string
  readonly status: number
  readonly headersIn: Readonly<Record<string, string | undefined>>
  readonly headersOut: Record<string, string | undefined>
  readonly requestText: string | undefined
  readonly variables: Record<string, string | undefined>
  internalRedirect(location: string): void
  return(status: number, body?: string): void
  subrequest(location: string, options: { readonly method: string }): Promise<{ readonly status: number }>
}

export interface Dict<T> {
  get(name: string): T | undefined
  set(name: string, value: T): void
  add(name: string, value: T, timeoutMs?: number): boolean
  delete(name: string): void
  size(): number
  items(most: number): [name: string, value: T][]
}

export interface Numbers extends Dict<number> {
  /** @returns what it is then */
  incr(name: string, by: number, initial: number): number
}

/** Shared by all of nginx's processes; a new nginx has empty ones. */
export interface Ngx {
  readonly shared: {
    /** Serena's ids of sessions that were opened again, those that ended, and the active project. */
    readonly golden_sessions: Dict<string>
    /** When a session was last used, by its id. */
    readonly golden_seen: Dict<number>
    /** `state`. */
    readonly golden_handover: Dict<string>
    /** `refused`. */
    readonly golden_counts: Numbers
    /** `calls` and `bytes` of those that wait, who looks for what they wait for, and when Serena was `asked` whether she is new. */
    readonly golden_waiting: Numbers
    /** When it began, by kind and request: what is going on. */
    readonly golden_running: Dict<number>
  }
  fetch(
    url: string,
    options?: { method?: string; headers?: Record<string, string>; body?: string },
  ): Promise<{ readonly status: number; readonly headers: { get(name: string): string | null }; text(): Promise<string> }>
}
