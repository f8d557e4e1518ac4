/** `golden setup` as an administrator meets it: first contact, other people's tokens, hosts that say nothing. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { createServer as createHttpsServer, request as httpsRequest } from 'node:https'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { networkInterfaces, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { startLab, type Lab } from '../../lab/index.ts'
import { emptyBase, labSite, writeLabSite } from '../../demo/lab-site.ts'
import { makeAuthority, makeServerCertificate } from '../../settings/secrets/certificates.ts'
import type { SiteInput } from '../../settings/site.ts'

const project = resolve(import.meta.dirname, '../..')
let work: string
let lab: Lab
let base: { file: string; sha256: string }
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'golden-setup-'))
  lab = await startLab({ stateDir: join(work, 'lab'), driver: 'fake', authDelayMs: 10 })
  base = await emptyBase(join(work, 'base.qcow2'))
}, 60_000)
afterAll(async () => {
  await lab?.close()
  await rm(work, { recursive: true, force: true })
})
const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

interface Ended {
  readonly code: number
  readonly stderr: string
  readonly document: {
    readonly errors?: readonly { readonly code: string; readonly message: string; readonly hint: string }[]
    readonly [key: string]: unknown
  }
}

/** A site folder without pinned certificate. */
async function siteFolder(name: string, change: (site: Record<string, any>) => void = () => {}): Promise<string> {
  const folder = join(work, name)
  const site = structuredClone(
    labSite(lab.connection, { name: 'shop', layout: 'one-vm', base, isoPath: join(work, 'shop-iso') }),
  ) as SiteInput & Record<string, any>
  change(site)
  await writeLabSite(folder, site, lab.connection)
  await rm(join(folder, 'secrets/proxmox-ca.pem'))
  return folder
}

function start(folder: string, ...args: string[]): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [join(project, 'golden.ts'), ...args, '--json'], {
    env: { ...process.env, GOLDEN_SITE: folder, CI: 'true', PROXMOX_ADMIN_PASSWORD: lab.connection.admin.password },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const ended = once(child, 'close').then(([code]) => ({ code: code as number, stderr, document: JSON.parse(stdout) as Ended['document'] }))
  return { child, ended }
}
const golden = (folder: string, ...args: string[]): Promise<Ended> => start(folder, ...args).ended
const setup = (folder: string, ...args: string[]): Promise<Ended> => golden(folder, 'setup', '--admin', 'admin@pve', ...args)

async function fingerprint(): Promise<string> {
  return new X509Certificate(await readFile(join(lab.connection.caFile, '../server.pem'))).fingerprint256
}

it('a fingerprint that is given has to fit, also once a certificate is pinned', async () => {
  const folder = await siteFolder('first')
  const other = Array(32).fill('AA').join(':')
  expect((await setup(folder, '--fingerprint', other)).document.errors?.[0]?.code).toBe('fingerprint-differs')
  // A plan changes nothing, here or on the host.
  const planned = async (): Promise<any> => (await setup(folder, '--fingerprint', await fingerprint(), '--plan')).document
  const plan = (await planned()).plan
  expect(plan).toMatchObject({
    problems: [],
    steps: expect.arrayContaining([expect.objectContaining({ command: expect.stringContaining('pool add') })]),
  })
  expect((await planned()).plan).toEqual(plan)
  await expect(readFile(join(folder, 'secrets/proxmox-ca.pem'))).rejects.toThrow('ENOENT')
  expect(await setup(folder, '--fingerprint', await fingerprint())).toMatchObject({ code: 0 })
  expect((await setup(folder, '--fingerprint', other)).document.errors?.[0]?.code).toBe('fingerprint-differs')
  expect((await setup(folder, '--fingerprint', (await fingerprint()).replaceAll(':', '').toLowerCase())).document).toMatchObject({
    steps: [],
  })
}, 60_000)

it('the token of another folder is revoked only on request', async () => {
  const first = join(work, 'first', 'secrets/proxmox-token')
  const before = await readFile(first, 'utf8')
  const second = await siteFolder('second')
  const refused = await setup(second, '--fingerprint', await fingerprint())
  expect(refused).toMatchObject({ code: 1, document: { errors: [{ code: 'token-exists', hint: expect.stringContaining('--new-token') }] } })
  expect((await golden(join(work, 'first'), 'status')).document.errors?.[0]).toBeUndefined()
  expect(await setup(second, '--new-token')).toMatchObject({ code: 0 })
  expect(await readFile(join(second, 'secrets/proxmox-token'), 'utf8')).not.toBe(before)
  expect((await golden(join(work, 'first'), 'status')).document.errors?.[0]).toMatchObject({
    code: 'not-authenticated',
    hint: expect.stringContaining('--new-token'),
  })
}, 60_000)

it('a token file of two lines is named as what is wrong; a byte order mark is none of its own', async () => {
  const file = join(work, 'second', 'secrets/proxmox-token')
  const secret = await readFile(file, 'utf8')
  try {
    await writeFile(file, `${secret}${secret}`)
    const { code, stderr, document } = await golden(join(work, 'second'), 'status')
    expect({ code, error: document.errors?.[0]?.code }).toEqual({ code: 1, error: 'secret-unfit' })
    expect(stderr).not.toContain(secret.trim())
    await writeFile(file, `\uFEFF${secret}`)
    expect((await golden(join(work, 'second'), 'status')).document.errors?.[0]).toBeUndefined()
  } finally {
    await writeFile(file, secret)
  }
}, 60_000)

it('with a wrong node nothing is done', async () => {
  const folder = await siteFolder('third', (site) => {
    Object.assign(site.proxmox, { node: 'pvx', tokenId: 'third@pve!golden', pool: 'third', depotPool: 'third-depots' })
  })
  const { document } = await setup(folder, '--fingerprint', await fingerprint())
  expect(document.errors?.[0]).toMatchObject({ code: 'node-missing', hint: expect.stringContaining('pve') })
  expect(JSON.stringify(await readFile(join(work, 'lab/pools.json'), 'utf8'))).not.toContain('third')
}, 60_000)

it('the printed script is one, and needs no host that answers', async () => {
  const folder = await siteFolder('printed', (site) => {
    site.proxmox.url = 'https://127.0.0.1:9'
  })
  const { code, document } = await golden(folder, 'setup', '--print')
  expect(code).toBe(0)
  expect(spawnSync('sh', ['-n'], { input: String(document.script) })).toMatchObject({ status: 0 })
  expect(document.script).toContain(join(folder, 'secrets/proxmox-token'))
}, 60_000)

it('a stop ends it while the host says nothing', async () => {
  const silent = createServer().listen(0, '127.0.0.1')
  servers.push(silent)
  await once(silent, 'listening')
  const connected = once(silent, 'connection')
  const folder = await siteFolder('silent', (site) => {
    site.proxmox.url = `https://127.0.0.1:${(silent.address() as AddressInfo).port}`
  })
  const { child, ended } = start(folder, 'setup', '--admin', 'admin@pve')
  const [socket] = (await connected) as [import('node:net').Socket]
  const asked = performance.now()
  child.kill('SIGTERM')
  expect(await ended).toMatchObject({ code: 130, document: { errors: [{ code: 'cancelled' }] } })
  // Long before the connection would be given up.
  expect(performance.now() - asked).toBeLessThan(10_000)
  socket.destroy()
}, 60_000)

const withoutIpv6 = !Object.values(networkInterfaces())
  .flat()
  .some((entry) => entry?.address === '::1')
it.skipIf(withoutIpv6)(
  'an IPv6 address is reached (needs ::1)',
  async () => {
    const pair = await makeServerCertificate(await makeAuthority('test', new Date()), ['::1'], new Date())
    const server = createHttpsServer({ cert: pair.certificate, key: pair.key }, (_request, response) => {
      response.writeHead(401, 'authentication failure').end()
    }).listen(0, '::1')
    servers.push(server)
    await once(server, 'listening')
    const folder = await siteFolder('six', (site) => {
      site.proxmox.url = `https://[::1]:${(server.address() as AddressInfo).port}`
    })
    const { document } = await setup(folder)
    const shown = /([0-9A-F]{2}:){31}[0-9A-F]{2}/.exec(document.errors?.[0]?.hint ?? '')?.[0]
    expect(shown).toBe(new X509Certificate(pair.certificate).fingerprint256)
    expect((await setup(folder, '--fingerprint', shown ?? '')).document.errors?.[0]).toMatchObject({
      code: 'admin-not-accepted',
      message: expect.stringContaining('admin@pve'),
    })
  },
  60_000,
)

it('a certificate for another name is refused before anybody is asked, and not pinned', async () => {
  const pair = await makeServerCertificate(await makeAuthority('test', new Date()), ['pve.lan'], new Date())
  const server = createHttpsServer({ cert: pair.certificate, key: pair.key }).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  const folder = await siteFolder('named', (site) => {
    site.proxmox.url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  const { document } = await setup(folder, '--fingerprint', new X509Certificate(pair.certificate).fingerprint256)
  expect(document.errors?.[0]).toMatchObject({ code: 'certificate-name', hint: expect.stringContaining('https://pve.lan:') })
  await expect(readFile(join(folder, 'secrets/proxmox-ca.pem'))).rejects.toThrow('ENOENT')
}, 60_000)

it('an administrator without a realm, or without a secret, is refused before anything is asked', async () => {
  const { document: secret } = await golden(await siteFolder('secret'), 'setup', '--admin', 'root@pam!setup')
  expect(secret.errors?.[0]).toMatchObject({ code: 'admin-secret-missing' })
  const { document } = await golden(await siteFolder('realm'), 'setup', '--admin', 'root')
  expect(document.errors?.[0]).toMatchObject({
    code: 'admin-malformed',
    message: '--admin root has no realm',
    hint: expect.stringContaining('root@pam'),
  })
}, 60_000)

const pinnedIn = (folder: string): Promise<string> => readFile(join(folder, 'secrets/proxmox-ca.pem'), 'utf8')

it("the CA is pinned, not the node's own certificate, which is renewed without anybody noticing", async () => {
  const folder = join(work, 'second')
  const ca = await readFile(lab.connection.caFile, 'utf8')
  expect((await pinnedIn(folder)).trim()).toBe(ca.trim())
  const before = await fingerprint()
  await lab.renewCertificate()
  expect(await fingerprint()).not.toBe(before)
  expect((await golden(folder, 'status')).document.errors?.[0]).toBeUndefined()
  expect(await setup(folder)).toMatchObject({ code: 0, document: { steps: [] } })
}, 60_000)

it("a site that has the node's certificate pinned gets the CA at the next setup; a CA that somebody pinned stays", async () => {
  const folder = join(work, 'second')
  const file = join(folder, 'secrets/proxmox-ca.pem')
  await writeFile(file, await readFile(join(lab.connection.caFile, '../server.pem')))
  const moved = await setup(folder)
  expect(moved).toMatchObject({ code: 0 })
  expect(moved.stderr).toContain('Lab virtual environment CA')
  const ca = (await pinnedIn(folder)).trim()
  expect(ca).toBe((await readFile(lab.connection.caFile, 'utf8')).trim())
  const bundle = `${ca}\n${(await makeAuthority('theirs', new Date())).certificate}`
  await writeFile(file, bundle)
  expect(await setup(folder)).toMatchObject({ code: 0 })
  expect(await pinnedIn(folder)).toBe(bundle)
}, 60_000)

it('a pin of what the host no longer has gives way to a fingerprint that somebody compared, and to nothing else', async () => {
  const folder = join(work, 'second')
  const other = (await makeServerCertificate(await makeAuthority('test', new Date()), ['127.0.0.1'], new Date())).certificate
  await writeFile(join(folder, 'secrets/proxmox-ca.pem'), other)
  expect((await setup(folder)).document.errors?.[0]?.code).toBe('certificate-not-trusted')
  expect(await pinnedIn(folder)).toBe(other)
  expect(await setup(folder, '--fingerprint', await fingerprint())).toMatchObject({ code: 0 })
  expect((await pinnedIn(folder)).trim()).toBe((await readFile(lab.connection.caFile, 'utf8')).trim())
}, 60_000)

/** The lab's API behind a certificate that somebody gave the node: what it presents, and the rest passed on. */
async function behind(pair: { certificate: string; key: string }): Promise<string> {
  const ca = await readFile(lab.connection.caFile)
  const server = createHttpsServer({ cert: pair.certificate, key: pair.key }, (request, response) => {
    const passed = httpsRequest(
      `${lab.connection.apiUrl}${request.url ?? ''}`,
      { method: request.method, headers: request.headers, ca, agent: false },
      (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.statusMessage, answer.headers)
        answer.pipe(response)
      },
    )
    passed.on('error', () => response.destroy())
    request.pipe(passed)
  }).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}`
}

it("of a chain of somebody else's CA its top is pinned; of one without a CA the certificate itself, and that is said", async () => {
  const authority = await makeAuthority('company', new Date())
  const pair = await makeServerCertificate(authority, ['127.0.0.1'], new Date())
  const own = pair.certificate.split(/(?<=-----END CERTIFICATE-----\n)/)[0] ?? ''
  for (const [name, presented, expected] of [
    ['chain', pair.certificate, authority.certificate],
    ['alone', own, own],
  ] as const) {
    const url = await behind({ certificate: presented, key: pair.key })
    const folder = await siteFolder(name, (site) => {
      Object.assign(site.proxmox, {
        url,
        tokenId: `${name}@pve!golden`,
        pool: name,
        depotPool: `${name}-depots`,
        storage: { ...site.proxmox.storage, iso: `${name}-iso`, isoPath: join(work, `${name}-iso`) },
      })
      for (const group of Object.values<any>(site.groups)) group.depot += name === 'chain' ? 500 : 600
    })
    const ended = await setup(folder, '--fingerprint', new X509Certificate(own).fingerprint256)
    expect(ended, ended.stderr).toMatchObject({ code: 0 })
    expect((await pinnedIn(folder)).trim()).toBe(expected.trim())
    expect(/neither presents nor tells of/.test(ended.stderr)).toBe(name === 'alone')
    expect((await golden(folder, 'status')).document.errors?.[0]).toBeUndefined()
  }
}, 120_000)

it('the datacenter firewall goes on only once what it closes was shown, and by an explicit yes', async () => {
  const folder = join(work, 'second')
  const firewall = async (): Promise<unknown> =>
    JSON.parse(await readFile(join(work, 'lab/firewall-cluster.json'), 'utf8').catch(() => '{}'))
  const before = await firewall()
  const refused = await setup(folder, '--enable-datacenter-firewall')
  expect(refused).toMatchObject({
    code: 1,
    document: {
      errors: [
        {
          code: 'firewall-not-confirmed',
          message: expect.stringMatching(
            /NFS, Ceph, a backup server.*\n[\s\S]*You come from 127\.0\.0\.1[\s\S]*into the IP set management/,
          ),
          hint: expect.stringContaining('--yes'),
        },
      ],
    },
  })
  expect(await firewall()).toEqual(before)
  const printed = await golden(folder, 'setup', '--print', '--enable-datacenter-firewall')
  expect(printed).toMatchObject({ code: 1, document: { errors: [{ code: 'firewall-not-confirmed' }] } })
  expect((await golden(folder, 'setup', '--print', '--enable-datacenter-firewall', '--yes')).document.script).toContain(
    'pvesh set /cluster/firewall/options --enable 1',
  )
  const agreed = await setup(folder, '--enable-datacenter-firewall', '--yes')
  expect(agreed).toMatchObject({ code: 0, document: { datacenterFirewall: true } })
  expect(agreed.stderr).toContain('NFS, Ceph')
  expect(await firewall()).toMatchObject({
    options: { enable: '1' },
    ipsets: { management: { entries: [{ cidr: expect.stringMatching(/^10\.77\.0\.0\/29$/) }] } },
  })
  expect(await setup(folder, '--enable-datacenter-firewall')).toMatchObject({ code: 0, document: { steps: [] } })
}, 120_000)

it('every place that names the option tells what it closes', async () => {
  const { firewallNotice } = await import('../../rollout/firewall.ts')
  const { verb } = await import('../../scripts/setup.ts')
  const texts = [firewallNotice('off') ?? '', `--enable-datacenter-firewall ${verb.optionHelp?.['enable-datacenter-firewall'] ?? ''}`]
  for (const file of ['README.md', 'README.ja.md', 'docs/operations.md', 'docs/security.md', 'docs/aws.md', 'docs/logging.md'])
    texts.push(...(await readFile(join(project, file), 'utf8')).split('\n'))
  const naming = texts.filter((text) => text.includes('--enable-datacenter-firewall'))
  expect(naming.length).toBeGreaterThan(3)
  for (const line of naming) expect(line).toMatch(/NFS.*Ceph/)
})
