/** First contact with a Proxmox host, and what is trusted from then on. */
import type { X509Certificate } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Proxmox } from '../proxmox/client.ts'
import { Failure } from '../core/failure.ts'
import { presentedBy, verifiedBy, type Presented } from '../proxmox/handshake.ts'
import { identityProblem, isCertificate } from '../proxmox/identity.ts'
import { choosePin, knownCertificates, pinsCas } from '../proxmox/pin.ts'
import { pinnedCa } from '../settings/connect.ts'
import type { Site } from '../settings/site.ts'
import { ask } from './confirm.ts'
import { writeSecret } from '../settings/secrets/files.ts'
import type { VerbContext } from './verb.ts'

export interface Trust extends Presented {
  /** What the host is verified with until there is a better pin; undefined: the system's CAs. */
  readonly caPem: string | undefined
  /** What is in the pinned file and still verifies the host. */
  readonly pinned: string | undefined
}

const pemOf = (chain: readonly X509Certificate[]): string => chain.map((certificate) => certificate.toString()).join('')

/** As `meet`, with what the site has pinned. */
export async function firstContact(site: Site, folder: string, context: VerbContext): Promise<Trust> {
  const file = pinnedCa(site, folder)
  const pem = file === undefined ? undefined : await readFile(file, 'utf8')
  const question = { signal: context.signal, hint: 'Run the same command again.' }
  const agree = async (): Promise<boolean> => (await ask('Is it the same? Type yes: ', question)).trim().toLowerCase() === 'yes'
  return meet(site.proxmox.url, pem, context, { verb: 'setup', agree: process.stdin.isTTY ? agree : undefined })
}

export interface Meeting {
  /** Which verb meets, for what is to be run again. */
  readonly verb: 'init' | 'setup'
  /** Whether the fingerprint that was shown is the host's. Undefined: nobody is there to say so. */
  readonly agree: (() => Promise<boolean>) | undefined
}

/**
 * Shows the certificate's fingerprint when nothing is pinned, and goes on once somebody has agreed to it. A fingerprint that is
 * given has to fit also when a certificate is pinned already or the system trusts it; then it counts more than a pin that
 * does not verify the host any more. Nothing is written yet.
 * @param pem what is pinned, if anything is
 */
export async function meet(
  url: string,
  pem: string | undefined,
  { flags, progress, signal }: Pick<VerbContext, 'flags' | 'progress' | 'signal'>,
  { verb, agree }: Meeting,
): Promise<Trust> {
  const given = typeof flags.fingerprint === 'string' ? flags.fingerprint.toUpperCase() : undefined
  const presented = await progress.step(`look at the certificate of ${url}`, () => presentedBy(url, signal))
  const [certificate] = presented.chain
  const fingerprint = certificate.fingerprint256
  if (given !== undefined && given.replace(/:/g, '') !== fingerprint.replace(/:/g, '')) {
    throw new Failure(
      'fingerprint-differs',
      `the certificate of ${url} has SHA-256 fingerprint ${fingerprint}, not the one given`,
      'Compare with the node: Proxmox, node, System, Certificates.',
    )
  }
  if (pem !== undefined) {
    const stands = isCertificate(pem) && (await verifiedBy(url, pem, signal))
    if (stands || given === undefined) return { ...presented, caPem: pem, pinned: stands ? pem : undefined }
  }
  if (presented.trusted) return { ...presented, caPem: undefined, pinned: undefined }
  const problem = identityProblem(url, certificate)
  if (problem !== undefined) throw problem
  if (given === undefined) {
    progress.info(
      `The certificate of ${url} has this SHA-256 fingerprint:\n  ${fingerprint}\nCompare it with the node: Proxmox, node, System, Certificates.`,
    )
    if (agree === undefined)
      throw new Failure(
        'fingerprint-not-confirmed',
        'nobody is here to confirm it',
        `Run "npx golden ${verb} --fingerprint ${fingerprint}" once you have compared it.`,
      )
    if (!(await agree())) throw new Failure('fingerprint-not-confirmed', 'the certificate was not confirmed', 'Nothing was changed.')
  }
  return { ...presented, caPem: pemOf(presented.chain), pinned: undefined }
}

/**
 * Pins what signed the certificate, now that the host has let its administrator in and tells what that is. Certificates that
 * the system trusts need no pin, and CAs that somebody pinned stay as they are.
 */
export async function pin(admin: Proxmox, site: Site, folder: string, trust: Trust, { progress, signal }: VerbContext): Promise<void> {
  const file = resolve(folder, site.proxmox.caFile)
  if (trust.caPem === undefined) return rm(file, { force: true })
  if (trust.pinned !== undefined && pinsCas(trust.pinned)) return
  const { url, node } = site.proxmox
  const chosen = choosePin(trust.chain, await knownCertificates(admin, node))
  const name =
    chosen.certificate.subject
      .split('\n')
      .find((line) => line.startsWith('CN='))
      ?.slice(3) ?? 'without a name'
  if (chosen.kind === 'ca' && (await verifiedBy(url, chosen.pem, signal))) {
    await writeSecret(file, chosen.pem)
    progress.info(`pinned in ${file}: ${name}, the CA of the certificate of ${url}, which may be renewed from now on`)
    return
  }
  if (trust.pinned === undefined) await writeSecret(file, pemOf(trust.chain))
  const why = trust.chain[0].checkIssued(trust.chain[0])
    ? 'has signed itself'
    : 'was signed by a CA that the host neither presents nor tells of'
  progress.warn(
    `the certificate of ${url} ${why}, so that it is pinned itself: once it is another one, nothing is trusted until "npx golden setup --fingerprint …" is run again. ${why === 'has signed itself' ? "Proxmox's own certificates do not have that drawback." : `Give the node the whole chain (Proxmox, ${node}, System, Certificates), or put that CA into ${file}.`}`,
  )
}
