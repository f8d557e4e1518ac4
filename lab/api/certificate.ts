/** The lab's own CA and the API's certificate; made once, kept in the state folder. */
import 'reflect-metadata'
import * as x509 from '@peculiar/x509'
import { webcrypto } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeAtomically } from '../state/document.ts'

export interface ServerCertificate { readonly key: string; readonly cert: string; readonly caFile: string }

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

async function pem(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key))
  return `-----BEGIN PRIVATE KEY-----\n${der.toString('base64').match(/.{1,64}/g)?.join('\n') ?? ''}\n-----END PRIVATE KEY-----\n`
}

/** For 127.0.0.1, localhost and the node's name; good for ten years, as PVE's. */
export async function serverCertificate(folder: string, node: string): Promise<ServerCertificate> {
  const files = { ca: join(folder, 'ca.pem'), key: join(folder, 'server.key'), cert: join(folder, 'server.pem') }
  if (!Object.values(files).every((file) => existsSync(file))) {
    x509.cryptoProvider.set(webcrypto)
    const caKeys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
    const notBefore = new Date(Date.now() - 24 * 3600 * 1000)
    const notAfter = new Date(Date.now() + 3650 * 24 * 3600 * 1000)
    const ca = await x509.X509CertificateGenerator.createSelfSigned({
      name: 'CN=Lab virtual environment CA', serialNumber: '01', notBefore, notAfter, signingAlgorithm: algorithm, keys: caKeys,
      extensions: [new x509.BasicConstraintsExtension(true, 0, true), new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true)],
    })
    const cert = await x509.X509CertificateGenerator.create({
      subject: `CN=${node}`, issuer: ca.subject, serialNumber: '02', notBefore, notAfter, signingAlgorithm: algorithm,
      publicKey: keys.publicKey, signingKey: caKeys.privateKey,
      extensions: [
        new x509.BasicConstraintsExtension(false),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.1']),
        new x509.SubjectAlternativeNameExtension([{ type: 'ip', value: '127.0.0.1' }, { type: 'dns', value: 'localhost' }, { type: 'dns', value: node }]),
      ],
    })
    // The CA's key is not kept: nothing else is ever signed with it.
    writeAtomically(files.ca, `${ca.toString('pem')}\n`, 0o644)
    writeAtomically(files.key, await pem(keys.privateKey))
    writeAtomically(files.cert, `${cert.toString('pem')}\n`, 0o644)
  }
  return { key: readFileSync(files.key, 'utf8'), cert: readFileSync(files.cert, 'utf8'), caFile: files.ca }
}
