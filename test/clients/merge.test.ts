/** Serena joins what is in a client's file: comments, order and everything else stay, and twice changes nothing. */
import { parse as parseJson } from 'jsonc-parser'
import { parse as parseToml } from 'smol-toml'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { basic } from '../../clients/credential.ts'
import { diffLines } from '../../clients/diff.ts'
import { clientNames, clients, type ClientName, type Wanted } from '../../clients/known.ts'
import { mergeClient, type MergeOptions, type Merged } from '../../clients/merge.ts'
import { renderClient } from '../../clients/render.ts'

const url = 'https://serena.example.org/mcp'
const wanted: Wanted = { url, transport: 'streamable-http' }
const credential = basic('me', 'secret')
const merge = (text: string | undefined, client: ClientName, more: Partial<Wanted> = {}, options: Partial<MergeOptions> = {}): Merged =>
  mergeClient(text, client, { ...wanted, ...more }, { file: 'the file', ...options })
const parse = (client: ClientName, text: string): any =>
  JSON.parse(JSON.stringify(clients[client].syntax === 'toml' ? parseToml(text) : parseJson(text, [], { allowTrailingComma: true })))
/** Lines of the text before that are not there any more. */
const lost = (before: string, after: string): string[] => diffLines(before, after).filter((line) => line.startsWith('- '))

const zed = `// My settings
{
\t"theme": "One Dark", // as at night
\t/* servers of others */
\t"context_servers": {
\t\t"other": { "command": "x", "args": [] },
\t},
\t"vim_mode": true,
}
`
const codex = `# Codex
model = "o9" # the big one

[mcp_servers.other]
command = "x"

[mcp_servers.other.env]
TOKEN = "abc"
`

describe.each(clientNames)('%s', (client) => {
  it('an absent and an empty file become what would be printed; once more changes nothing', () => {
    for (const before of [undefined, '']) {
      const { text, changed } = merge(before, client)
      expect(changed).toBe(true)
      expect(text.endsWith('\n')).toBe(true)
      expect(parse(client, text)).toEqual(renderClient(client, wanted).document)
      expect(merge(text, client)).toMatchObject({ changed: false, text })
    }
  })

  it('a credential comes in, is another one later, and is not lost to a run without it', () => {
    const first = merge(merge(undefined, client).text, client, { credential })
    expect(first.text).toContain(credential)
    const again = merge(first.text, client)
    expect(again).toMatchObject({ changed: false, keptCredential: true, text: first.text })
    const other = merge(first.text, client, { credential: basic('me', 'other') })
    expect(other.text).not.toContain(credential)
    expect(merge(other.text, client, { credential: basic('me', 'other') }).changed).toBe(false)
  })
})

it('comments, tabs, commas at the end and the order of keys stay', () => {
  const { text } = merge(zed, 'zed')
  expect(lost(zed, text)).toEqual([])
  expect(parse('zed', text)).toEqual({
    theme: 'One Dark',
    context_servers: { other: { command: 'x', args: [] }, serena: { url, headers: { Authorization: expect.any(String) } } },
    vim_mode: true,
  })
  expect(text).toContain('\n\t\t"serena"')
  const windows = zed.replaceAll('\n', '\r\n')
  expect(merge(windows, 'zed').text.replaceAll('\r\n', '')).not.toContain('\n')
  expect(merge(`\ufeff${zed}`, 'zed').text).toBe(`\ufeff${text}`)
})

it("VS Code's inputs of others stay, with their comments, and ours comes once", () => {
  const before = `{\n  "inputs": [\n    // of another\n    { "type": "promptString", "id": "other" }\n  ],\n  "servers": {}\n}\n`
  const { text } = merge(before, 'vscode')
  expect(text).toContain('// of another')
  expect(parse('vscode', text).inputs.map(({ id }: { id: string }) => id)).toEqual(['other', 'serena-credentials'])
  expect(merge(text, 'vscode').changed).toBe(false)
})

it("TOML's comments stay, and an entry that is there is changed in its place", () => {
  const { text } = merge(codex, 'codex')
  expect(text.startsWith(codex)).toBe(true)
  expect(parse('codex', text).mcp_servers).toMatchObject({ other: { env: { TOKEN: 'abc' } }, serena: { url } })
  const own = text.replace('url =', 'enabled = true # for now\nurl =').replace('[mcp_servers.other]', '# of others\n[mcp_servers.other]')
  const changed = merge(own, 'codex', { credential })
  expect(changed.text).toContain('enabled = true # for now')
  expect(parse('codex', changed.text).mcp_servers.serena).toEqual({
    enabled: true,
    url,
    tool_timeout_sec: 300,
    http_headers: { Authorization: credential },
  })
  expect(() => merge('mcp_servers = { other = { command = "x" } }\n', 'codex')).toThrow(/the file/)
})

it('what people have added to the entry stays, and the same server by another name is not joined by a second', () => {
  const before = JSON.stringify({ mcpServers: { mine: { type: 'streamableHttp', url, disabled: true, headers: { 'X-Me': '1' } } } })
  const { text, name } = merge(before, 'cline')
  expect(name).toBe('mine')
  expect(parse('cline', text).mcpServers).toEqual({
    mine: expect.objectContaining({ disabled: true, timeout: 300, headers: { 'X-Me': '1', Authorization: expect.any(String) } }),
  })
})

it('another server of that name is left alone, unless people say otherwise', () => {
  const before = '{ "mcpServers": { "serena": { "command": "uvx", "args": ["serena"] } } }'
  expect(() => merge(before, 'cursor')).toThrowError(expect.objectContaining({ code: 'client-entry-taken' }))
  expect(Object.keys(parse('cursor', merge(before, 'cursor', {}, { name: 'far' }).text).mcpServers)).toEqual(['serena', 'far'])
  expect(parse('cursor', merge(before, 'cursor', {}, { replace: true }).text).mcpServers.serena).toEqual(clients.cursor.entry(wanted))
})

it.each([
  ['no JSON', '{ "mcpServers": {', 'cursor'],
  ['no object', '[]', 'cursor'],
  ['servers that are a list', '{ "mcpServers": [] }', 'cursor'],
  ['a key twice', '{ "mcpServers": {}, "mcpServers": {} }', 'cursor'],
  ['inputs that are no list', '{ "inputs": {} }', 'vscode'],
  ['no TOML', 'a = = 1', 'codex'],
] as const)('a file with %s is refused', (_, text, client) => {
  expect(() => merge(text, client)).toThrowError(expect.objectContaining({ code: 'client-file-unfit' }))
})

it('whatever else is in a file, it is the same afterwards, and once is enough', () => {
  const key = fc.string({ minLength: 1, maxLength: 8 }).filter((one) => one !== '__proto__')
  const others = fc.dictionary(key, fc.record({ command: fc.string(), args: fc.array(fc.string()) }))
  fc.assert(
    fc.property(
      fc.dictionary(key, fc.jsonValue({ maxDepth: 2 })),
      others,
      fc.constantFrom<ClientName>('cursor', 'vscode', 'zed', 'claude-desktop'),
      fc.constantFrom(undefined, 2, 4, '\t'),
      (rest, servers, client, space) => {
        const { inputs: _, serena: __, ...more } = rest
        const document = JSON.parse(JSON.stringify({ ...more, [clients[client].servers]: servers })) as Record<string, unknown>
        fc.pre(!Object.hasOwn(servers, 'serena'))
        const before = JSON.stringify(document, null, space)
        const { text } = merge(before, client)
        const rendered = renderClient(client, wanted).document as Record<string, any>
        expect(JSON.parse(text)).toEqual({
          ...document,
          ...rendered,
          [clients[client].servers]: { ...servers, ...rendered[clients[client].servers] },
        })
        expect(merge(text, client)).toMatchObject({ changed: false, text })
      },
    ),
    { numRuns: 100 },
  )
})

it('a diff tells the lines that differ, and none of the rest', () => {
  expect(diffLines('a\nsecret\nb\n', 'a\nsecret\nc\n')).toEqual(['@@ line 3 @@', '- b', '+ c'])
  expect(diffLines('1\nsecret\n2\n', 'x\nsecret\ny\n')).toEqual(['@@ line 1 @@', '- 1', '+ x', '  …', '- 2', '+ y'])
  expect(diffLines('a\n', 'a\n')).toEqual([])
})
