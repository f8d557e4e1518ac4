/** The site's own certificate authority and the certificates that it signs. */
import 'reflect-metadata'
import { createPrivateKey, webcrypto, X509Certificate as NodeCertificate } from 'node:crypto'
import { isIP } from 'node:net'
import * as x509 from '@peculiar/x509'
import { isCertificate } from '../../proxmox/identity.ts'
import { nameConstraints } from './name-constraints.ts'

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const day = 86_400_000
/** Apple's clients refuse server certificates that live longer (support.apple.com/103769). */
export const serverDays = 825
const authorityDays = 3650
/** Nobody but the two who have it looks at it: it ends with whatever it was made for. */
const selfSignedDays = 10_950
/** A certificate that ends sooner is made anew. */
const renewBeforeDays = 60

export interface PemPair {
  readonly certificate: string
  readonly key: string
}

/** @param permitted the host names and addresses that it may sign for; without them: all there are */
export async function makeAuthority(name: string, now: Date, permitted?: readonly string[]): Promise<PemPair> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  return selfSigned(name, keys, validFor(authorityDays, now), [
    new x509.BasicConstraintsExtension(true, 0, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    // Neither mail nor programs, whose names the constraints say nothing of.
    ...(permitted === undefined
      ? []
      : [new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]), nameConstraints(permitted)]),
  ])
}

/** @param names host names and IP addresses */
export async function makeServerCertificate(authority: PemPair, names: readonly [string, ...string[]], now: Date): Promise<PemPair> {
  const issuer = new x509.X509Certificate(authority.certificate)
  const signingKey = await webcrypto.subtle.importKey('pkcs8', x509.PemConverter.decodeFirst(authority.key), algorithm, false, ['sign'])
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const certificate = await x509.X509CertificateGenerator.create({
    // No name that anything is asked for by: an address in here is a host name to OpenSSL, and no CA of ours may sign it.
    subject: 'CN=serena-golden server',
    issuer: issuer.subject,
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: algorithm,
    ...validFor(serverDays, now),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(
        names.map((name) => ({ type: isIP(name) === 0 ? ('dns' as const) : ('ip' as const), value: name })),
      ),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return { certificate: `${certificate.toString('pem')}\n${authority.certificate}`, key: await exportKey(keys.privateKey) }
}

/** A pair that answers for itself: whoever has it knows the other one who has it by this very certificate, as server and as client. */
export async function makeSelfSigned(name: string, now: Date): Promise<PemPair> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  return selfSigned(name, keys, validFor(selfSignedDays, now), [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
    new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: name }]),
  ])
}

/** From yesterday, so that a clock that is behind takes it too. */
const validFor = (days: number, now: Date): { readonly serialNumber: string; readonly notBefore: Date; readonly notAfter: Date } => ({
  serialNumber: serial(),
  notBefore: new Date(now.getTime() - day),
  notAfter: new Date(now.getTime() + days * day),
})

async function selfSigned(
  name: string,
  keys: webcrypto.CryptoKeyPair,
  valid: ReturnType<typeof validFor>,
  extensions: readonly x509.Extension[],
): Promise<PemPair> {
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys,
    signingAlgorithm: algorithm,
    ...valid,
    extensions: [...extensions, await x509.SubjectKeyIdentifierExtension.create(keys.publicKey)],
  })
  return { certificate: `${certificate.toString('pem')}\n`, key: await exportKey(keys.privateKey) }
}

/** Whether a certificate still serves: signed by this authority, for all these names, and not about to end. What is no certificate does not. */
export function stillServes(certificatePem: string, authorityPem: string, names: readonly string[], now: Date): boolean {
  if (!isCertificate(certificatePem)) return false
  const certificate = new NodeCertificate(certificatePem)
  const covers = (name: string): boolean => (isIP(name) === 0 ? certificate.checkHost(name) : certificate.checkIP(name)) !== undefined
  return (
    certificate.checkIssued(new NodeCertificate(authorityPem)) &&
    names.every(covers) &&
    certificate.validToDate.getTime() - now.getTime() > renewBeforeDays * day
  )
}

/** Whether this is the private key, in PEM, of that certificate. */
export function isKeyOf(key: string, certificatePem: string): boolean {
  try {
    return new NodeCertificate(certificatePem).checkPrivateKey(createPrivateKey(key))
  } catch {
    return false
  }
}

/** Positive and 20 octets at most (RFC 5280, 4.1.2.2). */
function serial(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16))
  bytes[0] = (bytes[0] ?? 0) & 0x7f
  return Buffer.from(bytes).toString('hex')
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  return `${x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`
}
