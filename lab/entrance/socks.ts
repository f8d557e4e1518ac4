/** A SOCKS5 proxy (RFC 1928) without authentication: CONNECT by IPv4 address or name. The way into the lab's LAN. */
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { join } from './join.ts'
import { listen, type Listener } from './listen.ts'

type Dial = (host: string, port: number) => Promise<Duplex>

/** Listens on 127.0.0.1 (a free port when `port` is 0). */
export function startSocksProxy(dial: Dial, port = 0): Promise<Listener> {
  return listen((socket) => {
    void serve(socket, dial).catch(() => socket.destroy())
  }, port)
}

/** Takes exactly so many bytes from a socket; what comes too early goes back. */
function createReader(socket: Socket): (count: number) => Promise<Buffer> {
  return async (count) => {
    while (true) {
      const chunk = socket.read(count) as Buffer | null
      if (chunk !== null) {
        if (chunk.length === count) return chunk
        throw new Error('the client closed too early')
      }
      await new Promise<void>((resolve, reject) => {
        const done = (error?: Error) => () => {
          socket.off('readable', onReadable).off('end', onEnd).off('close', onEnd)
          if (error) reject(error)
          else resolve()
        }
        const onReadable = done()
        const onEnd = done(new Error('the client closed too early'))
        socket.once('readable', onReadable).once('end', onEnd).once('close', onEnd)
      })
    }
  }
}

const reply = (code: number): Buffer => Buffer.from([5, code, 0, 1, 0, 0, 0, 0, 0, 0])

async function serve(socket: Socket, dial: Dial): Promise<void> {
  const read = createReader(socket)
  const [version, methods = 0] = await read(2)
  if (version !== 5) throw new Error('not SOCKS5')
  const offered = await read(methods)
  if (!offered.includes(0)) {
    socket.end(Buffer.from([5, 0xff]))
    return
  }
  socket.write(Buffer.from([5, 0]))
  const [, command, , kind] = await read(4)
  let host: string
  if (kind === 1) host = [...(await read(4))].join('.')
  else if (kind === 3) host = (await read((await read(1))[0] ?? 0)).toString('latin1')
  else {
    socket.end(reply(8)) // address type not supported
    return
  }
  const port = (await read(2)).readUInt16BE(0)
  if (command !== 1) {
    socket.end(reply(7)) // command not supported
    return
  }
  let remote: Duplex
  try {
    remote = await dial(host, port)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    socket.end(reply(code === 'ECONNREFUSED' ? 5 : code === 'ENETUNREACH' ? 3 : 4))
    return
  }
  socket.write(reply(0))
  join(socket, remote)
}
