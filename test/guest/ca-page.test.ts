/** The page with the site's CA: what it says is so, and its instructions work, as far as a Debian can tell. */
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { run } from '../../core/child.ts'
import { caPage, isSignedBy } from '../../images/guest/ca-page.ts'
import { inRoot, rootPath } from '../../lab/debian/root.ts'
import { makeAuthority, makeServerCertificate } from '../../settings/secrets/certificates.ts'

const folder = await rootPath()
const noRoot = process.getuid?.() !== 0 || !existsSync(folder)
const now = new Date()
const names = ['localhost', '127.0.0.1'] as const

let place: string
let server: Server
let url: string
let page: string
let file: string

beforeAll(async () => {
  place = mkdtempSync(join(tmpdir(), 'golden-ca-'))
  const authority = await makeAuthority('home & serena-golden CA', now, names)
  const pair = await makeServerCertificate(authority, [...names], now)
  file = join(place, 'ca.crt')
  writeFileSync(file, authority.certificate)
  page = caPage({ ca: authority.certificate, host: 'localhost', signsHost: isSignedBy(pair.certificate, authority.certificate) }) ?? ''
  server = createServer({ cert: pair.certificate, key: pair.key }, (_, answer) => answer.end('trusted'))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  url = `https://localhost:${(server.address() as AddressInfo).port}/`
})
afterAll(() => {
  server?.close()
  if (place) rmSync(place, { recursive: true, force: true })
})

/** What the page says to type. */
const commands = (system: string): string[] => {
  const part = new RegExp(`<summary>${system}.*?</details>`, 's').exec(page)?.[0] ?? ''
  return [...part.matchAll(/<code>(.*?)<\/code>/g)].map(([, text]) => text ?? '')
}

it('names the CA, its end and its fingerprint, and nothing in it is taken for HTML', async () => {
  const ca = new X509Certificate(readFileSync(file))
  expect(page).toContain('home &amp; serena-golden CA')
  expect(page.split(ca.fingerprint256.replaceAll(':', ':<wbr>'))).toHaveLength(3)
  expect(page).toContain(ca.validToDate.toISOString().slice(0, 10))
  // Both languages have every system.
  expect(page.match(/<summary>/g)).toHaveLength(12)
})

it('there is none for what is no certificate', () => {
  expect(caPage({ ca: 'certificate\n', host: 'localhost', signsHost: true })).toBeUndefined()
  expect(isSignedBy('certificate\n', 'certificate\n')).toBe(false)
})

it('Node: a client trusts it by NODE_EXTRA_CA_CERTS, and not without', async () => {
  const [variable] = commands('Node.js')
  expect(variable).toBe('NODE_EXTRA_CA_CERTS=/path/to/ca.pem')
  const ask = (env: NodeJS.ProcessEnv) =>
    run(process.execPath, ['-e', `fetch('${url}').then(async (r) => console.log(await r.text()), (e) => console.log(e.cause.code))`], {
      env,
    })
  expect((await ask({})).stdout.trim()).toMatch(/UNABLE_TO_VERIFY|SELF_SIGNED|UNABLE_TO_GET/)
  expect((await ask({ NODE_EXTRA_CA_CERTS: file })).stdout.trim()).toBe('trusted')
})

describe.skipIf(noRoot)("Debian (needs root and the lab's Debian root in the cache)", () => {
  it('the commands of the page make the system trust it: curl, OpenSSL and Python', async () => {
    const steps = commands('Debian').map((text) => text.replace(/^sudo /, ''))
    expect(steps).toHaveLength(2)
    const look = `curl -sS ${url} 2>&1; echo
python3 -c "import urllib.request as u; print(u.urlopen('${url}').read().decode())" 2>&1 | tail -n 1`
    const { stdout } = await inRoot(
      { folder },
      ['sh', '-c', `cd /made; ${look}; ${steps.join(' > /dev/null; ')} > /dev/null; echo then; ${look}`],
      { binds: [{ from: place, to: '/made' }] },
    )
    const [before, after] = stdout.split('then\n')
    expect(before).not.toContain('trusted')
    expect(before).toMatch(/unable to get local issuer|self-signed/)
    expect(after?.trim().split(/\s+/)).toEqual(['trusted', 'trusted'])
  }, 60_000)
})
