/**
 * One TLS connection on which a numbered request goes out every few seconds, for as long as the server keeps it open: no
 * library in between that would mend anything. Each request is one line of nginx's log, so the numbers are also what is
 * looked for in Loki.
 */
import { connect, type TLSSocket } from 'node:tls'
import { requestTimeoutMs, type OpenClient, type TrafficClient } from './client.ts'

export interface KeptConnection extends TrafficClient {
  /** Numbers of the requests that were answered. */
  readonly answered: readonly number[]
  /** Connections opened, the first one included. */
  readonly opened: number
  /** Of those, how many the server ended as the protocol has it: an answer said `Connection: close`. */
  readonly closedByAnswer: number
  /** How many it closed in order between two requests, which HTTP allows. */
  readonly closedIdle: number
  /** What a number's line in the log has in it. */
  path(number: number): string
}

export interface KeptConnectionOptions {
  readonly host: string
  readonly port: number
  readonly caPem: string
  /** Tells the numbers of this run from those of others. */
  readonly mark: string
  /** @default 3000 */
  readonly everyMs?: number
  /** @default 10 minutes */
  readonly timeoutMs?: number
}

/** There is nothing at these paths, and no password is asked for: nginx answers by itself. */
const expectedStatus = 404

export function keptConnection(name: string, options: KeptConnectionOptions): KeptConnection {
  const { mark, everyMs = 3000 } = options
  const path = (number: number): string => `/golden-number-${mark}/${number}.`
  const answered: number[] = []
  let [number, opened, closedByAnswer, closedIdle] = [0, 0, 0, 0]
  let line: Line | undefined
  return {
    name,
    pauseMs: everyMs,
    answered,
    get opened() {
      return opened
    },
    get closedByAnswer() {
      return closedByAnswer
    },
    get closedIdle() {
      return closedIdle
    },
    path,
    async open(): Promise<OpenClient> {
      return {
        session: () => undefined,
        async call() {
          const end = line?.end
          if (end !== undefined) {
            line = undefined
            if (end instanceof Error) throw new Error('the connection broke between two requests', { cause: end })
            closedIdle += 1
          }
          if (line === undefined) {
            line = await openLine(options)
            opened += 1
          }
          const [used, current] = [line, ++number]
          const drop = (): void => {
            used.drop()
            line = undefined
          }
          try {
            const { status, close } = await used.ask(path(current))
            if (status !== expectedStatus) throw new Error(`request ${current} was answered with ${status}`)
            answered.push(current)
            if (!close) return
            closedByAnswer += 1
            drop()
          } catch (error) {
            drop()
            throw error
          }
        },
        close: async () => {
          line?.drop()
          line = undefined
        },
      }
    },
  }
}

interface Line {
  /** Why it is over: an error, or `closed` in order; undefined while it is open. */
  readonly end: Error | 'closed' | undefined
  ask(path: string): Promise<{ status: number; close: boolean }>
  drop(): void
}

async function openLine({ host, port, caPem, timeoutMs = requestTimeoutMs }: KeptConnectionOptions): Promise<Line> {
  const socket = await tls(host, port, caPem, timeoutMs)
  let end: Line['end']
  let heard = ''
  let waiting: { done: (head: { status: number; close: boolean }) => void; failed: (error: Error) => void } | undefined
  const over = (why: Error | 'closed'): void => {
    end ??= why
    waiting?.failed(why === 'closed' ? new Error('the server closed the connection instead of an answer') : why)
    waiting = undefined
  }
  socket.setEncoding('latin1')
  socket.on('error', over)
  socket.on('end', () => over('closed'))
  socket.on('close', () => over('closed'))
  socket.on('data', (part: string) => {
    heard += part
    const answer = wholeAnswer(heard)
    if (answer === undefined) return
    heard = heard.slice(answer.length)
    waiting?.done(answer)
    waiting = undefined
  })
  return {
    get end() {
      return end
    },
    ask: (path) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => over(new Error(`no answer within ${timeoutMs / 1000} s`)), timeoutMs)
        waiting = {
          done: (head) => {
            clearTimeout(timer)
            resolve(head)
          },
          failed: (error) => {
            clearTimeout(timer)
            reject(error)
          },
        }
        if (end !== undefined) return over(end)
        socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: golden-traffic\r\n\r\n`)
      }),
    drop: () => socket.destroy(),
  }
}

function tls(host: string, port: number, caPem: string, timeoutMs: number): Promise<TLSSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>()
  const socket = connect({ host, port, ca: caPem, servername: host })
  const timer = setTimeout(() => socket.destroy(new Error(`no connection within ${timeoutMs / 1000} s`)), timeoutMs)
  socket.once('error', reject)
  socket.once('secureConnect', () => {
    clearTimeout(timer)
    socket.off('error', reject)
    resolve(socket)
  })
  socket.once('close', () => {
    clearTimeout(timer)
    reject(new Error('the server closed the connection before it was made'))
  })
  return promise
}

/** The first answer in what was heard, once all of it is there: nginx's pages have a length. */
function wholeAnswer(heard: string): { status: number; close: boolean; length: number } | undefined {
  const head = heard.indexOf('\r\n\r\n')
  if (head === -1) return undefined
  const lines = heard.slice(0, head)
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(lines)?.[1] ?? 0)
  const length = head + 4 + Number(/\r\ncontent-length: *(\d+)/i.exec(lines)?.[1] ?? 0)
  return heard.length < length ? undefined : { status, close: /\r\nconnection: *close/i.test(lines), length }
}
