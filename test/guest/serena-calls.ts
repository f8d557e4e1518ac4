/**
 * Runs in the namespace of the test (see serena.test.ts): starts Serena, uses it as a client does, prints what came
 * back as JSON, ends it. Arguments: one JSON object.
 */
import { spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'

export interface Order {
  readonly serena: string
  readonly home: string
  readonly transport: 'streamable-http' | 'sse'
  readonly calls: readonly { name: string; arguments: Record<string, unknown> }[]
}

export interface Outcome {
  readonly tools: readonly string[]
  readonly results: readonly { isError: boolean; text: string }[]
}

const order = JSON.parse(process.argv[2] ?? '') as Order

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

async function connect(port: number, dead: () => boolean): Promise<Client> {
  for (;;) {
    const client = new Client({ name: 'test', version: '1' })
    const url = new URL(`http://127.0.0.1:${port}${order.transport === 'sse' ? '/sse' : '/mcp'}`)
    try {
      await client.connect(order.transport === 'sse' ? new SSEClientTransport(url) : new StreamableHTTPClientTransport(url))
      return client
    } catch (error) {
      if (dead()) throw error
      await pause(200) // it does not listen yet
    }
  }
}

const port = await freePort()
const serena = spawn(
  order.serena,
  [
    'start-mcp-server',
    '--host=127.0.0.1',
    `--port=${port}`,
    '--agent-interface=tools',
    '--enable-web-dashboard=false',
    '--open-web-dashboard=false',
    `--transport=${order.transport}`,
  ],
  {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { PATH: '/usr/bin:/bin', HOME: order.home, TMPDIR: order.home, SERENA_HOME: order.home, SERENA_USAGE_REPORTING: 'false' },
  },
)
const ended = once(serena, 'exit')
try {
  const client = await connect(port, () => serena.exitCode !== null)
  const tools = (await client.listTools()).tools.map((tool) => tool.name)
  const results: { isError: boolean; text: string }[] = []
  for (const call of order.calls) {
    const result = await client.callTool(call, undefined, { timeout: 120_000 })
    const content = result.content as { type: string; text?: string }[]
    results.push({ isError: result.isError === true, text: content.map((part) => part.text ?? '').join('\n') })
  }
  await client.close()
  console.log(JSON.stringify({ tools, results } satisfies Outcome))
} finally {
  serena.kill('SIGTERM')
  await ended
}
// The SSE client keeps trying to reach the server that is gone.
process.exit()
