/** A fake guest's web server, for whoever comes from beyond it: real TLS and HTTP, and what is modelled behind. */
import { createServer } from 'node:http'
import type { Duplex } from 'node:stream'
import { text } from 'node:stream/consumers'
import { TLSSocket } from 'node:tls'
import type { Guest } from './guest.ts'
import { answerIn, insideOf } from './programs.ts'

export interface Connection {
  readonly from: string
  readonly to: string
  readonly port: number
}

/** Handles a TCP connection; false if nothing takes it. */
export function serveWeb(guest: Guest, socket: Duplex, { from, to, port }: Connection): boolean {
  const { life } = guest
  const server = guest.state === 'running' ? guest.world.contents.server?.(insideOf(guest, life), from, to, port) : undefined
  if (server === undefined) return false
  const end = (): void => void socket.destroy()
  life.addEventListener('abort', end, { once: true })
  socket.once('close', () => life.removeEventListener('abort', end))
  const web = createServer((request, response) => {
    const { method = 'GET', url: path = '/', headers } = request
    const answered = text(request).then((body) =>
      answerIn(guest, life, {
        to: { host: to, port },
        ...(server.tls === undefined ? {} : { tls: {} }),
        method,
        path,
        headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)])),
        body,
      }),
    )
    answered.then(
      (answer) => (answer === undefined ? socket.destroy() : response.writeHead(answer.status, answer.headers).end(answer.body)),
      // The guest has gone off meanwhile.
      end,
    )
  })
  // Clients that look at the certificate alone, or go away in the middle, are none of the server's faults.
  const stream = server.tls === undefined ? socket : new TLSSocket(socket as never, { isServer: true, ...server.tls })
  stream.on('error', end)
  web.on('clientError', end)
  web.emit('connection', stream)
  return true
}
