/** A TCP server on loopback for byte streams whose halves end on their own, with all that is connected to it. */
import { createServer, type AddressInfo, type Socket } from 'node:net'
import type { Closable } from './join.ts'

export interface Listener extends Closable {
  readonly host: string
  readonly port: number
}

/**
 * Listens on 127.0.0.1. Closing it ends its connections too.
 * @param port 0: a free one
 * @throws EADDRINUSE and the like, as `listen` has them
 */
export async function listen(serve: (socket: Socket) => void, port = 0): Promise<Listener> {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    serve(socket)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
  return {
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
