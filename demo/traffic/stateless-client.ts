/** The official TypeScript client of the second generation, held to MCP revision 2026-07-28: there are no sessions, each request stands alone. */
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { trustingFetch } from '../../clients/web.ts'
import { basic, expectAnswer, requestTimeoutMs, withoutPauseMs, type TrafficClient, type TrafficTarget } from './client.ts'

const revision = '2026-07-28'

export function statelessClient(target: TrafficTarget, name: string): TrafficClient {
  return {
    name,
    pauseMs: withoutPauseMs,
    async open() {
      const trusted = trustingFetch(target.caPem, { headersTimeoutMs: requestTimeoutMs })
      const transport = new StreamableHTTPClientTransport(new URL(target.url), {
        fetch: trusted.fetch,
        requestInit: { headers: { Authorization: basic(target.user, target.password) } },
      })
      const client = new Client({ name: 'serena-golden-stateless', version: '1' }, { versionNegotiation: { mode: { pin: revision } } })
      const close = async (): Promise<void> => {
        await client.close()
        await trusted.close()
      }
      try {
        await client.connect(transport, { timeout: requestTimeoutMs })
        if (transport.sessionId !== undefined) throw new Error(`the server gave a session to a client of ${revision}`)
      } catch (error) {
        await close().catch(() => {})
        throw error
      }
      const { tool, arguments: args } = target.call
      return {
        session: () => undefined,
        async call() {
          const { content, isError } = await client.callTool({ name: tool, arguments: args }, { timeout: requestTimeoutMs })
          const text = content.map((part) => (part.type === 'text' ? part.text : '')).join('')
          if (isError === true) throw new Error(`${tool}: ${text}`)
          expectAnswer(target.call, text)
        },
        close,
      }
    },
  }
}
