/** The lab's side of gateway.ts. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, rm } from 'node:fs/promises'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { GatewayAnswer, GatewayRequest } from './gateway.ts'
import { readLine } from './line.ts'
import { dieWithParent, endProcess, type Namespace } from './namespaces.ts'
import { pair } from './pair.ts'

export interface Gateway {
  /** A TCP connection from the gateway's address. Rejects with an error that has the system's `code`. */
  dial(host: string, port: number): Promise<Duplex>
  /** Makes this computer's loopback port reachable in the namespace. Ends with the gateway. */
  publish(address: string, port: number, hostPort: number): Promise<void>
  close(): Promise<void>
}

/** `folder` is the gateway's own, with a path short enough for a Unix socket; what an earlier run left there goes. */
export async function startGateway(namespace: Namespace, source: string, folder: string, connectTimeoutMs = 20_000): Promise<Gateway> {
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const socketPath = join(folder, 'gateway')
  const program = fileURLToPath(new URL('gateway.ts', import.meta.url))
  const [enter, ...rest] = [...namespace.enter, ...dieWithParent, process.execPath, program, socketPath, source]
  const child = spawn(enter!, rest, { detached: true, env: nodeEnvironment(), stdio: ['pipe', 'pipe', 'pipe'] })
  const connections = new Set<Socket>()
  const servers: Server[] = []
  const close = async () => {
    for (const socket of connections) socket.destroy()
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
    await endProcess(child)
    await rm(folder, { recursive: true, force: true })
  }
  try {
    let errors = ''
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (errors += chunk))
    child.once('error', () => {})
    await Promise.race([
      once(child.stdout, 'data'),
      once(child, 'close').then(() => Promise.reject(new Error(`the lab's gateway did not start: ${errors.trim()}`))),
    ])
  } catch (error) {
    await close()
    throw error
  }

  const ask = async (request: GatewayRequest): Promise<Socket> => {
    const socket = connect({ path: socketPath, allowHalfOpen: true })
    connections.add(socket)
    socket.once('close', () => connections.delete(socket))
    try {
      socket.write(`${JSON.stringify(request)}\n`)
      const answer = JSON.parse(await readLine(socket)) as GatewayAnswer
      if (answer.ok) return socket
      throw Object.assign(new Error(answer.message), { code: answer.code })
    } catch (error) {
      socket.destroy()
      throw error
    }
  }

  return {
    dial: (host, port) => ask({ dial: { host, port, timeoutMs: connectTimeoutMs } }),
    publish: async (address, port, hostPort) => {
      const path = join(folder, `publish-${servers.length}`)
      const server = createServer({ allowHalfOpen: true }, (incoming) => {
        const local = connect({ host: '127.0.0.1', port: hostPort, allowHalfOpen: true, noDelay: true })
        for (const socket of [incoming, local]) {
          connections.add(socket)
          socket.once('close', () => connections.delete(socket))
        }
        pair(incoming, local)
      })
      servers.push(server)
      server.listen(path)
      await once(server, 'listening')
      const control = await ask({ publish: { address, port, to: path } })
      control.on('error', () => {})
    },
    close,
  }
}

/** Without the options of a test runner or debugger that this process may run under. */
function nodeEnvironment(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _, ...rest } = process.env
  return rest
}
