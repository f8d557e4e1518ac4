/** Serena herself as a test's server, and the official client as hers. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import { Agent, fetch as undiciFetch } from 'undici'
import { basic } from './mcp-ask.ts'

/** Where Serena is, her home, and a project of hers. */
export interface SerenaOrder {
  readonly program: string
  readonly home: string
  readonly project: string
}

/** @param address where she listens @returns when she answers */
export async function startSerena({ program, home }: SerenaOrder, address: string): Promise<ChildProcess> {
  const child = spawn(
    program,
    [
      'start-mcp-server',
      `--host=${address}`,
      '--port=9121',
      '--transport=streamable-http',
      '--agent-interface=tools',
      '--enable-web-dashboard=false',
      '--open-web-dashboard=false',
    ],
    { env: { ...process.env, SERENA_HOME: home, SERENA_USAGE_REPORTING: 'false' }, stdio: ['ignore', 'ignore', 'inherit'], detached: true },
  )
  for (;;) {
    if (child.exitCode !== null) throw new Error('Serena ended')
    const answers = await fetch(`http://${address}:9121/`).then(
      () => true,
      () => false,
    )
    if (answers) return child
    await pause(200) // it is starting
  }
}

/** With the language servers that it started. */
export async function killSerena(child: ChildProcess): Promise<void> {
  const closed = once(child, 'exit')
  process.kill(-(child.pid ?? 0), 'SIGKILL')
  await closed
}

export interface Used {
  readonly isError: boolean
  readonly text: string
  readonly ms: number
}

export interface OfficialClient {
  readonly use: (name: string, args: Record<string, unknown>) => Promise<Used>
  readonly session: () => string | undefined
  readonly close: () => Promise<void>
}

/** Connects to nginx on this machine. @param host the site's public name */
export async function connectClient(host: string): Promise<OfficialClient> {
  const dispatcher = new Agent({
    connect: { rejectUnauthorized: false, lookup: (_name, _options, done) => done(null, [{ address: '127.0.0.1', family: 4 }]) },
  })
  const transport = new StreamableHTTPClientTransport(new URL(`https://${host}/mcp`), {
    fetch: async (input: string | URL | Request, init?: RequestInit) => {
      const answer = await undiciFetch(String(input), { ...init, dispatcher } as object)
      return new Response(await answer.text(), { status: answer.status, headers: [...answer.headers] })
    },
    requestInit: { headers: { authorization: basic('me') } },
  })
  const client = new Client({ name: 'test', version: '1' })
  await client.connect(transport as Transport)
  return {
    async use(name, args) {
      const began = performance.now()
      const { isError, content } = (await client.callTool({ name, arguments: args }, undefined, { timeout: 240_000 })) as {
        isError?: boolean
        content: { text?: string }[]
      }
      return {
        isError: isError === true,
        text: content
          .map(({ text }) => text ?? '')
          .join('')
          .slice(0, 500),
        ms: performance.now() - began,
      }
    },
    session: () => transport.sessionId,
    close: () => client.close(),
  }
}
