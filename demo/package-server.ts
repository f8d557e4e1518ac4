/**
 * A package server of the lab's LAN: what lies in a folder, below one address. This computer is not in that LAN; it gets
 * there as people get to a server behind a proxy, and the same listener is that proxy.
 */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, normalize } from 'node:path'
import { once } from 'node:events'

export interface PackageServer {
  /** On this computer's loopback. */
  readonly port: number
  close(): Promise<void>
}

/** @param host as the LAN knows it, with its port: what the proxy is asked for, and nothing else */
export async function servePackages(folder: string, host: string): Promise<PackageServer> {
  const server = createServer((request, response) => {
    const asked = URL.parse(request.url ?? '/', `http://${host}`)
    const answer = async (): Promise<void> => {
      if (asked === null || asked.host !== host) return void response.writeHead(502).end()
      const path = join(folder, normalize(decodeURIComponent(asked.pathname)))
      const found = await stat(path).catch(() => undefined)
      if (found?.isFile() !== true) return void response.writeHead(404).end()
      const changed = new Date(Math.floor(found.mtimeMs / 1000) * 1000)
      const since = Date.parse(request.headers['if-modified-since'] ?? '')
      if (since >= changed.getTime()) return void response.writeHead(304).end()
      response.writeHead(200, { 'Content-Length': found.size, 'Last-Modified': changed.toUTCString() })
      if (request.method === 'HEAD') return void response.end()
      createReadStream(path)
        .on('error', () => response.destroy())
        .pipe(response)
    }
    answer().catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
