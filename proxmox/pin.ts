/**
 * Which certificate to pin. Never the node's own where it can be avoided: Proxmox renews it long before its two years
 * are over, and then nothing would be trusted any more. What signed it stays.
 */
import { X509Certificate } from 'node:crypto'
import { ProxmoxError, type Proxmox } from './client.ts'
import { certificatesOf } from './nodes.ts'
import { isPassingStatus } from './patience.ts'

export interface Pin {
  readonly pem: string
  readonly certificate: X509Certificate
  /** `leaf`: what signed it is not to be had, or it has signed itself. */
  readonly kind: 'ca' | 'leaf'
}

/** The certificates of a PEM file, in its order. */
export function certificatesIn(pem: string): X509Certificate[] {
  return (pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? []).flatMap((block) => {
    try {
      return [new X509Certificate(block)]
    } catch {
      return []
    }
  })
}

/** What the node says of its certificates (its CA's, its own, and one that somebody gave it); nothing where it does not tell, which is not the same as no answer. */
export async function knownCertificates(admin: Proxmox, node: string): Promise<X509Certificate[]> {
  try {
    return (await certificatesOf(admin, node)).flatMap(certificatesIn)
  } catch (error) {
    if (error instanceof ProxmoxError && error.status >= 400 && !isPassingStatus(error.status)) return []
    throw error
  }
}

const isSignedBy = (certificate: X509Certificate, issuer: X509Certificate): boolean =>
  issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)

/**
 * The top of the chain from the certificate that is presented, as far as it is known.
 * @param presented what the server sends, its own first
 */
export function choosePin(presented: readonly [X509Certificate, ...X509Certificate[]], known: readonly X509Certificate[]): Pin {
  const [leaf, ...rest] = presented
  const left = new Set([...rest, ...known])
  let top = leaf
  for (;;) {
    const issuer = [...left].find((candidate) => isSignedBy(top, candidate))
    if (issuer === undefined || issuer.raw.equals(top.raw)) break
    left.delete(issuer)
    top = issuer
  }
  return { pem: top.toString(), certificate: top, kind: top === leaf ? 'leaf' : 'ca' }
}

/** Whether a pinned file needs no other: it names CAs only. */
export function pinsCas(pem: string): boolean {
  const certificates = certificatesIn(pem)
  return certificates.length > 0 && certificates.every(({ ca }) => ca)
}
