/** What `slotctl status` says of an ACME server's certificate. */
import type { Seed } from '../contract/seed.ts'
import type { Status } from '../contract/status.ts'
import { readAcmeState } from './acme-state.ts'
import { isOverdue } from './certificate-age.ts'
import { shownCertificate } from './certificate.ts'
import type { Files } from './machine.ts'

type CertificateStatus = NonNullable<Status['certificate']>

const iso = (ms: number): string => new Date(ms).toISOString()

/** Undefined where the site asks for none. @param isActive the data disk is here, with how the last try ended */
export function certificateStatus(files: Files, { acme }: Pick<Seed, 'acme'>, isActive: boolean): CertificateStatus | undefined {
  if (acme === undefined) return undefined
  const shown = shownCertificate(files)
  const state = isActive ? readAcmeState(files) : undefined
  return {
    ...(shown === undefined
      ? {}
      : {
          shown: {
            issuer: (shown.issuer ?? '').split('\n').join(', '),
            from: shown.validFromDate.toISOString(),
            until: shown.validToDate.toISOString(),
          },
        }),
    ...(state === undefined ? {} : { lastTry: iso(state.lastTry), nextTry: iso(state.nextTry) }),
    ...(state?.lastError === undefined ? {} : { lastError: state.lastError }),
  }
}

/** Of the slot that has the data. A first try that is under way is no problem, nor is one that failed long before the end. Pure. */
export function certificateWarnings({ shown, lastTry, lastError, nextTry }: CertificateStatus, now: Date): string[] {
  const why =
    lastError === undefined
      ? lastTry === undefined
        ? 'no try has ended yet'
        : `the last try, at ${lastTry}, found nothing to do`
      : `${lastError}; tried at ${lastTry}, and again at ${nextTry}`
  if (shown === undefined)
    return lastError === undefined ? [] : [`there is no certificate of the ACME server, and people see the site's own: ${why}`]
  if (!isOverdue(new Date(shown.from), new Date(shown.until), now)) return []
  return [`the certificate ends on ${shown.until.slice(0, 10)}, and is not renewed: ${why}`]
}
