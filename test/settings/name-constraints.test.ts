/** The site's CA is trusted for the site's names and for no others, whoever asks: OpenSSL, Node, Go. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { isIP, type AddressInfo } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, createServer } from 'node:tls'
import 'reflect-metadata'
import { X509Certificate } from '@peculiar/x509'
import { afterAll, describe, expect, it } from 'vitest'
import { makeAuthority, makeServerCertificate, type PemPair } from '../../settings/secrets/certificates.ts'
import { namesOutside, permittedNames } from '../../settings/secrets/name-constraints.ts'

const folder = mkdtempSync(join(tmpdir(), 'golden-names-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Leaves that a thief of the key would make, and those of the site. */
const leaves: readonly (readonly [names: readonly [string, ...string[]], asked: string])[] = [
  [['serena.example.org', '192.168.1.50'], 'serena.example.org'],
  [['serena.example.org', '192.168.1.50'], '192.168.1.50'],
  [['192.168.1.60', '192.168.1.61', '192.168.1.62'], '192.168.1.60'],
  [['example.org'], 'example.org'],
  [['www.example.org'], 'www.example.org'],
  [['notserena.example.org'], 'notserena.example.org'],
  [['serena.example.org', 'bank.example.com'], 'bank.example.com'],
  [['192.168.1.1'], '192.168.1.1'],
  [['192.168.1.50', '8.8.8.8'], '8.8.8.8'],
  [['::1'], '::1'],
]

const opensslAccepts = (ca: string, leaf: string, asked: string): boolean =>
  spawnSync('openssl', [
    'verify',
    '-x509_strict',
    '-purpose',
    'sslserver',
    '-CAfile',
    ca,
    isIP(asked) === 0 ? '-verify_hostname' : '-verify_ip',
    asked,
    leaf,
  ]).status === 0

async function nodeAccepts(ca: string, pair: PemPair, asked: string): Promise<boolean> {
  const server = createServer({ key: pair.key, cert: pair.certificate }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const socket = connect({
      host: asked,
      port: (server.address() as AddressInfo).port,
      ca,
      ...(isIP(asked) === 0 ? { servername: asked } : {}),
      lookup: (_name, _options, done) => done(null, [{ address: '127.0.0.1', family: 4 }]),
      ...(isIP(asked) === 0
        ? {}
        : {
            host: '127.0.0.1',
            checkServerIdentity: (_host, certificate) =>
              certificate.subjectaltname?.includes(asked) === true ? undefined : new Error('another'),
          }),
    })
    return (await new Promise((resolve) => {
      socket.on('secureConnect', () => resolve(true)).on('error', () => resolve(false))
    }).finally(() => socket.destroy())) as boolean
  } finally {
    server.close()
  }
}

/** All at once: a program is compiled for it. */
function goAccepts(cases: readonly { ca: string; leaf: string; asked: string }[]): boolean[] {
  writeFileSync(
    join(folder, 'verify.go'),
    `package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
)

func main() {
	var cases []struct{ Ca, Leaf, Asked string }
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		panic(err)
	}
	results := []bool{}
	for _, one := range cases {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(one.Ca)) {
			panic("no CA")
		}
		block, _ := pem.Decode([]byte(one.Leaf))
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			panic(err)
		}
		_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: one.Asked})
		results = append(results, err == nil)
	}
	out, _ := json.Marshal(results)
	fmt.Println(string(out))
}
`,
  )
  return JSON.parse(
    execFileSync('go', ['run', '-trimpath', join(folder, 'verify.go')], {
      input: JSON.stringify(cases),
      encoding: 'utf8',
      env: { ...process.env, GOFLAGS: '', GOWORK: 'off', CGO_ENABLED: '0' },
    }),
  ) as boolean[]
}

/** Where the tools were built, Go has compiled its own library in the same way; elsewhere that takes minutes. */
const hasGo =
  existsSync(join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'serena-golden', 'tools', 'packer')) &&
  spawnSync('go', ['version']).status === 0

describe.each([
  [
    'with a host name',
    ['serena.example.org', '192.168.1.50', '192.168.1.51', '192.168.1.52', '192.168.1.60', '192.168.1.61', '192.168.1.62'],
    3,
  ],
  ['with an address alone', ['192.168.1.50', '192.168.1.60', '192.168.1.61', '192.168.1.62'], 1],
])('the CA of a site %s', (_, permitted, good) => {
  it('is accepted for its names and for no others', async () => {
    const authority = await makeAuthority('home serena-golden CA', new Date(), permitted)
    const ca = join(folder, 'ca.pem')
    writeFileSync(ca, authority.certificate)
    const wanted = leaves.map(([names]) => namesOutside(authority.certificate, names).length === 0)
    expect(wanted.filter(Boolean)).toHaveLength(good)
    const pairs = await Promise.all(leaves.map(([names]) => makeServerCertificate(authority, names, new Date())))
    const openssl: boolean[] = []
    const node: boolean[] = []
    for (const [at, [, asked]] of leaves.entries()) {
      writeFileSync(join(folder, 'leaf.pem'), pairs[at]!.certificate)
      openssl.push(opensslAccepts(ca, join(folder, 'leaf.pem'), asked))
      node.push(await nodeAccepts(authority.certificate, pairs[at]!, asked))
    }
    expect(openssl).toEqual(wanted)
    expect(node).toEqual(wanted)
    if (hasGo)
      expect(goAccepts(leaves.map(([, asked], at) => ({ ca: authority.certificate, leaf: pairs[at]!.certificate, asked })))).toEqual(wanted)
  }, 120_000)
})

it('the CA says so critically, signs no other CA, and certifies servers only', async () => {
  const { certificate } = await makeAuthority('home serena-golden CA', new Date(), ['serena.example.org', '192.168.1.50'])
  expect(permittedNames(certificate)).toEqual(['serena.example.org', '192.168.1.50'])
  expect(new X509Certificate(certificate).getExtension('2.5.29.30')?.critical).toBe(true)
  writeFileSync(join(folder, 'shown.pem'), certificate)
  const shown = execFileSync('openssl', ['x509', '-noout', '-text', '-in', join(folder, 'shown.pem')], { encoding: 'utf8' })
  expect(shown).toMatch(/CA:TRUE, pathlen:0/)
  expect(shown).toMatch(/Name Constraints: critical\s+Permitted:\s+DNS:serena\.example\.org\s+IP:192\.168\.1\.50\/255\.255\.255\.255\s/)
  expect(shown).toMatch(/TLS Web Server Authentication\s+X509v3/)
})
