/** What the official MCP client says when it is not let in: with and without the OAuth that clients like Claude Code bring. */
import type { OAuthClientProvider } from '@modelcontextprotocol/sdk/client/auth.js'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import { Agent, fetch as undiciFetch } from 'undici'

const oauth: OAuthClientProvider = {
  redirectUrl: 'http://localhost:1/callback',
  clientMetadata: { redirect_uris: ['http://localhost:1/callback'] },
  clientInformation: () => undefined,
  saveClientInformation: () => undefined,
  tokens: () => undefined,
  saveTokens: () => undefined,
  redirectToAuthorization: () => undefined,
  saveCodeVerifier: () => undefined,
  codeVerifier: () => 'x',
}

/** @param credentials `user:password`, or null for a client that has none */
export async function clientSays(credentials: string | null): Promise<{ plain: string; withOauth: string }> {
  const dispatcher = new Agent({
    connect: { rejectUnauthorized: false, lookup: (_name, _options, done) => done(null, [{ address: '127.0.0.1', family: 4 }]) },
  })
  const trusting = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const answer = await undiciFetch(String(input), { ...init, dispatcher } as object)
    // The library asks whether it is a Response of Node's own.
    return new Response(await answer.text(), { status: answer.status, headers: [...answer.headers] })
  }
  const headers: Record<string, string> =
    credentials === null ? {} : { Authorization: `Basic ${Buffer.from(credentials).toString('base64')}` }
  const say = async (authProvider?: OAuthClientProvider): Promise<string> => {
    const transport = new StreamableHTTPClientTransport(new URL('https://serena.example.org/mcp'), {
      fetch: trusting,
      requestInit: { headers },
      ...(authProvider ? { authProvider } : {}),
    })
    const client = new Client({ name: 'test', version: '1' })
    try {
      await client.connect(transport as Transport)
      return 'connected'
    } catch (error) {
      return (error as Error).message
    } finally {
      await client.close()
    }
  }
  const said = { plain: await say(), withOauth: await say(oauth) }
  await dispatcher.close()
  return said
}
