/** Whether a client that trusts these CAs would take the server's certificate, and for how long. */
import { connect, getCACertificates, type PeerCertificate } from 'node:tls'
import { isIP } from 'node:net'
import { join, resolve } from 'node:path'
import { isOverdue } from '../images/guest/certificate-age.ts'
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
  /** A certificate of the user's own, or an ACME server's (`acme`): whoever this computer trusts. */
  | { readonly by: 'computer'; readonly acme?: true }
  /** An ACME server's, whose CA the site names because no system knows it. */
  | { readonly by: 'root'; readonly pem: string; readonly file: string }

/** By what the VM was given. @throws Failure `secret-unavailable`, `secret-unfit` */
export async function trustOf(folder: string, { ownCertificate, acme }: Access): Promise<Trust> {
  if (acme?.rootFile !== undefined) {
    const file = resolve(folder, acme.rootFile)
    return { by: 'root', pem: await readHandedIn(file, 'pem'), file }
  }
  if (acme !== undefined) return { by: 'computer', acme: true }
  if (ownCertificate) return { by: 'computer' }
  const file = join(folder, secretFiles.ca)
  const before = await readHandedIn(join(folder, secretFiles.caBefore), 'pem').catch(() => undefined)
  return { by: 'site', pem: await readHandedIn(file, 'pem'), file, ...(before === undefined ? {} : { before }) }
}

export const trustedPems = (trust: Trust): readonly string[] =>
  trust.by !== 'computer' ? [trust.pem] : [...new Set([...getCACertificates('default'), ...getCACertificates('system')])]

interface Seen {
  /** Node's code for what is wrong with it. */
  readonly wrong: string | undefined
  readonly certificate: PeerCertificate
}

const day = 86_400_000
const signers: Readonly<Record<Trust['by'], string>> = {
  site: "signed by the site's CA",
  computer: 'signed by a CA that this computer trusts',
  root: 'signed by the CA that public.certificate.rootFile names',
}

export interface CertificateQuestion {
  readonly host: string
  readonly port: number
  readonly trust: Trust
  /** The group that a rollout gives another certificate. */
  readonly group: string
  readonly timeoutMs: number
}

export async function lookAtCertificate({ host, port, trust, group, timeoutMs }: CertificateQuestion): Promise<Outcome> {
  const isAcme = trust.by === 'root' || (trust.by === 'computer' && trust.acme === true)
  const rollout = `then "npx golden rollout ${group}"`
  const anew = isAcme
    ? 'The slot renews it by itself; why it has not is in "npx golden status"'
    : `${trust.by === 'site' ? '"npx golden init" renews it' : 'put a new one where public.certificate says'}, ${rollout}`
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
      return (isAcme ? isOverdue(new Date(certificate.valid_from), ends, new Date()) : daysLeft <= warnBeforeDays)
        ? warned(`it ends soon: ${until}`, `${anew}.`)
        : ok(`${signers[trust.by]}, until ${until}`)
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return failed(
        `the certificate is not for ${host}, but for ${namesOf(certificate)}`,
        trust.by === 'site'
          ? `"npx golden init" makes one for public.host, ${rollout}; or another server answers there.`
          : isAcme
            ? `"npx golden rollout ${group}" has a slot get one for the public.host of now; or another server answers there.`
            : `Give one for public.host at public.certificate, ${rollout}; or another server answers there.`,
      )
    case 'CERT_HAS_EXPIRED':
      return failed(`the certificate, or one that has signed it, has ended (${ends.toISOString().slice(0, 10)})`, `${anew}.`)
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
  // Until there is one of the ACME server, the slot shows the one by the site's CA.
  if (trust.by === 'root' || (trust.by === 'computer' && trust.acme === true))
    return [
      `${trust.by === 'root' ? `${trust.file} has not signed the certificate` : 'this computer trusts nobody who has signed the certificate'} (${wrong}); it is by "${by}"`,
      `If that is the site's own CA, the slot has got none from the ACME server yet: "npx golden status" says why. A server whose CA no system knows is named by public.certificate.rootFile.`,
    ]
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
