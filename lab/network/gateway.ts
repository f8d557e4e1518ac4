/**
 * A program that runs inside a namespace of the lab (Node can't enter one by itself) and carries TCP
 * connections in and out of it over Unix sockets, which don't care about network namespaces.
 *
 *     node gateway.ts SOCKET SOURCE
 *
 * Each connection to SOCKET begins with one line of JSON, a GatewayRequest, and is answered with one
 * line, a GatewayAnswer; after a successful `dial` it is the TCP connection. Ends with its standard input.
 */
import { connect, createServer, type Socket } from 'node:net'
import { readLine } from './line.ts'
import { pair } from './pair.ts'

export type GatewayRequest =
  /** Connects from SOURCE. */
  | { readonly dial: { readonly host: string; readonly port: number; readonly timeoutMs: number } }
  /** Listens in the namespace; each connection is carried to the Unix socket `to`. */
  | { readonly publish: { readonly address: string; readonly port: number; readonly to: string } }

export type GatewayAnswer = { readonly ok: true } | { readonly ok: false; readonly code: string; readonly message: string }

function answer(socket: Socket, value: GatewayAnswer): void {
  socket.write(`${JSON.stringify(value)}\n`)
}

function refuse(socket: Socket, error: NodeJS.ErrnoException): void {
  answer(socket, { ok: false, code: error.code ?? 'ERROR', message: error.message })
  socket.end()
}

function dial(socket: Socket, source: string, request: { host: string; port: number; timeoutMs: number }): void {
  const upstream = connect({ host: request.host, port: request.port, localAddress: source, allowHalfOpen: true, noDelay: true })
  const timer = setTimeout(() => {
    const message = `no answer from ${request.host}:${request.port} in ${request.timeoutMs / 1000} s`
    upstream.destroy(Object.assign(new Error(message), { code: 'ETIMEDOUT' }))
  }, request.timeoutMs)
  const abandoned = () => upstream.destroy()
  const failed = (error: NodeJS.ErrnoException) => {
    clearTimeout(timer)
    socket.off('close', abandoned)
    refuse(socket, error)
  }
  socket.once('close', abandoned)
  upstream.once('error', failed)
  upstream.once('connect', () => {
    clearTimeout(timer)
    socket.off('close', abandoned)
    upstream.off('error', failed)
    answer(socket, { ok: true })
    pair(socket, upstream)
  })
}

function publish(socket: Socket, request: { address: string; port: number; to: string }): void {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (incoming) => {
    pair(incoming, connect({ path: request.to, allowHalfOpen: true }))
  })
  server.once('error', (error) => refuse(socket, error))
  server.listen(request.port, request.address, () => answer(socket, { ok: true }))
  socket.once('close', () => server.close())
}

function serve(path: string, source: string): void {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => socket.destroy())
    readLine(socket).then(
      (line) => {
        const request = JSON.parse(line) as GatewayRequest
        if ('dial' in request) dial(socket, source, request.dial)
        else publish(socket, request.publish)
      },
      () => socket.destroy(),
    )
  })
  server.listen(path, () => process.stdout.write('ready\n'))
  process.stdin.on('end', () => process.exit(0)).resume()
}

serve(process.argv[2]!, process.argv[3]!)
