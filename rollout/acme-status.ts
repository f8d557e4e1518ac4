/** Of a group whose slot gets its certificate from an ACME server: which certificates there are, for `status`. Pure. */
import type { Status } from '../images/contract/status.ts'
import { publicCertificate, type CertificateStatus } from '../releases/given.ts'

const day = 86_400_000

/** @param given what the release has: people see its public one where the ACME server has given none @param certificate as the slot says */
export const certificatesShown = (
  given: readonly CertificateStatus[],
  certificate: Status['certificate'],
  now: Date,
): CertificateStatus[] =>
  given.map((one) => {
    if (one.name !== publicCertificate) return one
    const shown = certificate?.shown
    if (shown === undefined) return { ...one, name: `${one.name}, by the site's CA until there is one of the ACME server` }
    const by = /(?:^|, )CN=([^,]*)/.exec(shown.issuer)?.[1] ?? shown.issuer
    const daysLeft = Math.floor((Date.parse(shown.until) - now.getTime()) / day)
    return { name: `${one.name}, by ${by}, renewed by the slot`, ends: shown.until, daysLeft }
  })
