/** What this computer sees of a clone: as near to a client as it gets. */
import { request } from 'node:https'
import { isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { connect } from 'node:net'
import { connectThrough, type SocksProxy } from '../core/socks.ts'
import { contains, parseNetwork } from '../settings/address.ts'
import type { Site } from '../settings/site.ts'
import { run, type Place } from './inside.ts'
import { isUnfit } from './report.ts'
import { targetText, type Target } from './targets.ts'

/** How this computer gets into the VMs' LAN. */
export interface Here {
  /** @throws Error where the connection is not taken */
  connect(target: Target): Promise<Socket>
  /** Which of these take a TCP connection, as `HOST:PORT`. */
  reached(targets: readonly Target[]): Promise<string[]>
}

const patienceMs = 5000
const answerMs = 60_000

/** @param proxy of the site, by which the LAN is reached from somewhere else */
export function fromHere(proxy: SocksProxy | undefined): Here {
  const open = async ({ host, port }: Target): Promise<Socket> => {
    const signal = AbortSignal.timeout(patienceMs)
    if (proxy !== undefined) return connectThrough(proxy, host, port, signal)
    return new Promise((resolve, reject) => {
      const socket = connect({ host, port, signal })
      socket.once('connect', () => resolve(socket)).once('error', reject)
    })
  }
  return {
    connect: open,
    async reached(targets) {
      const tried = targets.map(async (target) => {
        const socket = await open(target).catch(() => undefined)
        socket?.on('error', () => {}).destroy()
        return socket === undefined ? [] : [targetText(target)]
      })
      return (await Promise.all(tried)).flat()
    },
  }
}

/**
 * Whether this computer gets to a clone's service address. The clone is told first by which way its answers come here: its
 * seed has none, so that nothing of it gets anywhere by itself. A boot forgets it.
 */
export async function reachableFromHere(place: Place & { readonly site: Site; readonly here: Here }, target: Target): Promise<boolean> {
  const { site, here } = place
  for (const words of waysBack(site)) {
    try {
      await run(place, 'ip', '-4', 'route', 'replace', ...words)
    } catch (error) {
      if (!isUnfit(error)) throw error
    }
  }
  // A LAN that has not heard of the address yet may lose the first.
  for (let tries = 0; tries < 3; tries++) if ((await here.reached([target])).length > 0) return true
  return false
}

/** Routes to the site's LAN, and to its administrators beyond it, as `ip route` takes them. Pure. */
export function waysBack({ network: { subnet, gateway, admin } }: Pick<Site, 'network'>): string[][] {
  const lan = parseNetwork(subnet)
  const beyond = admin.filter((text) => {
    const network = parseNetwork(text)
    // To everybody there is no way.
    return (
      network !== undefined &&
      network.prefix >= 8 &&
      lan !== undefined &&
      !(contains(lan, text.split('/')[0] ?? '') || (network.first <= lan.first && network.last >= lan.last))
    )
  })
  return [[subnet, 'dev', 'eth0'], ...beyond.map((text) => [text, 'via', gateway, 'dev', 'eth0', 'onlink'])]
}

export interface Client {
  readonly to: Target
  /** The name that clients ask for. */
  readonly host: string
  readonly ca: string
  readonly user: string
  readonly password: string
}

interface Answer {
  readonly status: number
  readonly body: string
}

/** With whatever makes Node refuse a certificate as refusal. */
async function ask(here: Here, { to, host, ca }: Client, method: string, headers: Record<string, string>, body?: string): Promise<Answer> {
  const socket = await here.connect(to)
  try {
    return await new Promise((resolve, reject) => {
      const asked = request({
        createConnection: () => connectTls({ socket, host, ca, ...(isIP(host) === 0 ? { servername: host } : {}) }),
        method,
        path: '/mcp',
        timeout: answerMs,
        headers: { host, accept: 'application/json, text/event-stream', 'content-type': 'application/json', ...headers },
      })
      asked.on('timeout', () => asked.destroy(new Error(`no answer within ${answerMs / 1000} s`)))
      asked.on('error', reject)
      asked.on('response', (answer) => {
        let text = ''
        answer.setEncoding('utf8').on('data', (part: string) => (text += part))
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body: text })).on('error', reject)
      })
      asked.end(body)
    })
  } finally {
    socket.destroy()
  }
}

/** What a client here would find wrong: by a certificate that it verifies itself, and by passwords that the clone was given. */
export async function clientProblems(here: Here, client: Client): Promise<string[]> {
  const { user, password } = client
  const basic = (secret: string) => ({ authorization: `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}` })
  const opening = {
    jsonrpc: '2.0',
    id: 1,
    method: 'initialize',
    params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'golden-verify', version: '1' } },
  }
  const problems: string[] = []
  const expect = async (what: string, headers: Record<string, string>, holds: (answer: Answer) => boolean): Promise<void> => {
    try {
      const answer = await ask(here, client, 'POST', headers, JSON.stringify(opening))
      if (!holds(answer)) problems.push(`${what} is answered with ${answer.status} ${answer.body.slice(0, 200).trim()}`)
    } catch (error) {
      problems.push(`${what}: ${(error as Error).message}`)
    }
  }
  await expect('a session without a password', {}, ({ status }) => status === 401)
  await expect('a session with a wrong password', basic(`${password}x`), ({ status }) => status === 401)
  await expect('a session with the right password', basic(password), ({ status, body }) => status === 200 && body.includes('"serverInfo"'))
  return problems
}
