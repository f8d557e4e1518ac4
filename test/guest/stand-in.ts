/** As much of Serena as sessions need: it can forget them, stop and come back, and hold calls until it is told to go on. */
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'

export class StandIn {
  readonly sessions = new Set<string>()
  /** Method (or tool) and session of everything that came. */
  readonly heard: string[] = []
  /** Of the last request, by method or tool. */
  readonly headers = new Map<string, IncomingHttpHeaders>()
  readonly #address: string
  readonly #letter: string
  #server: Server | undefined
  #number = 0
  readonly #held: (() => void)[] = []

  /** @param letter its sessions' names begin with it */
  constructor(address: string, letter = 's') {
    this.#address = address
    this.#letter = letter
  }

  async start(): Promise<void> {
    const server = createServer((asked, answer) => {
      let text = ''
      asked.on('data', (part: Buffer) => (text += part.toString()))
      asked.on('end', () => {
        const session = asked.headers['mcp-session-id']
        const message = text === '' ? {} : (JSON.parse(text) as { id?: number; method?: string; params?: { name?: string } })
        const what = asked.method === 'POST' ? (message.params?.name ?? message.method ?? '') : (asked.method ?? '')
        this.heard.push(`${what} ${String(session ?? '-')}`)
        this.headers.set(what, asked.headers)
        if (what === 'break') return void asked.socket.destroy()
        if (what === 'initialize') {
          const id = `${this.#letter}${++this.#number}`
          this.sessions.add(id)
          return void answer
            .writeHead(200, { 'content-type': 'application/json', 'mcp-session-id': id })
            .end('{"result":{"serverInfo":{}}}')
        }
        // Without sessions (MCP 2026-07-28).
        if (what === 'stateless') return void answer.writeHead(200, { 'content-type': 'application/json' }).end('{"result":"stateless"}')
        // Any answer will do for whoever looks whether somebody is there.
        if (session === undefined) return void answer.writeHead(400).end()
        if (!this.sessions.has(String(session))) return void answer.writeHead(404, { 'content-type': 'application/json' }).end('{}')
        if (asked.method === 'DELETE') {
          this.sessions.delete(String(session))
          return void answer.writeHead(200).end()
        }
        const reply = (): void =>
          void answer
            .writeHead(200, { 'content-type': 'application/json', 'mcp-session-id': String(session) })
            .end(JSON.stringify({ result: what, session }))
        if (what === 'hold') this.#held.push(reply)
        else reply()
      })
    })
    this.#server = server
    server.listen(9121, this.#address)
    await once(server, 'listening')
  }

  get held(): number {
    return this.#held.length
  }

  /** Answers the calls of `hold`. */
  goOn(): void {
    for (const reply of this.#held.splice(0)) reply()
  }

  async stop(): Promise<void> {
    this.sessions.clear()
    const closed = once(this.#server!, 'close')
    this.#server!.close()
    this.#server!.closeAllConnections()
    await closed
  }
}
