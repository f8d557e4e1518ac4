/**
 * The servers of releases and registries, as far as the tools ask them: one HTTPS server on this computer that answers to
 * all their names, and a proxy that leads to it whoever is asked for. So real addresses are asked, and nothing leaves.
 */
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import type { Duplex } from 'node:stream'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { serveTls } from '../images/tls-server.ts'
import { temporaryFolder } from './folder.ts'
import { onTestFinished, vi } from 'vitest'

const github = 'github.com'
/** Where GitHub sends whoever asks for a file of a release. */
const assets = 'release-assets.githubusercontent.com'
const hosts = ['releases.hashicorp.com', github, assets, 'registry.opentofu.org', 'registry.terraform.io']

export interface Internet {
  /** `https://…`: the same files below the names of their hosts, as a mirror has them. */
  readonly mirror: string
  /** Where the files lie: HOST/PATH. */
  readonly folder: string
  /** `HOST/PATH`, since the beginning. */
  readonly asked: string[]
  /** Its own certificate, for programs that read SSL_CERT_FILE. */
  readonly caFile: string
  put(url: string, content: string | Buffer): Promise<void>
}

/** From now to the end of the test all ways out of this process, and of those that it starts, lead there. */
export async function internet(): Promise<Internet> {
  const folder = await temporaryFolder()
  const asked: string[] = []
  const tls = await serveTls((request, response) => {
    const { host, pathname } = new URL(request.url ?? '/', `https://${request.headers.host}`)
    const path = host === tls.host ? pathname.slice(1) : `${host === assets ? github : host}${pathname}`
    asked.push(host === tls.host ? `mirror/${path}` : `${host}${pathname}`)
    if (host === github) {
      response.writeHead(302, { location: `https://${assets}${pathname}` }).end()
      return
    }
    void readFile(join(folder, path)).then(
      (content) => {
        const type = content[0] === '{'.charCodeAt(0) ? 'application/json' : 'application/octet-stream'
        response.writeHead(200, { 'content-type': type, 'content-length': content.length }).end(content)
      },
      () => response.writeHead(404).end(),
    )
  }, hosts)
  const proxy = createServer().on('connect', (_request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const [, port] = tls.host.split(':')
    const way = connect(Number(port), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection Established\r\n\r\n')
      way.write(head)
      way.pipe(socket).pipe(way)
    })
    for (const end of [way, socket]) end.on('error', () => void (way.destroy(), socket.destroy()))
  })
  await once(proxy.listen(0, '127.0.0.1'), 'listening')
  const caFile = join(await temporaryFolder(), 'ca.pem')
  await writeFile(caFile, tls.caPem)
  const trusted = getCACertificates()
  setDefaultCACertificates([...trusted, tls.caPem])
  vi.stubEnv('HTTPS_PROXY', `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`)
  vi.stubEnv('NO_PROXY', '')
  vi.stubEnv('SSL_CERT_FILE', caFile)
  onTestFinished(() => {
    vi.unstubAllEnvs()
    setDefaultCACertificates(trusted)
    proxy.closeAllConnections()
    proxy.close()
    tls.server.closeAllConnections()
    tls.server.close()
  })
  return {
    mirror: `https://${tls.host}`,
    folder,
    asked,
    caFile,
    async put(url, content) {
      const { host, pathname } = new URL(url)
      const file = join(folder, host, pathname)
      await mkdir(dirname(file), { recursive: true })
      await writeFile(file, content)
    },
  }
}
