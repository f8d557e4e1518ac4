/** What an AI coding client does with Serena, with the official MCP client library. */
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import { trustingFetch } from './web.ts'

export interface McpTarget {
  /** …/mcp or …/sse */
  readonly url: string
  readonly transport: 'streamable-http' | 'sse'
  readonly user: string
  readonly password: string
  readonly caPem: string
}

export interface McpOptions {
  /** How long an answer may take. @default 300000 */
  readonly timeoutMs?: number
  /** How long a connection that nobody uses is kept for the next request. @default 4000 */
  readonly keepAliveMs?: number
}

export interface McpSession {
  readonly tools: readonly string[]
  /** The session's id, as the server gave it; none over SSE. */
  id(): string | undefined
  /** Calls a tool; returns its text. Rejects when the tool says that it failed. */
  call(tool: string, args: Record<string, unknown>): Promise<string>
  close(): Promise<void>
}

/** `initialize` and `tools/list`. */
export async function openMcp(target: McpTarget, { timeoutMs = 300_000, keepAliveMs }: McpOptions = {}): Promise<McpSession> {
  const trusted = trustingFetch(target.caPem, { headersTimeoutMs: timeoutMs, ...(keepAliveMs === undefined ? {} : { keepAliveMs }) })
  const headers = { Authorization: `Basic ${Buffer.from(`${target.user}:${target.password}`).toString('base64')}` }
  const url = new URL(target.url)
  const transport =
    target.transport === 'sse'
      ? new SSEClientTransport(url, { fetch: trusted.fetch, requestInit: { headers } })
      : new StreamableHTTPClientTransport(url, { fetch: trusted.fetch, requestInit: { headers } })
  const client = new Client({ name: 'serena-golden-check', version: '1' })
  const close = async (): Promise<void> => {
    await client.close()
    await trusted.close()
  }
  try {
    // The SDK's own classes do not fit its interface under exactOptionalPropertyTypes (sessionId).
    await client.connect(transport as Transport, { timeout: timeoutMs })
    const { tools } = await client.listTools(undefined, { timeout: timeoutMs })
    return {
      tools: tools.map((tool) => tool.name),
      id: () => (transport instanceof StreamableHTTPClientTransport ? transport.sessionId : undefined),
      async call(name, args) {
        const result = await client.callTool({ name, arguments: args }, undefined, { timeout: timeoutMs })
        const text = (result.content as { type: string; text?: string }[]).map((part) => part.text ?? '').join('')
        if (result.isError === true) throw new Error(`${name}: ${text}`)
        return text
      },
      close,
    }
  } catch (error) {
    await close().catch(() => {})
    throw error
  }
}

/**
 * Writes a Python file into a project, reads it back and finds a symbol in it.
 * @throws Error that says what was not as expected
 */
export async function workOnProject(session: McpSession, project: string, mark: string): Promise<void> {
  const expect = (what: string, text: string, wanted: string): void => {
    if (!text.includes(wanted)) throw new Error(`${what}: expected ${JSON.stringify(wanted)} in ${JSON.stringify(text.slice(0, 400))}`)
  }
  await session.call('activate_project', { project, session: 'golden-check' })
  const file = `check_${mark}.py`
  await session.call('create_text_file', {
    relative_path: file,
    content: `class Greeter_${mark}:\n    def greet(self) -> str:\n        return "${mark}"\n`,
  })
  expect('read_file', await session.call('read_file', { relative_path: file }), `Greeter_${mark}`)
  expect(
    'find_symbol',
    await session.call('find_symbol', { name_path_pattern: `Greeter_${mark}/greet`, relative_path: file, include_body: true }),
    mark,
  )
}
