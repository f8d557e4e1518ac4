/** A web server for an archive's folder on this computer, that says what it was asked, and how to alter what it serves. Of a folder it serves `index.html`. */
import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'

export interface ArchiveServer {
  readonly url: string
  /** `METHOD path status`, since it was emptied last. */
  readonly asked: string[]
  /** Instead of what is in the folder. */
  alter: ((path: string, content: Buffer) => Buffer | undefined) | undefined
  /** Where a path leads, before anything else is done. */
  redirect: ((path: string) => string | undefined) | undefined
  close(): Promise<void>
}

export async function serveFolder(folder: string, { conditional = true } = {}): Promise<ArchiveServer> {
  const server: Server = createServer((request, response) => {
    void (async () => {
      const path = decodeURIComponent(new URL(request.url ?? '/', 'http://x').pathname)
      const end = (status: number, headers: Record<string, string> = {}, body?: Buffer): void => {
        made.asked.push(`${request.method} ${path} ${status}`)
        response.writeHead(status, headers).end(body)
      }
      const to = made.redirect?.(path)
      if (to !== undefined) return end(302, { location: to })
      const file = join(folder, path, path.endsWith('/') ? 'index.html' : '')
      const content = await readFile(file).catch(() => undefined)
      const served = content === undefined ? undefined : made.alter === undefined ? content : made.alter(path, content)
      if (served === undefined) return end(404)
      const etag = `"${createHash('sha256').update(served).digest('hex').slice(0, 16)}"`
      const modified = (await stat(file)).mtime.toUTCString()
      if (conditional && request.headers['if-none-match'] === etag) return end(304)
      end(200, conditional ? { etag, 'last-modified': modified } : {}, served)
    })()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const made: ArchiveServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked: [],
    alter: undefined,
    redirect: undefined,
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  }
  return made
}
