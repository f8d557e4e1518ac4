/** `golden client --check` against servers on this computer: each step's failure comes true, and is told with what mends it. */
import { once } from 'node:events'
import { createServer as createPlain } from 'node:http'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { checkClient, getsIn, type Checked } from '../../clients/check.ts'
import type { Access } from '../../clients/deployed.ts'
import type { Trust } from '../../clients/look-at-certificate.ts'
import type { Step } from '../../clients/step.ts'
import { makeAuthority } from '../../settings/secrets/certificates.ts'
import { startMcpServer, type McpServer } from '../demo/mcp-server.ts'

let server: McpServer
let plain: Server
let closedPort: number
const tool = (name: string, more: object = {}): object => ({ name, inputSchema: { type: 'object' }, ...more })

beforeAll(async () => {
  server = await startMcpServer('here it is')
  plain = createPlain((asked, answer) => {
    answer.writeHead(301, { Location: `https://localhost:${server.port}${asked.url}` }).end()
  })
  await once(plain.listen(0, '127.0.0.1'), 'listening')
  const gone = createServer()
  await once(gone.listen(0, '127.0.0.1'), 'listening')
  closedPort = (gone.address() as AddressInfo).port
  gone.close()
})
afterAll(async () => {
  await server?.close()
  plain?.close()
})
beforeEach(() => {
  server.passwords = { me: 'secret' }
  server.offered = [tool('create_text_file'), tool('initial_instructions')]
  server.status = undefined
})

const access = (more: Partial<Access['public']> = {}, transports: Access['transports'] = ['streamable-http']): Access => ({
  deployed: undefined,
  public: { host: 'localhost', httpsPort: server.port, httpPort: (plain.address() as AddressInfo).port, ...more },
  transports,
  users: ['me'],
  ownCertificate: false,
  service: '192.168.1.50',
})
const trust = (more: Partial<Extract<Trust, { by: 'site' }>> = {}): Trust => ({
  by: 'site',
  pem: server.caPem,
  file: '/site/ca.pem',
  ...more,
})
const check = (more: Partial<Checked> = {}): Promise<Step[]> =>
  checkClient({ access: access(), trust: trust(), user: 'me', password: 'secret', ...more }, { timeoutMs: 5000 })
/** The step at which it ended, with what was said. */
async function endsAt(more: Partial<Checked>): Promise<Step> {
  const steps = await check(more)
  expect(getsIn(steps)).toBe(false)
  const last = steps.findLast(({ state }) => state === 'failed')!
  expect(last.mend).toBeTruthy()
  return last
}

it('goes all the way: name, port, certificate, redirect, both passwords, MCP and a tool that only tells something', async () => {
  const heard: string[] = []
  const steps = await checkClient(
    { access: access(), trust: trust(), user: 'me', password: 'secret' },
    { onStep: ({ name }) => heard.push(name) },
  )
  expect(steps.map(({ name, state }) => `${name} ${state}`)).toEqual([
    'name ok',
    'connection ok',
    'certificate ok',
    'plain HTTP ok',
    'wrong password ok',
    'password ok',
    'initialize ok',
    'tools ok',
    'call ok',
  ])
  expect(heard).toEqual(steps.map(({ name }) => name))
  expect(getsIn(steps)).toBe(true)
  expect(server.tools.at(-1)).toBe('initial_instructions')
  expect(JSON.stringify(steps)).not.toContain('secret')
})

it('a name that nobody knows, and a port where nothing listens', async () => {
  expect(await endsAt({ access: access({ host: 'no.such.name.invalid' }) })).toMatchObject({
    name: 'name',
    mend: expect.stringMatching(/public\.host.*192\.168\.1\.50/),
  })
  expect(await endsAt({ access: access({ httpsPort: closedPort }) })).toMatchObject({
    name: 'connection',
    detail: expect.stringContaining('refuses'),
    mend: expect.stringMatching(/router forwards TCP/),
  })
})

it('a port that does not speak TLS, one that says nothing, and a certificate of somebody else', async () => {
  const { port } = plain.address() as AddressInfo
  expect(await endsAt({ access: access({ httpsPort: port }) })).toMatchObject({
    name: 'certificate',
    detail: expect.stringContaining('TLS'),
  })
  const silent = createServer(() => {})
  await once(silent.listen(0, '127.0.0.1'), 'listening')
  const steps = await checkClient(
    { access: access({ httpsPort: (silent.address() as AddressInfo).port }), trust: trust(), user: 'me', password: 'secret' },
    { timeoutMs: 200 },
  )
  expect(steps.at(-1)).toMatchObject({ name: 'certificate', state: 'failed', detail: expect.stringContaining('no answer within') })
  silent.close()
  const other = await makeAuthority('other', new Date(), ['localhost'])
  expect(await endsAt({ trust: trust({ pem: other.certificate }) })).toMatchObject({
    name: 'certificate',
    detail: expect.stringMatching(/not by the site's CA .*"test"/),
    mend: expect.stringContaining('/site/ca.pem'),
  })
  expect(await endsAt({ trust: trust({ pem: other.certificate, before: server.caPem }) })).toMatchObject({
    detail: expect.stringContaining('CA of before'),
    mend: expect.stringContaining('golden rollout'),
  })
  expect(await endsAt({ trust: { by: 'computer' } })).toMatchObject({ detail: expect.stringContaining('trusts nobody') })
})

it('a certificate for another name, one that has ended, and one that ends soon', async () => {
  const day = 86_400_000
  const at = async (options: Parameters<typeof startMcpServer>[1], work: (one: McpServer) => Promise<void>): Promise<void> => {
    const one = await startMcpServer('', options)
    one.passwords = { me: 'secret' }
    try {
      await work(one)
    } finally {
      await one.close()
    }
  }
  await at({ name: 'other.example.org' }, async (one) => {
    expect(await endsAt({ access: access({ httpsPort: one.port }), trust: trust({ pem: one.caPem }) })).toMatchObject({
      name: 'certificate',
      detail: 'the certificate is not for localhost, but for other.example.org',
    })
  })
  await at({ made: new Date(Date.now() - 900 * day) }, async (one) => {
    expect(await endsAt({ access: access({ httpsPort: one.port }), trust: trust({ pem: one.caPem }) })).toMatchObject({
      name: 'certificate',
      detail: expect.stringContaining('has ended'),
      mend: expect.stringMatching(/golden init.*golden rollout/),
    })
  })
  await at({ made: new Date(Date.now() - 815 * day) }, async (one) => {
    const steps = await check({ access: access({ httpsPort: one.port }), trust: trust({ pem: one.caPem }) })
    expect(steps[2]).toMatchObject({ state: 'warned', detail: expect.stringMatching(/ends soon/) })
    expect(steps.length).toBeGreaterThan(4)
  })
})

it('port 80: another server is a warning, and nobody there is no fault', async () => {
  const steps = await check({ access: access({ httpPort: server.port }) })
  expect(steps.find(({ name }) => name === 'plain HTTP')?.state).toMatch(/warned|skipped/)
  const without = await check({ access: access({ httpPort: closedPort }) })
  expect(without.find(({ name }) => name === 'plain HTTP')).toMatchObject({ state: 'skipped' })
  expect(getsIn(without)).toBe(true)
})

it('a server that asks for no password, and one that refuses the right one, because it was given another', async () => {
  server.passwords = undefined
  expect(await endsAt({})).toMatchObject({ name: 'wrong password', detail: expect.stringContaining('anybody') })
  server.passwords = { me: 'another' }
  expect(await endsAt({})).toMatchObject({ name: 'password', detail: 'the password of me is refused (401)' })
  expect(await endsAt({ stale: 'The VM was given another one: "npx golden rollout serena".' })).toMatchObject({
    mend: 'The VM was given another one: "npx golden rollout serena".',
  })
})

it('a server without Serena behind it, one without tools, and a tool that fails', async () => {
  server.status = 503
  expect(await endsAt({})).toMatchObject({ name: 'initialize', detail: expect.stringContaining('503') })
  server.status = undefined
  server.offered = []
  expect(await endsAt({})).toMatchObject({ name: 'tools' })
  server.offered = [tool('initial_instructions')]
  server.fates.push('tool-error')
  expect(await endsAt({})).toMatchObject({ name: 'call', detail: expect.stringContaining('no such file') })
})

it('calls no tool that could change something', async () => {
  server.offered = [
    tool('create_text_file'),
    tool('read_file', { annotations: { readOnlyHint: true }, inputSchema: { type: 'object', required: ['relative_path'] } }),
  ]
  expect((await check()).at(-1)).toMatchObject({ name: 'call', state: 'skipped' })
  server.offered = [...server.offered, tool('tell', { annotations: { readOnlyHint: true } })]
  await check()
  expect(server.tools.at(-1)).toBe('tell')
})

it('SSE is tried where it is deployed, and its absence is told', async () => {
  const steps = await check({ access: access({}, ['streamable-http', 'sse']) })
  expect(steps.at(-1)).toMatchObject({ name: 'sse', state: 'failed', mend: expect.stringContaining('serena.transports') })
})

it("an ACME server's certificate: by the CA that the site names, or by nobody yet", async () => {
  const steps = await check({ trust: { by: 'root', pem: server.caPem, file: '/site/root.pem' } })
  expect(getsIn(steps)).toBe(true)
  expect(steps[2]).toMatchObject({ name: 'certificate', state: 'ok', detail: expect.stringContaining('public.certificate.rootFile') })
  const other = await makeAuthority('other', new Date(), ['localhost'])
  for (const trust of [
    { by: 'root', pem: other.certificate, file: '/site/root.pem' },
    { by: 'computer', acme: true },
  ] as const)
    expect(await endsAt({ trust })).toMatchObject({
      name: 'certificate',
      detail: expect.stringContaining('it is by "test"'),
      mend: expect.stringContaining('"npx golden status" says why'),
    })
})
