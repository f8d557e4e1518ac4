/** TCP by way of a SOCKS5 proxy that asks for no password (RFC 1928). */
import { connect, type Socket } from 'node:net'

export interface SocksProxy {
  readonly host: string
  readonly port: number
}

/** @throws Error when the proxy or what is behind it does not take the connection */
export async function connectThrough(proxy: SocksProxy, host: string, port: number, signal?: AbortSignal): Promise<Socket> {
  const socket = connect({ host: proxy.host, port: proxy.port })
  const stop = (): void => void socket.destroy(new Error('stopped'))
  signal?.addEventListener('abort', stop, { once: true })
  if (signal?.aborted) stop()
  try {
    await read(socket, [5, 1, 0], 2)
    const name = Buffer.from(host)
    const [, code] = await read(socket, [5, 1, 0, 3, name.length, ...name, port >> 8, port & 255], 10)
    if (code !== 0) throw new Error(`the proxy can't reach ${host}:${port} (code ${code})`)
    return socket
  } catch (error) {
    socket.destroy()
    throw error
  } finally {
    signal?.removeEventListener('abort', stop)
  }
}

/** Asks, and takes as many bytes of the answer: what follows stays for whoever uses the connection. */
function read(socket: Socket, question: readonly number[], count: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const look = (): void => {
      const bytes = socket.read(count) as Buffer | null
      if (bytes === null) return
      done()
      resolve(bytes)
    }
    const ended = (): void => {
      done()
      reject(new Error('the proxy hung up'))
    }
    const failed = (error: Error): void => {
      done()
      reject(error)
    }
    const done = (): void => void socket.off('readable', look).off('error', failed).off('end', ended)
    socket.on('readable', look).on('error', failed).on('end', ended)
    socket.write(Buffer.from(question))
  })
}
