/** A certificate of somebody's own (public.certificate), before nginx and every client refuse it. */
import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto'
import { isFor } from '../proxmox/identity.ts'
import type { SiteProblem } from './relations.ts'

export interface CertifiedKey {
  /** The server's own first, then its issuers; as nginx wants it. */
  readonly certificate: string
  readonly key: string
}

export interface CheckedCertificate {
  /** Absent with problems. */
  readonly pair?: CertifiedKey
  readonly problems: readonly SiteProblem[]
}

const chainPath = 'public.certificate.chainFile'
const keyPath = 'public.certificate.key'
const rsaBits = 2048
/** What nginx, Go and Node all take. */
const curves = ['prime256v1', 'secp384r1', 'secp521r1']
const serverAuth = '1.3.6.1.5.5.7.3.1'
const anyPurpose = '2.5.29.37.0'

/**
 * All that is wrong with it, at once. Texts are as `plainText` gives them; an absent one is somebody else's problem.
 * @param host the site's public.host
 */
export function checkOwnCertificate(
  chainText: string | undefined,
  keyText: string | undefined,
  host: string,
  now: Date,
): CheckedCertificate {
  const { chain, problems: broken } = chainText === undefined ? { chain: [], problems: [] } : readChain(chainText)
  const { key, problem: keyProblem } = keyText === undefined ? { key: undefined, problem: undefined } : readKey(keyText)
  const problems: SiteProblem[] = broken.map((message) => ({ path: chainPath, message }))
  const [leaf] = chain
  if (leaf !== undefined && broken.length === 0) {
    for (const message of [
      ...leafProblems(leaf, chain, host),
      ...orderProblems(chain, key),
      ...chain.flatMap((one, index) => strengthProblems(one, index, now)),
    ])
      problems.push({ path: chainPath, message })
  }
  if (keyProblem !== undefined) problems.push({ path: keyPath, message: keyProblem })
  // Where it fits another one of the chain, the order is what is wrong.
  else if (key !== undefined && leaf !== undefined && !chain.some((one) => one.checkPrivateKey(key)))
    problems.push({ path: keyPath, message: `is not the key of ${nameOf(leaf)}: every connection would fail` })
  if (problems.length > 0 || key === undefined || leaf === undefined) return { problems }
  return {
    problems,
    pair: { certificate: chain.map((one) => one.toString()).join(''), key: key.export({ type: 'pkcs8', format: 'pem' }).toString() },
  }
}

const nameOf = (certificate: X509Certificate): string =>
  (
    certificate.subject
      ?.split('\n')
      .find((part) => part.startsWith('CN='))
      ?.slice(3) ??
    certificate.subject ??
    'the certificate'
  ).replaceAll(/[^\x20-\x7e]/g, '?')

function readChain(text: string): { chain: X509Certificate[]; problems: string[] } {
  const blocks = [...text.matchAll(/^-----BEGIN CERTIFICATE-----[ \t]*$[^-]*^-----END CERTIFICATE-----[ \t]*$/gm)].map(([block]) => block)
  const begun = text.match(/-----BEGIN [A-Z0-9 ]*CERTIFICATE-----/g)?.length ?? 0
  if (/-----BEGIN (PKCS7|CMS)-----/.test(text))
    return { chain: [], problems: ['is PKCS#7: convert it to PEM certificates with openssl pkcs7 -print_certs'] }
  if (begun === 0) return { chain: [], problems: ['holds no certificate in PEM'] }
  if (begun !== blocks.length)
    return { chain: [], problems: ['holds a certificate that is not whole, or in OpenSSL\'s own "trusted" form'] }
  const chain: X509Certificate[] = []
  for (const [index, block] of blocks.entries()) {
    try {
      chain.push(new X509Certificate(block))
    } catch {
      return { chain: [], problems: [`holds something that is no certificate, as number ${index + 1}`] }
    }
  }
  return { chain, problems: [] }
}

function readKey(text: string): { key?: KeyObject; problem?: string } {
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(text))
    return { problem: 'has a pass phrase, which nobody can type when a VM starts: take it off (openssl pkey -in KEY -out NEW)' }
  if (text.includes('-----BEGIN OPENSSH PRIVATE KEY-----'))
    return { problem: 'is an SSH key: give the one that the certificate was made with' }
  const blocks = text.match(/^-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----[\s\S]*?^-----END (?:[A-Z]+ )?PRIVATE KEY-----/gm) ?? []
  if (blocks.length === 0) return { problem: 'holds no private key in PEM' }
  if (blocks.length > 1) return { problem: 'holds more than one private key' }
  try {
    return { key: createPrivateKey(blocks[0] ?? '') }
  } catch {
    return { problem: "is not whole: it can't be read as a private key" }
  }
}

function leafProblems(leaf: X509Certificate, chain: readonly X509Certificate[], host: string): string[] {
  const problems: string[] = []
  if (!isFor(leaf, host))
    problems.push(
      `is not for public.host ${host}, but for ${leaf.subjectAltName ?? `no name at all (a common name, ${nameOf(leaf)}, does not count)`}`,
    )
  const purposes = leaf.keyUsage as readonly string[] | undefined
  if (purposes !== undefined && !purposes.includes(serverAuth) && !purposes.includes(anyPurpose))
    problems.push('is not for servers: its extended key usage has no serverAuth')
  // Whose issuer is to be looked up, its clients have not got it: only browsers look.
  if (chain.length === 1 && leaf.infoAccess?.includes('CA Issuers') === true && !isSelfSigned(leaf))
    problems.push("lacks the certificates of its issuers: give the whole chain (fullchain.pem), not the server's alone")
  return problems
}

const isSelfSigned = (certificate: X509Certificate): boolean => isIssuedBy(certificate, certificate)

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return certificate.issuer === issuer.subject && certificate.verify(issuer.publicKey)
  } catch {
    return false
  }
}

function orderProblems(chain: readonly X509Certificate[], key: KeyObject | undefined): string[] {
  const [leaf] = chain
  if (leaf === undefined) return []
  const own = key === undefined ? -1 : chain.findIndex((one) => one.checkPrivateKey(key))
  if (own > 0 || (leaf.ca && chain.some((one) => !one.ca)))
    return ["has the server's own certificate not at its beginning: put it first, its issuer second, and so on"]
  const stray = chain.findIndex((one, index) => index > 0 && !isIssuedBy(chain[index - 1] ?? one, one))
  return stray === -1
    ? []
    : [
        `is in the wrong order, or holds more than one chain: number ${stray + 1}, ${nameOf(chain[stray] ?? leaf)}, did not sign the one before it`,
      ]
}

function strengthProblems(certificate: X509Certificate, index: number, now: Date): string[] {
  const which = index === 0 ? '' : `number ${index + 1}, ${nameOf(certificate)}, `
  const problems: string[] = []
  if (certificate.validFromDate > now) problems.push(`${which}is not valid before ${certificate.validFromDate.toISOString().slice(0, 10)}`)
  if (certificate.validToDate < now) problems.push(`${which}has ended on ${certificate.validToDate.toISOString().slice(0, 10)}`)
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = certificate.publicKey
  if (type === 'rsa' && (details?.modulusLength ?? 0) < rsaBits)
    problems.push(`${which}has an RSA key of ${details?.modulusLength} bits: clients take ${rsaBits} and more`)
  else if (type === 'ec' && !curves.includes(details?.namedCurve ?? ''))
    problems.push(`${which}has a key on the curve ${details?.namedCurve ?? 'of its own'}: clients take P-256, P-384 and P-521`)
  else if (type !== 'rsa' && type !== 'ec' && type !== 'ed25519')
    problems.push(`${which}has a ${type ?? 'strange'} key, which clients do not take: make an EC (P-256) or RSA one`)
  // Nobody looks at how a root has signed itself.
  if (/sha1|md5|md4|md2/i.test(certificate.signatureAlgorithm ?? '') && (index === 0 || !isSelfSigned(certificate)))
    problems.push(`${which}is signed with ${certificate.signatureAlgorithm}, which nobody takes any more`)
  return problems
}
