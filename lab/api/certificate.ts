/** The lab's own CA and the API's certificate; made once, kept in the state folder. */
import 'reflect-metadata'
import * as x509 from '@peculiar/x509'
import { randomBytes, webcrypto, X509Certificate } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeAtomically } from '../state/document.ts'

export interface ServerCertificate {
  readonly key: string
  readonly cert: string
  readonly caFile: string
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const day = 24 * 3600 * 1000
const filesIn = (folder: string) => ({
  ca: join(folder, 'ca.pem'),
  caKey: join(folder, 'ca.key'),
  key: join(folder, 'server.key'),
  cert: join(folder, 'server.pem'),
})

async function pem(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key))
  return `-----BEGIN PRIVATE KEY-----\n${
    der
      .toString('base64')
      .match(/.{1,64}/g)
      ?.join('\n') ?? ''
  }\n-----END PRIVATE KEY-----\n`
}

/** For 127.0.0.1, localhost and the node's name. As PVE's, the CA is good for ten years and the certificate for two. */
export async function serverCertificate(folder: string, node: string): Promise<ServerCertificate> {
  const files = filesIn(folder)
  if (!Object.values(files).every((file) => existsSync(file))) {
    x509.cryptoProvider.set(webcrypto)
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
    const ca = await x509.X509CertificateGenerator.createSelfSigned({
      name: 'CN=Lab virtual environment CA',
      serialNumber: '01',
      notBefore: new Date(Date.now() - day),
      notAfter: new Date(Date.now() + 3650 * day),
      signingAlgorithm: algorithm,
      keys,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      ],
    })
    writeAtomically(files.ca, `${ca.toString('pem')}\n`, 0o644)
    writeAtomically(files.caKey, await pem(keys.privateKey))
    await renewCertificate(folder, node)
  }
  return { key: readFileSync(files.key, 'utf8'), cert: readFileSync(files.cert, 'utf8'), caFile: files.ca }
}

/** A new certificate of the same CA, as PVE makes one from time to time (pveupdate). */
export async function renewCertificate(folder: string, node: string): Promise<ServerCertificate> {
  const files = filesIn(folder)
  x509.cryptoProvider.set(webcrypto)
  const ca = new x509.X509Certificate(readFileSync(files.ca, 'utf8'))
  const signingKey = await webcrypto.subtle.importKey(
    'pkcs8',
    x509.PemConverter.decodeFirst(readFileSync(files.caKey, 'utf8')),
    algorithm,
    false,
    ['sign'],
  )
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const cert = await x509.X509CertificateGenerator.create({
    subject: `CN=${node}`,
    issuer: ca.subject,
    serialNumber: randomBytes(8).toString('hex').replace(/^./, '1'),
    notBefore: new Date(Date.now() - day),
    notAfter: new Date(Date.now() + 730 * day),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey,
    extensions: [
      new x509.BasicConstraintsExtension(false),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.1']),
      new x509.SubjectAlternativeNameExtension([
        { type: 'ip', value: '127.0.0.1' },
        { type: 'dns', value: 'localhost' },
        { type: 'dns', value: node },
      ]),
    ],
  })
  const [key, text] = [await pem(keys.privateKey), `${cert.toString('pem')}\n`]
  writeAtomically(files.key, key)
  writeAtomically(files.cert, text, 0o644)
  return { key, cert: text, caFile: files.ca }
}

/** As `/nodes/{node}/certificates/info` tells of them. */
export function certificateInfo(folder: string): unknown[] {
  const files = filesIn(folder)
  return [
    ['pve-root-ca.pem', files.ca],
    ['pve-ssl.pem', files.cert],
  ].map(([filename, file]) => {
    const text = readFileSync(file as string, 'utf8')
    const certificate = new X509Certificate(text)
    return {
      filename,
      pem: text,
      fingerprint: certificate.fingerprint256,
      subject: `/${certificate.subject.split('\n').join('/')}`,
      issuer: `/${certificate.issuer.split('\n').join('/')}`,
      notbefore: Date.parse(certificate.validFrom) / 1000,
      notafter: Date.parse(certificate.validTo) / 1000,
      'public-key-type': 'id-ecPublicKey',
      'public-key-bits': 256,
      san: [...(certificate.subjectAltName ?? '').matchAll(/(?:DNS|IP Address):([^,\s]+)/g)].map(([, name]) => name),
    }
  })
}
