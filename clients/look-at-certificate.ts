/** Whether a client that trusts these CAs would take the server's certificate, and for how long. */
import { connect, getCACertificates, type PeerCertificate } from 'node:tls'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { warnBeforeDays } from '../releases/given.ts'
import { readHandedIn } from '../settings/resolve.ts'
import { secretFiles } from '../settings/secrets/places.ts'
import type { Access } from './deployed.ts'
import { failed, ok, warned, wordsOf, type Outcome } from './step.ts'

/** Who may have signed it. */
export type Trust =
  | {
      readonly by: 'site'
      readonly pem: string
      /** The one before, once there is a new one. */
      readonly before?: string
      readonly file: string
    }
  /** A certificate of the user's own: whoever this computer trusts. */
  | { readonly by: 'computer' }

/** By what the VM was given. @throws Failure `secret-unavailable`, `secret-unfit` */
export async function trustOf(folder: string, { ownCertificate }: Access): Promise<Trust> {
  if (ownCertificate) return { by: 'computer' }
  const file = join(folder, secretFiles.ca)
  const before = await readHandedIn(join(folder, secretFiles.caBefore), 'pem').catch(() => undefined)
  return { by: 'site', pem: await readHandedIn(file, 'pem'), file, ...(before === undefined ? {} : { before }) }
}

export const trustedPems = (trust: Trust): readonly string[] =>
  trust.by === 'site' ? [trust.pem] : [...new Set([...getCACertificates('default'), ...getCACertificates('system')])]

interface Seen {
  /** Node's code for what is wrong with it. */
  readonly wrong: string | undefined
  readonly certificate: PeerCertificate
}

const day = 86_400_000

export interface CertificateQuestion {
  readonly host: string
  readonly port: number
  readonly trust: Trust
  /** The group that a rollout gives another certificate. */
  readonly group: string
  readonly timeoutMs: number
}

export async function lookAtCertificate({ host, port, trust, group, timeoutMs }: CertificateQuestion): Promise<Outcome> {
  const anew = trust.by === 'site' ? '"npx golden init" renews it' : 'put a new one where public.certificate says'
  const rollout = `then "npx golden rollout ${group}"`
  let seen: Seen
  try {
    seen = await shake(host, port, trustedPems(trust), timeoutMs)
  } catch (error) {
    return failed(
      `what answers at ${host}, port ${port}, does not speak TLS: ${wordsOf(error)}`,
      'Another program has that port, or a router, proxy or firewall is in between: see where the port is forwarded to.',
    )
  }
  const { wrong, certificate } = seen
  const ends = new Date(certificate.valid_to)
  const daysLeft = Math.floor((ends.getTime() - Date.now()) / day)
  const until = `${ends.toISOString().slice(0, 10)}, ${daysLeft} days left`
  switch (wrong) {
    case undefined:
      return daysLeft <= warnBeforeDays
        ? warned(`it ends soon: ${until}`, `${anew}, ${rollout}.`)
        : ok(`${trust.by === 'site' ? "signed by the site's CA" : 'signed by a CA that this computer trusts'}, until ${until}`)
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return failed(
        `the certificate is not for ${host}, but for ${namesOf(certificate)}`,
        trust.by === 'site'
          ? `"npx golden init" makes one for public.host, ${rollout}; or another server answers there.`
          : `Give one for public.host at public.certificate, ${rollout}; or another server answers there.`,
      )
    case 'CERT_HAS_EXPIRED':
      return failed(`the certificate, or one that has signed it, has ended (${ends.toISOString().slice(0, 10)})`, `${anew}, ${rollout}.`)
    case 'CERT_NOT_YET_VALID':
      return failed(`the certificate begins only at ${certificate.valid_from}`, "Set this computer's clock.")
    default:
      return failed(...(await foreign({ host, port, trust, group, timeoutMs }, certificate, wrong)))
  }
}

/** Nobody who is trusted has signed it. @returns why, and what mends it */
async function foreign(
  { host, port, trust, group, timeoutMs }: CertificateQuestion,
  { issuer }: PeerCertificate,
  wrong: string,
): Promise<[string, string]> {
  const by = [issuer?.CN ?? issuer?.O ?? 'somebody unknown'].flat().join(', ')
  if (trust.by === 'computer')
    return [
      `this computer trusts nobody who has signed the certificate (${wrong}); it is by "${by}"`,
      'If that is right, put its CA among those that this computer trusts; with intermediate certificates missing, add them to the file of public.certificate.',
    ]
  if (trust.before !== undefined) {
    const old = await shake(host, port, [trust.before], timeoutMs).catch(() => undefined)
    if (old !== undefined && (old.wrong === undefined || old.wrong === 'ERR_TLS_CERT_ALTNAME_INVALID'))
      return ["the VM has a certificate by the site's CA of before", `"npx golden rollout ${group}" gives it the new one.`]
  }
  return [
    `the certificate is not by the site's CA (${wrong}), but by "${by}"`,
    `Another server answers there, or a proxy opens the connections of this computer; else ${trust.file} is not the CA that the VM was given: put it back, or "npx golden rollout ${group}".`,
  ]
}

const namesOf = ({ subjectaltname, subject }: PeerCertificate): string =>
  subjectaltname?.replaceAll(/(DNS|IP Address):/g, '') ?? [subject?.CN ?? 'nobody'].flat().join(', ')

function shake(host: string, port: number, ca: readonly string[], timeoutMs: number): Promise<Seen> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, ca: [...ca], rejectUnauthorized: false, ...(isIP(host) === 0 ? { servername: host } : {}) })
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)))
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('the connection was closed')))
    socket.once('secureConnect', () => {
      const error = socket.authorizationError as unknown
      const wrong = socket.authorized ? undefined : ((error as NodeJS.ErrnoException | undefined)?.code ?? String(error))
      resolve({ wrong, certificate: socket.getPeerCertificate() })
      socket.destroy()
    })
  })
}
