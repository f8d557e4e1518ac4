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
  /** Those that may have signed the server's certificate, in PEM. */
  readonly caPem: string | readonly string[]
}

export interface McpOptions {
  /** How long an answer may take. @default 300000 */
  readonly timeoutMs?: number
  /** How long a connection that nobody uses is kept for the next request. @default 4000 */
  readonly keepAliveMs?: number
}

export interface McpTool {
  readonly name: string
  /** It says of itself that it changes nothing. */
  readonly readOnly: boolean
  /** Arguments that it does not work without. */
  readonly required: readonly string[]
}

export interface McpConnection {
  /** The session's id, as the server gave it; none over SSE. */
  id(): string | undefined
  /** Calls a tool; returns its text. Rejects when the tool says that it failed. */
  call(tool: string, args: Record<string, unknown>): Promise<string>
  /** What the server calls itself, and its version. */
  server(): { readonly name: string; readonly version: string } | undefined
  listTools(): Promise<readonly McpTool[]>
  close(): Promise<void>
}

export interface McpSession extends McpConnection {
  readonly tools: readonly string[]
}

/** `initialize` and `tools/list`. */
export async function openMcp(target: McpTarget, options: McpOptions = {}): Promise<McpSession> {
  const connection = await connectMcp(target, options)
  try {
    return { ...connection, tools: (await connection.listTools()).map(({ name }) => name) }
  } catch (error) {
    await connection.close().catch(() => {})
    throw error
  }
}

/** `initialize`. */
export async function connectMcp(target: McpTarget, { timeoutMs = 300_000, keepAliveMs }: McpOptions = {}): Promise<McpConnection> {
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
    return {
      server: () => client.getServerVersion(),
      async listTools() {
        const { tools } = await client.listTools(undefined, { timeout: timeoutMs })
        return tools.map(({ name, annotations, inputSchema }) => ({
          name,
          readOnly: annotations?.readOnlyHint === true,
          required: inputSchema.required ?? [],
        }))
      },
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
