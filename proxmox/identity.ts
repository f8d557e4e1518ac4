/** Whom a certificate is for, as Go sees it: Packer and the engine's provider have to accept what setup accepts. */
import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { hostOf } from '../core/proxy.ts'
import { Failure } from '../core/failure.ts'

/** Whether this is a certificate in PEM, or several of them. */
export function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0
  } catch {
    return false
  }
}

/** Only the alternative names count (crypto/x509), and they do for a pinned certificate, too. */
export function isFor(certificate: X509Certificate, host: string): boolean {
  return (
    (isIP(host) === 0 ? certificate.checkHost(host, { subject: 'never', partialWildcards: false }) : certificate.checkIP(host)) !==
    undefined
  )
}

/** @returns a Failure, unless the certificate that this URL presents is for its host */
export function identityProblem(url: string, certificate: X509Certificate): Failure | undefined {
  const host = hostOf(url)
  if (isFor(certificate, host)) return undefined
  const { port } = new URL(url)
  const names = [...(certificate.subjectAltName ?? '').matchAll(/(?:DNS|IP Address):"?([^,\s"]+)/g)].map(([, name = '']) => name)
  const elsewhere = names.filter((name) => !['localhost', '127.0.0.1', '0:0:0:0:0:0:0:1'].includes(name))
  const urls = (elsewhere.length === 0 ? names : elsewhere).map(
    (name) => `https://${isIP(name) === 6 ? `[${name}]` : name}${port === '' ? '' : `:${port}`}`,
  )
  return new Failure(
    'certificate-name',
    `the certificate of ${url} is not for ${host}, so Packer and OpenTofu would refuse it`,
    urls.length === 0
      ? 'Give the node a certificate with that name: Proxmox, node, System, Certificates.'
      : `Take one of these as proxmox.url: ${urls.join(', ')}; or give the node a certificate with that name (Proxmox, node, System, Certificates).`,
  )
}
