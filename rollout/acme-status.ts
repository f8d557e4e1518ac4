/** Of a group whose slot gets its certificate from an ACME server: which certificates there are, for `status` and the night. Pure. */
import type { Status } from '../images/contract/status.ts'
import { isOverdue } from '../images/guest/certificate-age.ts'
import { publicCertificate, warnBeforeDays, type CertificateStatus } from '../releases/given.ts'

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

export interface CertificateOutlook {
  readonly name: string
  /** Null: the slot has it, and does not say. */
  readonly ends: string | null
  readonly daysLeft: number | null
  /** Somebody has to see to it, by now: of one that the slot renews, when that should have happened long ago. */
  readonly due: boolean
}

/** What is to come of those that the release has been given. */
export const outlookOf = (given: readonly CertificateStatus[]): CertificateOutlook[] =>
  given.map((one) => ({ ...one, due: one.daysLeft <= warnBeforeDays }))

/** The same with an ACME server. @param slot what the one says that serves; undefined: it does not answer */
export const outlookWithAcme = (
  given: readonly CertificateStatus[],
  slot: Pick<Status, 'certificate'> | undefined,
  now: Date,
): CertificateOutlook[] =>
  outlookOf(certificatesShown(given, slot?.certificate, now)).map((one, at) => {
    const { name } = given[at] ?? one
    if (name !== publicCertificate) return one
    if (slot === undefined) return { name: `${name}, of the ACME server`, ends: null, daysLeft: null, due: false }
    const shown = slot.certificate?.shown
    return shown === undefined ? one : { ...one, due: isOverdue(new Date(shown.from), new Date(shown.until), now) }
  })
