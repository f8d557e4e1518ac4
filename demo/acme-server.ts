/**
 * An ACME server in the lab's LAN: Let's Encrypt's own for tests (Pebble). What it is told is asked over its second port;
 * this computer gets there by the lab's proxy.
 */
import { once } from 'node:events'
import { readFile, mkdir, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { connectThrough, type SocksProxy } from '../core/socks.ts'
import { certify } from '../lab/debian/certificate.ts'
import { buildRoot, spawnInRoot } from '../lab/debian/root.ts'

/** As connection.json has it. */
export interface AcmeEndpoint {
  /** What a site names as server. */
  readonly directory: string
  /** `host:port` of the other port. */
  readonly management: string
  /** Whom both of its ports are trusted by. */
  readonly caFile: string
}

export interface AcmeServerOptions {
  /** The program. */
  readonly pebble: string
  /** Enters the LAN. */
  readonly enter: readonly string[]
  /** Its address there. */
  readonly address: string
  readonly stateDir: string
  /** The addresses of names that it is asked for, which no name server knows. */
  readonly hosts: Readonly<Record<string, string>>
  readonly log: (line: string) => void
}

export async function startAcmeServer(options: AcmeServerOptions): Promise<AcmeEndpoint & { close(): Promise<void> }> {
  const { pebble, enter, address, stateDir, hosts, log } = options
  const root = await buildRoot({ log })
  const folder = join(stateDir, 'acme')
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const { caFile, certificateFile, keyFile } = await certify(root, folder, address)
  const [directory, management] = [`${address}:14000`, `${address}:15000`]
  const file = async (name: string, text: string): Promise<string> => {
    await writeFile(join(folder, name), text)
    return join(folder, name)
  }
  const config = await file(
    'pebble.json',
    JSON.stringify({
      pebble: {
        listenAddress: directory,
        managementListenAddress: management,
        certificate: '/srv/tls.pem',
        privateKey: '/srv/tls.key',
        httpPort: 80,
        tlsPort: 443,
        externalAccountBindingRequired: false,
        retryAfter: { authz: 3, order: 3 },
        keyAlgorithm: 'ecdsa',
        profiles: { default: { description: 'as long as those of Let’s Encrypt', validityPeriod: 7_776_000 } },
      },
    }),
  )
  const names = await file(
    'hosts',
    Object.entries(hosts)
      .map(([name, at]) => `${at} ${name}\n`)
      .join(''),
  )
  const child = spawnInRoot(root, ['/srv/pebble', '-config', '/srv/pebble.json'], {
    enter,
    binds: [
      { from: pebble, to: '/srv/pebble' },
      { from: config, to: '/srv/pebble.json' },
      { from: certificateFile, to: '/srv/tls.pem' },
      { from: keyFile, to: '/srv/tls.key' },
      { from: names, to: '/etc/hosts' },
    ],
    // It would refuse some requests, and wait before others, by chance.
    env: { PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'close')
  const listens = new Promise<void>((resolve, reject) => {
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      if (text.includes('ACME directory available')) resolve()
    })
    child.once('close', () => reject(new Error('Pebble has ended')))
  })
  await listens
  return {
    directory: `https://${directory}/dir`,
    management,
    caFile,
    async close() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

/** Asks on its second port. @throws Error for anything but 200 */
export async function askAcmeServer(
  { management, caFile }: AcmeEndpoint,
  proxy: SocksProxy,
  path: string,
  posted?: object,
): Promise<string> {
  const [host = '', port] = management.split(':')
  const socket = await connectThrough(proxy, host, Number(port))
  const ca = await readFile(caFile)
  const body = posted === undefined ? undefined : JSON.stringify(posted)
  return new Promise((resolve, reject) => {
    const asked = request({
      path,
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        host: management,
        'user-agent': 'serena-golden demo',
        ...(body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }),
      },
      createConnection: () => connect({ socket, host, ca }),
    })
    asked.on('error', reject)
    asked.on('response', (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (part: string) => (text += part))
      response.on('end', () =>
        response.statusCode === 200 ? resolve(text) : reject(new Error(`Pebble answers ${path} with ${response.statusCode}: ${text}`)),
      )
    })
    asked.end(body)
  })
}
