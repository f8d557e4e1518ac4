/** The clients whose configuration this project knows: file, keys, how each takes a header, and how it comes to trust a CA. */
import { placeholder, promptId, variable } from './credential.ts'
import { inAppData, inConfigHome, inHome, type Place } from './place.ts'
import type { Transport } from './url.ts'

export interface Wanted {
  readonly url: string
  readonly transport: Transport
  /** The header's value; without it something stands for it. */
  readonly credential?: string
  /** The site's CA; without it the certificate is one that computers trust. */
  readonly caFile?: string
}

export type Entry = Readonly<Record<string, unknown>>

export interface Client {
  readonly title: string
  /** Its configuration, for all projects of the user. @default there is none: people say where */
  readonly file?: (place: Place) => string
  /** @default json */
  readonly syntax?: 'toml'
  /** The key that holds the servers. */
  readonly servers: string
  /** @default both */
  readonly transports?: readonly Transport[]
  /** What stands for the credential. */
  readonly without: 'variable' | 'prompt' | 'placeholder'
  entry(wanted: Wanted): Entry
  /** What it asks people for. @default nothing */
  readonly inputs?: (wanted: Wanted) => readonly Entry[]
  /** How it is told to trust the CA. */
  trust(caFile: string): string
}

/** Calls wait while a slot takes over: up to 240 s (serena.parking). */
const patienceSeconds = 300

const authorization = ({ credential }: Wanted, otherwise: string): Entry => ({ Authorization: credential ?? otherwise })
const nodeTrust =
  (program: string) =>
  (caFile: string): string =>
    `Start ${program} with NODE_EXTRA_CA_CERTS=${caFile} in its environment`
const systemTrust =
  (program: string) =>
  (caFile: string): string =>
    `${program} trusts whom the system trusts: put ${caFile} among the system's certificates`

const known = {
  /** code.claude.com/docs/en/mcp; CAs: code.claude.com/docs/en/network-config. `.mcp.json` of a project has the same form. */
  'claude-code': {
    title: 'Claude Code',
    file: (place) => (place.env.CLAUDE_CONFIG_DIR ? `${place.env.CLAUDE_CONFIG_DIR}/.claude.json` : inHome(place, '.claude.json')),
    servers: 'mcpServers',
    without: 'variable',
    entry: (wanted) => ({
      type: wanted.transport === 'sse' ? 'sse' : 'http',
      url: wanted.url,
      headers: authorization(wanted, `\${${variable}}`),
    }),
    trust: (caFile) => `${nodeTrust('Claude Code')(caFile)}, or in "env" of ~/.claude/settings.json`,
  },
  /**
   * It starts programs only: github.com/punkpeye/mcp-remote, whose README has the rest. Spaces in arguments get lost on
   * Windows, so the header is put together without one. A version: what npx finds gets the password.
   */
  'claude-desktop': {
    title: 'Claude Desktop',
    file: (place) => inAppData(place, 'Claude', 'claude_desktop_config.json'),
    servers: 'mcpServers',
    without: 'placeholder',
    entry: (wanted) => ({
      command: 'npx',
      args: [
        '-y',
        'mcp-remote@0.15.1',
        wanted.url,
        '--transport',
        wanted.transport === 'sse' ? 'sse-only' : 'http-only',
        '--header',
        `Authorization:\${${variable}}`,
      ],
      env: { [variable]: wanted.credential ?? placeholder, ...(wanted.caFile === undefined ? {} : { NODE_EXTRA_CA_CERTS: wanted.caFile }) },
    }),
    trust: (caFile) => `mcp-remote is told to trust ${caFile} by "env" of the configuration`,
  },
  /** docs.cline.bot/mcp/mcp-overview, and configuring-mcp-servers. Without a type it means SSE. It takes no variables in headers. */
  cline: {
    title: 'Cline',
    file: (place) =>
      place.env.CLINE_MCP_SETTINGS_PATH ||
      inAppData(place, 'Code', 'User', 'globalStorage', 'saoudrizwan.claude-dev', 'settings', 'cline_mcp_settings.json'),
    servers: 'mcpServers',
    without: 'placeholder',
    entry: (wanted) => ({
      type: wanted.transport === 'sse' ? 'sse' : 'streamableHttp',
      url: wanted.url,
      headers: authorization(wanted, placeholder),
      timeout: patienceSeconds,
    }),
    trust: nodeTrust('VS Code'),
  },
  /** openai/codex, codex-rs/config/src/mcp_types.rs. CODEX_CA_CERTIFICATE, or else SSL_CERT_FILE. */
  codex: {
    title: 'Codex',
    file: (place) => (place.env.CODEX_HOME ? `${place.env.CODEX_HOME}/config.toml` : inHome(place, '.codex', 'config.toml')),
    syntax: 'toml',
    servers: 'mcp_servers',
    transports: ['streamable-http'],
    without: 'variable',
    entry: ({ url, credential }) => ({
      url,
      tool_timeout_sec: patienceSeconds,
      ...(credential === undefined ? { env_http_headers: { Authorization: variable } } : { http_headers: { Authorization: credential } }),
    }),
    trust: (caFile) => `Start Codex with CODEX_CA_CERTIFICATE=${caFile} in its environment`,
  },
  /** cursor.com/docs/mcp: config interpolation. `.cursor/mcp.json` of a project has the same form. */
  cursor: {
    title: 'Cursor',
    file: (place) => inHome(place, '.cursor', 'mcp.json'),
    servers: 'mcpServers',
    without: 'variable',
    entry: (wanted) => ({ url: wanted.url, headers: authorization(wanted, `\${env:${variable}}`) }),
    trust: nodeTrust('Cursor'),
  },
  /** google-gemini/gemini-cli, docs/tools/mcp-server.md and docs/cli/configuration.md: `httpUrl`, and `url` for SSE. */
  gemini: {
    title: 'Gemini CLI',
    file: (place) => inHome(place, '.gemini', 'settings.json'),
    servers: 'mcpServers',
    without: 'variable',
    entry: (wanted) => ({
      [wanted.transport === 'sse' ? 'url' : 'httpUrl']: wanted.url,
      headers: authorization(wanted, `\${${variable}}`),
      timeout: patienceSeconds * 1000,
    }),
    trust: nodeTrust('Gemini CLI'),
  },
  /** What most others read. */
  json: {
    title: 'another client',
    servers: 'mcpServers',
    without: 'placeholder',
    entry: (wanted) => ({
      type: wanted.transport === 'sse' ? 'sse' : 'http',
      url: wanted.url,
      headers: authorization(wanted, placeholder),
    }),
    trust: (caFile) => `Have the client trust ${caFile}: NODE_EXTRA_CA_CERTS where it is made with Node, else the system's certificates`,
  },
  /** code.visualstudio.com/docs/copilot/reference/mcp-configuration. `.vscode/mcp.json` of a project has the same form. */
  vscode: {
    title: 'VS Code',
    file: (place) => inAppData(place, 'Code', 'User', 'mcp.json'),
    servers: 'servers',
    without: 'prompt',
    entry: (wanted) => ({
      type: wanted.transport === 'sse' ? 'sse' : 'http',
      url: wanted.url,
      headers: authorization(wanted, `Basic \${input:${promptId}}`),
    }),
    inputs: ({ credential }) =>
      credential === undefined
        ? [{ type: 'promptString', id: promptId, description: 'Serena: base64 of user:password', password: true }]
        : [],
    trust: (caFile) => `${systemTrust('VS Code')(caFile)}, or start it with NODE_EXTRA_CA_CERTS=${caFile}`,
  },
  /** docs.windsurf.com/windsurf/cascade/mcp: `serverUrl`, and variables in headers. */
  windsurf: {
    title: 'Windsurf',
    file: (place) => inHome(place, '.codeium', 'windsurf', 'mcp_config.json'),
    servers: 'mcpServers',
    without: 'variable',
    entry: (wanted) => ({ serverUrl: wanted.url, headers: authorization(wanted, `\${env:${variable}}`) }),
    trust: systemTrust('Windsurf'),
  },
  /** zed.dev/docs/ai/mcp and configuring-zed; whom it trusts: zed-industries/zed#24656. It takes no variables in headers. */
  zed: {
    title: 'Zed',
    file: (place) => (place.platform === 'win32' ? inAppData(place, 'Zed', 'settings.json') : inConfigHome(place, 'zed', 'settings.json')),
    servers: 'context_servers',
    transports: ['streamable-http'],
    without: 'placeholder',
    entry: (wanted) => ({ url: wanted.url, headers: authorization(wanted, placeholder) }),
    trust: systemTrust('Zed'),
  },
} satisfies Record<string, Client>

export type ClientName = keyof typeof known
export const clientNames = Object.keys(known) as ClientName[]
export const clients: Readonly<Record<ClientName, Client>> = known
