/** Each client's configuration, read by a real parser: the keys that the client looks for, and no password unless it was asked for. */
import { parse as parseJson } from 'jsonc-parser'
import { parse as parseToml } from 'smol-toml'
import { describe, expect, it } from 'vitest'
import { basic, isCredential, placeholder, withoutCredentials } from '../../clients/credential.ts'
import { clientNames, clients, type ClientName, type Wanted } from '../../clients/known.ts'
import { renderClient } from '../../clients/render.ts'

const url = 'https://serena.example.org/mcp'
const credential = basic('me', 'secret')
const wanted: Wanted = { url, transport: 'streamable-http', caFile: '/site/secrets/ca.pem' }
const read = (name: ClientName, more: Partial<Wanted> = {}): Record<string, any> => {
  const { text, document } = renderClient(name, { ...wanted, ...more })
  const parsed = clients[name].syntax === 'toml' ? parseToml(text) : JSON.parse(text)
  expect(JSON.parse(JSON.stringify(parsed))).toEqual(document)
  if (clients[name].syntax !== 'toml') expect(parseJson(text)).toEqual(document)
  return parsed
}

it('has the keys that each client looks for', () => {
  const variable = 'SERENA_AUTHORIZATION'
  expect(read('claude-code')).toEqual({ mcpServers: { serena: { type: 'http', url, headers: { Authorization: `\${${variable}}` } } } })
  expect(read('cline').mcpServers.serena).toEqual({ type: 'streamableHttp', url, headers: { Authorization: placeholder }, timeout: 300 })
  expect(read('cursor').mcpServers.serena).toEqual({ url, headers: { Authorization: `\${env:${variable}}` } })
  expect(read('windsurf').mcpServers.serena).toEqual({ serverUrl: url, headers: { Authorization: `\${env:${variable}}` } })
  expect(read('gemini').mcpServers.serena).toEqual({ httpUrl: url, headers: { Authorization: `\${${variable}}` }, timeout: 300_000 })
  expect(read('codex').mcp_servers.serena).toEqual({ url, tool_timeout_sec: 300, env_http_headers: { Authorization: variable } })
  expect(read('codex', { credential }).mcp_servers.serena).toEqual({
    url,
    tool_timeout_sec: 300,
    http_headers: { Authorization: credential },
  })
  expect(read('zed').context_servers.serena).toEqual({ url, headers: { Authorization: placeholder } })
  expect(read('json').mcpServers.serena).toEqual({ type: 'http', url, headers: { Authorization: placeholder } })
  const vscode = read('vscode')
  expect(vscode.servers.serena.headers.Authorization).toBe(`Basic \${input:${vscode.inputs[0].id}}`)
  expect(vscode.inputs).toEqual([expect.objectContaining({ type: 'promptString', password: true })])
  expect(read('vscode', { credential }).inputs).toBeUndefined()
  const desktop = read('claude-desktop').mcpServers.serena
  expect(desktop).toMatchObject({ command: 'npx', env: { [variable]: placeholder, NODE_EXTRA_CA_CERTS: '/site/secrets/ca.pem' } })
  expect(desktop.args.filter((word: string) => word.includes(' '))).toEqual([])
  expect(desktop.args[1]).toMatch(/^mcp-remote@\d+\.\d+\.\d+$/)
})

describe.each(clientNames)('%s', (name) => {
  it('has no password unless it was asked for, and what stands for it gets nobody in', () => {
    const text = renderClient(name, wanted).text
    expect(withoutCredentials(text)).toBe(text)
    expect(renderClient(name, { ...wanted, credential }).text).toContain(credential)
    expect(withoutCredentials(renderClient(name, { ...wanted, credential }).text, credential)).not.toContain(credential.slice(6))
  })

  it('says in one sentence how the CA is trusted, with its file', () => {
    expect(clients[name].trust('/site/ca.pem')).toContain('/site/ca.pem')
  })
})

it('the placeholder is no header', () => {
  expect(() => new Headers({ Authorization: placeholder })).toThrow(TypeError)
  expect(isCredential(placeholder)).toBe(false)
})

it('SSE by the name that each has for it', () => {
  const sse = { url: 'https://serena.example.org/sse', transport: 'sse' } as const
  expect(read('cline', sse).mcpServers.serena.type).toBe('sse')
  expect(read('gemini', sse).mcpServers.serena).toMatchObject({ url: sse.url })
  expect(read('claude-code', sse).mcpServers.serena.type).toBe('sse')
  expect(read('claude-desktop', sse).mcpServers.serena.args).toContain('sse-only')
})

it('knows where each has its file, on each system', () => {
  const at = (platform: NodeJS.Platform, home: string, env: Record<string, string> = {}): Record<string, string | undefined> =>
    Object.fromEntries(clientNames.map((name) => [name, clients[name].file?.({ platform, home, env })]))
  expect(at('linux', '/home/me')).toMatchObject({
    'claude-code': '/home/me/.claude.json',
    'claude-desktop': '/home/me/.config/Claude/claude_desktop_config.json',
    cline: '/home/me/.config/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json',
    codex: '/home/me/.codex/config.toml',
    cursor: '/home/me/.cursor/mcp.json',
    gemini: '/home/me/.gemini/settings.json',
    json: undefined,
    vscode: '/home/me/.config/Code/User/mcp.json',
    windsurf: '/home/me/.codeium/windsurf/mcp_config.json',
    zed: '/home/me/.config/zed/settings.json',
  })
  expect(at('linux', '/home/me', { XDG_CONFIG_HOME: '/x', CODEX_HOME: '/c' })).toMatchObject({
    zed: '/x/zed/settings.json',
    vscode: '/x/Code/User/mcp.json',
    codex: '/c/config.toml',
  })
  expect(at('darwin', '/Users/me')).toMatchObject({
    vscode: '/Users/me/Library/Application Support/Code/User/mcp.json',
    zed: '/Users/me/.config/zed/settings.json',
  })
  expect(at('win32', 'C:\\Users\\me', { APPDATA: 'C:\\Users\\me\\AppData\\Roaming' })).toMatchObject({
    'claude-desktop': 'C:\\Users\\me\\AppData\\Roaming\\Claude\\claude_desktop_config.json',
    cursor: 'C:\\Users\\me\\.cursor\\mcp.json',
    zed: 'C:\\Users\\me\\AppData\\Roaming\\Zed\\settings.json',
  })
})
