/** A loopback port that reaches one of the router's ports as from the internet. */
import { createServer, type AddressInfo, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { join, type Closable } from './join.ts'

export interface RouterPort extends Closable { readonly host: string; readonly port: number }

export async function startRouterPort(dial: () => Promise<Duplex>): Promise<RouterPort> {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    // Nobody there: the connection is reset, as by a router that forwards to a host that is down.
    dial().then((remote) => join(socket, remote), () => socket.resetAndDestroy())
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
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
