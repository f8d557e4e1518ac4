import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, createServer } from 'node:tls'
import { afterAll, describe, expect, it } from 'vitest'
import { plainText } from '../../core/plain-text.ts'
import { checkOwnCertificate } from '../../settings/own-certificate.ts'

const folder = mkdtempSync(join(tmpdir(), 'own-certificate-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const host = 'serena.example.org'
const openssl = (...args: string[]): void => {
  execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] })
}
const read = (name: string): string => readFileSync(join(folder, name), 'utf8')
const ec = (name: string, curve = 'P-256'): void =>
  openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', `ec_paramgen_curve:${curve}`, '-out', `${name}.key`)
const rsa = (name: string, bits = 2048): void =>
  openssl('genpkey', '-algorithm', 'RSA', '-pkeyopt', `rsa_keygen_bits:${bits}`, '-out', `${name}.key`)

interface Wanted {
  readonly issuer?: string
  readonly names?: string
  readonly days?: string
  readonly ca?: boolean
  readonly more?: readonly string[]
  readonly hash?: string
}
function certify(name: string, { issuer, names = `DNS:${host}`, days = '30', ca = false, more = [], hash = 'sha256' }: Wanted = {}): void {
  const extensions = [
    `basicConstraints=critical,CA:${ca ? 'TRUE' : 'FALSE'}`,
    ...(ca || names === '' ? [] : [`subjectAltName=${names}`]),
    ...more,
  ]
  writeFileSync(join(folder, `${name}.ext`), `${extensions.join('\n')}\n`)
  openssl('req', '-new', '-key', `${name}.key`, '-subj', `/CN=${name}`, '-out', `${name}.csr`)
  const signer = issuer === undefined ? ['-signkey', `${name}.key`] : ['-CA', `${issuer}.pem`, '-CAkey', `${issuer}.key`, '-CAcreateserial']
  openssl('x509', '-req', '-in', `${name}.csr`, ...signer, '-days', days, `-${hash}`, '-extfile', `${name}.ext`, '-out', `${name}.pem`)
}
ec('root')
certify('root', { ca: true })
ec('middle')
certify('middle', { ca: true, issuer: 'root' })
ec('leaf')
certify('leaf', { issuer: 'middle' })
rsa('rsa')
certify('rsa', { issuer: 'root' })

/** As the product reads it: first the text, then what it says. */
function check(
  chain: string | Buffer,
  key: string | Buffer,
  name = host,
  now = new Date(),
): { readonly paths: string[]; readonly said: string; readonly pair: ReturnType<typeof checkOwnCertificate>['pair'] } {
  const texts = [plainText(Buffer.from(chain), 'pem'), plainText(Buffer.from(key), 'pem')] as const
  const unread = texts.flatMap((text, index) => (text.ok ? [] : [{ path: index === 0 ? 'chain' : 'key', message: text.problem }]))
  const { problems, pair } = checkOwnCertificate(
    texts[0].ok ? texts[0].text : undefined,
    texts[1].ok ? texts[1].text : undefined,
    name,
    now,
  )
  const all = [...unread, ...problems]
  return {
    paths: all.map(({ path }) => path.replace('public.certificate.', '').replace('chainFile', 'chain')),
    said: all.map(({ message }) => message).join('\n'),
    pair,
  }
}

describe('what is fine, and serves', () => {
  const bag = (text: string): string => `Bag Attributes\n    friendlyName: x\nsubject=CN=x\n${text}`
  openssl('ecparam', '-name', 'prime256v1', '-genkey', '-out', 'old.key')
  certify('old')
  for (const curve of ['P-384', 'P-521']) {
    ec(curve, curve)
    certify(curve)
  }
  openssl('genpkey', '-algorithm', 'ed25519', '-out', 'ed.key')
  certify('ed')
  openssl('rsa', '-in', 'rsa.key', '-traditional', '-out', 'rsa1.key')
  it.each<[string, string | Buffer, string]>([
    ['leaf, then its issuer', read('leaf.pem') + read('middle.pem'), read('leaf.key')],
    ['with the root', read('leaf.pem') + read('middle.pem') + read('root.pem'), read('leaf.key')],
    ["RSA from a CA of one's own, which is not sent", read('rsa.pem'), read('rsa.key')],
    ['a key in the older form of RSA', read('rsa.pem'), read('rsa1.key')],
    ['self-signed, with EC parameters before the key', read('old.pem'), read('old.key')],
    ['P-384', read('P-384.pem'), read('P-384.key')],
    ['P-521', read('P-521.pem'), read('P-521.key')],
    ['Ed25519', read('ed.pem'), read('ed.key')],
    [
      'lines of Windows, a byte order mark, and what openssl prints between',
      `\ufeff${bag(read('leaf.pem'))}${bag(read('middle.pem'))}`.replaceAll('\n', '\r\n'),
      `\ufeff${bag(read('leaf.key'))}`.replaceAll('\n', '\r\n'),
    ],
    ['key and certificates in one file', read('leaf.key') + read('leaf.pem') + read('middle.pem'), read('leaf.key') + read('leaf.pem')],
  ])('%s', async (_what, chain, key) => {
    const { said, pair } = check(chain, key)
    expect(said).toBe('')
    expect(pair?.certificate).not.toMatch(/\r|PRIVATE|\ufeff/)
    // A handshake with exactly what the VM gets.
    const server = createServer({ cert: pair?.certificate ?? '', key: pair?.key ?? '' }, (socket) => {
      socket.end('hello')
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    const ca = [read('root.pem'), read('old.pem'), read('P-384.pem'), read('P-521.pem'), read('ed.pem')]
    const socket = connect({ host: '127.0.0.1', port, servername: host, ca })
    await once(socket, 'secureConnect')
    expect(socket.authorized).toBe(true)
    socket.destroy()
    server.close()
  })

  it('a wildcard, and an address', () => {
    certify('leaf', { issuer: 'middle', names: 'DNS:*.example.org,IP:192.0.2.7' })
    for (const name of [host, '192.0.2.7']) expect(check(read('leaf.pem') + read('middle.pem'), read('leaf.key'), name).said).toBe('')
    for (const name of ['example.org', 'a.serena.example.org', '192.0.2.8'])
      expect(check(read('leaf.pem') + read('middle.pem'), read('leaf.key'), name).paths).toEqual(['chain'])
    certify('leaf', { issuer: 'middle' })
  })
})

describe('what would break HTTPS is refused', () => {
  rsa('short', 1024)
  certify('short')
  ec('k1', 'secp256k1')
  certify('k1')
  openssl('genpkey', '-algorithm', 'RSA-PSS', '-pkeyopt', 'rsa_keygen_bits:2048', '-out', 'pss.key')
  certify('pss')
  ec('weak')
  certify('weak', { issuer: 'root', hash: 'sha1' })
  ec('nameless')
  certify('nameless', { names: '' })
  ec('mail')
  certify('mail', { names: 'DNS:mail.example.org' })
  ec('client')
  certify('client', { more: ['extendedKeyUsage=clientAuth'] })
  ec('lonely')
  certify('lonely', { issuer: 'middle', more: ['authorityInfoAccess=caIssuers;URI:http://ca.example.org/middle.der'] })
  openssl('pkcs8', '-topk8', '-in', 'leaf.key', '-passout', 'pass:x', '-out', 'locked.key')
  openssl('rsa', '-in', 'rsa.key', '-aes128', '-passout', 'pass:x', '-traditional', '-out', 'locked1.key')
  openssl('x509', '-in', 'leaf.pem', '-outform', 'DER', '-out', 'leaf.der')
  openssl('pkcs12', '-export', '-in', 'leaf.pem', '-inkey', 'leaf.key', '-passout', 'pass:x', '-out', 'leaf.p12')
  openssl('crl2pkcs7', '-nocrl', '-certfile', 'leaf.pem', '-out', 'leaf.p7b')
  openssl('x509', '-in', 'leaf.pem', '-trustout', '-out', 'trusted.pem')
  openssl('pkey', '-in', 'leaf.key', '-pubout', '-out', 'leaf.pub')
  const chain = read('leaf.pem') + read('middle.pem')
  const key = read('leaf.key')
  it.each<[string, string | Buffer, string | Buffer, string[], RegExp]>([
    ['another key', read('rsa.pem'), key, ['key'], /not the key of rsa/],
    ['the chain before the leaf', read('middle.pem') + read('leaf.pem'), key, ['chain', 'chain'], /put it first/],
    [
      'an order that is wrong further on',
      read('leaf.pem') + read('root.pem') + read('middle.pem'),
      key,
      ['chain'],
      /number 2, root, did not sign/,
    ],
    ['a stray certificate', chain + read('rsa.pem'), key, ['chain'], /number 3/],
    ['the leaf alone of a public CA', read('lonely.pem'), read('lonely.key'), ['chain'], /fullchain/],
    [
      'another name',
      read('mail.pem'),
      read('mail.key'),
      ['chain'],
      /not for public\.host serena\.example\.org, but for DNS:mail\.example\.org/,
    ],
    ['a common name alone', read('nameless.pem'), read('nameless.key'), ['chain'], /does not count/],
    ['a certificate for clients', read('client.pem'), read('client.key'), ['chain'], /serverAuth/],
    ['a short RSA key', read('short.pem'), read('short.key'), ['chain'], /1024 bits/],
    ['a curve that Go does not take', read('k1.pem'), read('k1.key'), ['chain'], /secp256k1/],
    ['RSA-PSS', read('pss.pem'), read('pss.key'), ['chain'], /rsa-pss/],
    ['SHA-1', read('weak.pem'), read('weak.key'), ['chain'], /sha1/i],
    ['a pass phrase', chain, read('locked.key'), ['key'], /pass phrase/],
    ['a pass phrase of the older form', read('rsa.pem'), read('locked1.key'), ['key'], /pass phrase/],
    ['a public key', chain, read('leaf.pub'), ['key'], /no private key/],
    ['a certificate for a key', chain, chain, ['key'], /no private key/],
    ['half a key', chain, key.replace(/\n.{20}/, '\n'), ['key'], /not whole/],
    ['DER', readFileSync(join(folder, 'leaf.der')), key, ['chain'], /DER or PKCS#12/],
    ['PKCS#12', readFileSync(join(folder, 'leaf.p12')), key, ['chain'], /DER or PKCS#12/],
    ['PKCS#7', read('leaf.p7b'), key, ['chain'], /PKCS#7/],
    ["OpenSSL's own form", read('trusted.pem'), key, ['chain'], /not whole/],
    ['UTF-16', Buffer.from(`\ufeff${chain}`, 'utf16le'), key, ['chain'], /UTF-16/],
    ['half a certificate', chain.replace('-----END CERTIFICATE-----', ''), key, ['chain'], /not whole/],
    ['letters that are none of it', chain.replace(/\n.{20}/, '\n!!!!!!!!!!!!!!!!!!!!'), key, ['chain'], /no certificate/],
    ['a key for a certificate', key, key, ['chain'], /no certificate/],
    ['nothing', '\n', '', ['chain', 'key'], /is empty/],
    ['all at once', read('mail.pem'), read('locked.key'), ['chain', 'key'], /not for public\.host[\s\S]*pass phrase/],
  ])('%s', (_what, certificate, privateKey, paths, message) => {
    const { paths: found, said, pair } = check(certificate, privateKey)
    expect({ found, said }).toEqual({ found: paths, said: expect.stringMatching(message) })
    expect(pair).toBeUndefined()
    expect(said).not.toMatch(/BEGIN PRIVATE|[A-Za-z0-9+/]{40}/)
  })

  it('one that has ended, or not begun, of the chain too', () => {
    const day = 86_400_000
    expect(check(chain, key, host, new Date(Date.now() + 31 * day)).said).toMatch(/^has ended on .*\nnumber 2, middle, has ended/)
    expect(check(chain, key, host, new Date(Date.now() - 2 * day)).said).toMatch(/not valid before/)
  })
})
