/**
 * The names that a CA may sign for (RFC 5280, 4.2.1.10). Whoever trusts the site's CA trusts it for these alone, and not
 * for every name there is: a stolen key opens nobody's bank.
 */
import 'reflect-metadata'
import { isIP } from 'node:net'
import { AsnConvert } from '@peculiar/asn1-schema'
import { GeneralName, GeneralSubtree, GeneralSubtrees, NameConstraints } from '@peculiar/asn1-x509'
import * as x509 from '@peculiar/x509'

const identifier = '2.5.29.30'
/** A kind of name that is not mentioned is not limited; of host names without one, these are permitted: there are none (RFC 2606). */
const noHost = 'invalid'

/** @param names host names (with all below them) and IPv4 addresses */
export function nameConstraints(names: readonly string[]): x509.Extension {
  const all = names.some((name) => isIP(name) === 0) ? names : [...names, noHost]
  const permittedSubtrees = new GeneralSubtrees(
    [...new Set(all)].map(
      (name) => new GeneralSubtree({ base: new GeneralName(isIP(name) === 0 ? { dNSName: name } : { iPAddress: `${name}/32` }) }),
    ),
  )
  return new x509.Extension(identifier, true, AsnConvert.serialize(new NameConstraints({ permittedSubtrees })))
}

/** What a CA is limited to, or undefined where it is not, as those of this project's first versions. */
export function permittedNames(certificatePem: string): string[] | undefined {
  const extension = new x509.X509Certificate(certificatePem).getExtension(identifier)
  if (extension === null) return undefined
  const { permittedSubtrees } = AsnConvert.parse(extension.value, NameConstraints)
  return (permittedSubtrees ?? []).flatMap(({ base }) => base.dNSName ?? base.iPAddress?.replace(/\/32$/, '') ?? [])
}

/** Those of `names` that this CA may not sign for. */
export function namesOutside(certificatePem: string, names: readonly string[]): string[] {
  const permitted = permittedNames(certificatePem)
  if (permitted === undefined) return []
  return names.filter((name) => !permitted.some((one) => name === one || (isIP(name) === 0 && name.endsWith(`.${one}`))))
}
