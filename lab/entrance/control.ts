/** The control socket: JSON over HTTP on a Unix socket, for what no Proxmox has (router, internet, faults, stop). */
import { createServer } from 'node:http'
import { createReadStream, existsSync, rmSync } from 'node:fs'
import type { LabNetwork } from '../compute/driver.ts'
import type { FaultOrder, Faults } from '../api/faults.ts'
import type { Closable } from './join.ts'

export interface ControlOptions {
  readonly socket: string
  readonly network: LabNetwork
  readonly faults: Faults
  serialLog(vmid: number): string
  /** Kills a machine as a power cut would. Rejects when it does not run. */
  kill(vmid: number): Promise<void>
  stop(): void
}

/** The caller has the claim on the folder of the socket. */
export async function startControl(options: ControlOptions): Promise<Closable> {
  rmSync(options.socket, { force: true }) // of a lab that was killed
  const server = createServer((request, response) => {
    const answer = (status: number, body: unknown): void => {
      response.writeHead(status, { 'Content-Type': 'application/json' }).end(`${JSON.stringify(body)}\n`)
    }
    const route = `${request.method} ${request.url}`
    const serial = /^GET \/vms\/(\d+)\/serial$/.exec(route)?.[1]
    if (serial !== undefined) {
      const path = options.serialLog(Number(serial))
      if (!existsSync(path)) return answer(404, { error: `VM ${serial} has no serial log yet` })
      response.writeHead(200, { 'Content-Type': 'text/plain' })
      createReadStream(path).pipe(response)
      return
    }
    let body = ''
    request.setEncoding('utf8')
    request.on('data', (chunk: string) => (body += chunk))
    request.on('end', () => {
      carryOut(options, route, body).then(
        (result) => answer(200, result ?? {}),
        (error: unknown) => answer(400, { error: error instanceof Error ? error.message : String(error) }),
      )
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.socket, resolve)
  })
  return {
    close: async () => {
      server.closeAllConnections()
      // Takes its file away itself, before it stops to listen: what is there afterwards is the next lab's.
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

async function carryOut(options: ControlOptions, route: string, body: string): Promise<unknown> {
  const input = (body === '' ? {} : JSON.parse(body)) as Record<string, unknown>
  const kill = /^POST \/vms\/(\d+)\/kill$/.exec(route)?.[1]
  if (kill !== undefined) return options.kill(Number(kill))
  const fault = /^DELETE \/faults(?:\/(\d+))?$/.exec(route)
  if (fault !== null) return options.faults.clear(fault[1] === undefined ? undefined : Number(fault[1]))
  switch (route) {
    case 'PUT /router/forwards': {
      const forwards: { target?: string | null; second?: string | null } = {}
      for (const name of ['target', 'second'] as const) {
        const to = input[name]
        if (to !== undefined && to !== null && typeof to !== 'string') throw new Error(`\`${name}\` has to be an address or null`)
        if (to !== undefined) forwards[name] = to
      }
      return options.network.setForwards(forwards)
    }
    case 'PUT /internet': {
      if (typeof input.on !== 'boolean') throw new Error('`on` has to be true or false')
      return options.network.setInternet(input.on)
    }
    case 'POST /probe':
      return { reached: await probe(options.network, input) }
    case 'GET /faults':
      return options.faults.list()
    case 'POST /faults':
      return { id: options.faults.order(input as FaultOrder) }
    case 'POST /stop':
      options.stop()
      return {}
    default:
      throw new Error(`no such control call: ${route}`)
  }
}

/** How long a connection may take before the port counts as silent: slow guests answer a SYN within a second. */
const probeMs = 4000

/** Whether a TCP connection is accepted: from `admin` or `stranger` (in the LAN) to a host, or from `internet` to the router. */
async function probe(network: LabNetwork, { from, host, port }: Record<string, unknown>): Promise<boolean> {
  if (typeof port !== 'number' || typeof host !== 'string') throw new Error('`host` has to be an address and `port` a number')
  const dial =
    from === 'internet'
      ? network.dialRouter(port)
      : from === 'stranger'
        ? network.dialStranger(host, port)
        : from === 'admin'
          ? network.dial(host, port)
          : undefined
  if (dial === undefined) throw new Error('`from` has to be admin, stranger or internet')
  const late = new Promise<false>((done) => setTimeout(() => done(false), probeMs).unref())
  const reached = dial.then(
    (connection) => {
      connection.destroy()
      return true
    },
    () => false,
  )
  return Promise.race([reached, late])
}
