/** A loopback port (a free one when `port` is 0) that reaches one of the router's ports as from the internet. */
import type { Duplex } from 'node:stream'
import { join } from './join.ts'
import { listen, type Listener } from './listen.ts'

export function startRouterPort(dial: () => Promise<Duplex>, port = 0): Promise<Listener> {
  return listen((socket) => {
    // Nobody there: the connection is reset, as by a router that forwards to a host that is down.
    dial().then(
      (remote) => join(socket, remote),
      () => socket.resetAndDestroy(),
    )
  }, port)
}
