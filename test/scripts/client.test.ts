/** `golden client`: standard output is the configuration and nothing else, files are changed with care, and what runs counts. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync, chmodSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { basic } from '../../clients/credential.ts'
import { accessOf, differsFromSite, lanNotes, type Access } from '../../clients/deployed.ts'
import { silent } from '../../core/progress.ts'
import { newRelease, noDeployment } from '../../releases/deployment.ts'
import { writePins } from '../../releases/pins.ts'
import { trustOf } from '../../clients/look-at-certificate.ts'
import { verb } from '../../scripts/client.ts'
import { initFolder, initSecrets } from '../../scripts/init.ts'
import { acme, type AcmeInput } from '../../settings/acme.ts'
import { loadSite } from '../../settings/load.ts'
import { secretFiles } from '../../settings/secrets/places.ts'
import type { Site } from '../../settings/site.ts'
import { startMcpServer, type McpServer } from '../demo/mcp-server.ts'
import { exampleSite } from '../images/example.ts'

let work: string
let folder: string
let site: Site
let password: string
let file: string

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'golden-client-'))
  folder = join(work, 'site')
  await initFolder(folder)
  site = await loadSite(folder)
  await initSecrets(site, folder, new Date())
  const [user] = site.serena.users
  if (user?.password.kind !== 'file') throw new Error('not in a file')
  password = readFileSync(join(folder, user.password.path), 'utf8').trim()
})
afterAll(() => rmSync(work, { recursive: true, force: true }))
beforeEach(() => {
  file = join(mkdtempSync(join(work, 'client-')), 'mcp.json')
})

interface Answer {
  readonly code: number
  readonly text: string
  readonly document: any
  /** What goes to standard error. */
  readonly said: string
}

async function run(words: readonly string[], flags: Record<string, string | boolean> = {}): Promise<Answer> {
  let [text, said]: [string, string] = ['', '']
  let document: unknown
  const hear = (line: string): void => void (said += `${line}\n`)
  const code = await verb.run({
    flags,
    arguments: words,
    env: { GOLDEN_SITE: folder },
    progress: { ...silent, info: hear, warn: hear },
    json: false,
    signal: new AbortController().signal,
    result: (shown, facts) => ([text, document] = [shown, facts]),
  })
  return { code, text, document, said }
}

const credential = (): string => basic(site.serena.users[0]!.name, password)
const beside = (): string[] => readdirSync(join(file, '..')).sort()

it('prints the configuration alone; where it goes, the password and the CA are told beside it', async () => {
  const { text, said, document } = await run(['cursor'])
  expect(JSON.parse(text)).toEqual(document.settings)
  expect(said).toMatch(/\.cursor\/mcp\.json.*--write/)
  expect(said).toMatch(/export SERENA_AUTHORIZATION="Basic \$\(printf .*secrets\/users\//)
  expect(said).toContain(`NODE_EXTRA_CA_CERTS=${join(folder, secretFiles.ca)}`)
  expect(text + said + JSON.stringify(document)).not.toContain(credential().slice(6))
  expect(text + said).not.toContain(password)
  expect((await run(['cursor'], { 'show-password': true })).text).toContain(credential())
})

it('a client that nobody knows, and a user', async () => {
  await expect(run(['emacs'])).rejects.toMatchObject({ code: 'client-unknown' })
  await expect(run(['cursor'], { user: 'nobody' })).rejects.toMatchObject({ code: 'user-unknown' })
  await expect(run(['json'], { write: true })).rejects.toMatchObject({ code: 'usage', hint: expect.stringContaining('--file') })
})

it('--plan shows the lines that would come and changes nothing; --write makes a file of its owner alone', async () => {
  const plan = await run(['cursor'], { plan: true, file, 'show-password': true })
  expect(plan.text).toContain('+   "mcpServers": {')
  expect(plan.text + JSON.stringify(plan.document)).not.toContain(credential().slice(6))
  expect(beside()).toEqual([])
  const done = await run(['cursor'], { write: true, file, 'show-password': true })
  expect(done.text + JSON.stringify(done.document)).not.toContain(credential().slice(6))
  expect(JSON.parse(readFileSync(file, 'utf8')).mcpServers.serena.headers.Authorization).toBe(credential())
  expect(statSync(file).mode & 0o777).toBe(0o600)
  expect(beside()).toEqual(['mcp.json'])
})

it('what was there is beside it, its mode is kept, a link stays one, and twice changes nothing', async () => {
  const real = join(file, '..', 'dotfiles.json')
  writeFileSync(real, '{\n  // mine\n  "mcpServers": {}\n}\n')
  chmodSync(real, 0o644)
  symlinkSync(real, file)
  expect(await run(['cursor'], { write: true, file })).toMatchObject({ code: 0, document: { changed: true } })
  const after = readFileSync(real, 'utf8')
  expect(after).toContain('// mine')
  expect(statSync(real).mode & 0o777).toBe(0o644)
  const [backup] = beside().filter((name) => name.includes('.before-golden-'))
  expect(readFileSync(join(file, '..', backup!), 'utf8')).toContain('"mcpServers": {}')
  const files = beside()
  expect(await run(['cursor'], { write: true, file })).toMatchObject({ code: 0, document: { changed: false, backup: null } })
  expect(beside()).toEqual(files)
  // With the password in it nobody else may read it any more.
  await run(['cursor'], { write: true, file, 'show-password': true })
  expect(statSync(real).mode & 0o777).toBe(0o600)
})

it('a file that does not parse, or is no UTF-8, stays as it is', async () => {
  for (const content of [Buffer.from('{ "mcpServers": '), Buffer.from([0xff, 0xfe, 0x7b, 0])]) {
    writeFileSync(file, content)
    await expect(run(['cursor'], { write: true, file })).rejects.toMatchObject({ code: 'client-file-unfit' })
    expect(readFileSync(file)).toEqual(content)
    expect(beside()).toEqual(['mcp.json'])
  }
})

it('tells people in the LAN how to get in where the public name leads nowhere', () => {
  const example = exampleSite(() => {})
  const { service } = example.groups.serena!
  const notes = (other: Site): string[] => lanNotes(accessOf(other, noDeployment))
  expect(notes(example)).toEqual([expect.stringContaining(`put ${service} in the place of ${example.public.host}.`)])
  const own = {
    ...example,
    public: { ...example.public, certificate: { chainFile: 'x.pem', key: { kind: 'file' as const, path: 'x.key' } } },
  }
  expect(notes(own)).toEqual([expect.stringContaining(`lead ${example.public.host} to ${service}`)])
  expect(notes({ ...example, public: { ...example.public, host: service } })).toEqual([])
})

it('what runs counts, not what the site says by now: name, transports, users, and whose certificate it is', async () => {
  const release = newRelease(site, 'serena', 'blue', {
    id: '0123456789ab',
    created: new Date(),
    image: { vmid: 9001, name: 'x', fingerprint: 'f'.repeat(64) },
  })
  const deployment = { schema: 1 as const, groups: { serena: { active: 'blue' as const, slots: { blue: release } } } }
  const edited: Site = {
    ...site,
    public: { ...site.public, host: 'new.example.org', certificate: { chainFile: 'x.pem', key: { kind: 'file', path: 'x.key' } } },
    serena: { ...site.serena, transports: ['sse'] },
  }
  const access = accessOf(edited, deployment)
  expect(access).toMatchObject({ public: { host: site.public.host }, transports: site.serena.transports, ownCertificate: false })
  expect(differsFromSite(access, edited)).toEqual([expect.stringMatching(/new\.example\.org.*golden rollout serena/)])
  expect(differsFromSite(access, site)).toEqual([])
})

it('SSE alone is not for a client that does not speak it', async () => {
  const release = newRelease({ ...site, serena: { ...site.serena, transports: ['sse'] } }, 'serena', 'blue', {
    id: '0123456789ab',
    created: new Date(),
    image: { vmid: 9001, name: 'x', fingerprint: 'f'.repeat(64) },
  })
  await writePins(folder, { schema: 1, groups: { serena: { active: 'blue', slots: { blue: release } } } })
  await expect(run(['codex'])).rejects.toMatchObject({ code: 'client-without-sse' })
  expect((await run(['cursor'])).text).toContain('/sse')
  await writePins(folder, noDeployment)
})

it('--check asks where the pin says, with the password and the CA of the site folder, and ends with 0 or 1', async () => {
  const server: McpServer = await startMcpServer('yes')
  const ca = join(folder, secretFiles.ca)
  const before = readFileSync(ca, 'utf8')
  try {
    server.passwords = { [site.serena.users[0]!.name]: password }
    server.offered = [{ name: 'initial_instructions', inputSchema: { type: 'object' } }]
    writeFileSync(ca, server.caPem)
    const elsewhere: { -readonly [Key in keyof Site]: Site[Key] } = {
      ...site,
      public: { ...site.public, host: 'localhost', httpsPort: server.port, httpPort: 9 },
    }
    elsewhere.serena = { ...site.serena, transports: ['streamable-http'] }
    const release = newRelease(elsewhere, 'serena', 'blue', {
      id: '0123456789ab',
      created: new Date(),
      image: { vmid: 9001, name: 'x', fingerprint: 'f'.repeat(64) },
    })
    await writePins(folder, { schema: 1, groups: { serena: { active: 'blue', slots: { blue: release } } } })
    const good = await run([], { check: true })
    expect(good, good.text).toMatchObject({ code: 0, document: { ok: true, url: `https://localhost:${server.port}/` } })
    expect(good.text).toMatch(/^ok {6} call .*initial_instructions/m)
    expect(good.text + JSON.stringify(good.document)).not.toContain(password)
    server.passwords = { [site.serena.users[0]!.name]: 'another' }
    const bad = await run([], { check: true })
    expect(bad).toMatchObject({ code: 1, document: { ok: false } })
    expect(bad.text).toMatch(/^failed {2} password .*refused.*\n +→ .*golden rollout serena/m)
  } finally {
    writeFileSync(ca, before)
    await writePins(folder, noDeployment)
    await server.close()
  }
})

it('with an ACME server clients trust whom systems trust, or the CA that the site names', async () => {
  const origin = { id: '0123456789ab', created: new Date(), image: { vmid: 9000, name: 'golden', fingerprint: 'f' } }
  const deployedWith = (settings: AcmeInput): Access => {
    const wanted = exampleSite((input) => {
      input.public.certificate = acme(settings)
    })
    const release = newRelease(wanted, 'serena', 'blue', origin)
    // What runs counts, not what the site says by now.
    return accessOf(exampleSite(), { schema: 1, groups: { serena: { active: 'blue', slots: { blue: release } } } })
  }
  const [plain, named] = [deployedWith({}), deployedWith({ server: 'https://ca.lan/dir', rootFile: 'root.pem' })]
  expect([plain.acme, plain.ownCertificate]).toEqual([{}, false])
  expect(named.acme).toEqual({ rootFile: 'root.pem' })
  expect(await trustOf(folder, plain)).toEqual({ by: 'computer', acme: true })
  writeFileSync(join(folder, 'root.pem'), readFileSync(join(folder, secretFiles.ca)))
  expect(await trustOf(folder, named)).toMatchObject({ by: 'root', file: join(folder, 'root.pem') })
  // Its certificate has the name alone.
  expect(lanNotes(plain)[0]).toContain('hosts file')
  expect(accessOf(exampleSite(), noDeployment).acme).toBeUndefined()
})
