/** An HTTPS server on this computer with a certificate that it has signed itself. */
import { webcrypto } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import 'reflect-metadata'
import { cryptoProvider, PemConverter, SubjectAlternativeNameExtension, X509CertificateGenerator } from '@peculiar/x509'

export type Answer = (request: IncomingMessage, response: ServerResponse) => void

export interface TlsServer {
  readonly server: Server
  readonly caPem: string
  /** With its port. */
  readonly host: string
}

/** @param names that the certificate has besides this computer's address */
export async function serveTls(handle: Answer, names: readonly string[] = []): Promise<TlsServer> {
  cryptoProvider.set(webcrypto as typeof globalThis.crypto)
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: `CN=${webcrypto.randomUUID()}`,
    keys: keys as Required<typeof keys>,
    signingAlgorithm: algorithm,
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 24 * 3_600_000),
    extensions: [
      new SubjectAlternativeNameExtension([{ type: 'ip', value: '127.0.0.1' }, ...names.map((value) => ({ type: 'dns', value }) as const)]),
    ],
  })
  const cert = certificate.toString('pem')
  const key = PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY')
  const made = createServer({ key, cert }, handle)
  await new Promise<void>((resolve) => made.listen(0, '127.0.0.1', resolve))
  return { server: made, caPem: cert, host: `127.0.0.1:${(made.address() as AddressInfo).port}` }
}
