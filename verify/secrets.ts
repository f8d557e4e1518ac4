/** Secrets for clones that nobody will miss: made for one run, in memory, given to its clones and gone with them. */
import { randomBytes } from 'node:crypto'
import { peerName } from '../images/contract/files.ts'
import { makeAuthority, makeSelfSigned, makeServerCertificate } from '../settings/secrets/certificates.ts'
import { generateSshKey } from '../settings/secrets/generate-ssh-key.ts'
import type { SeedSecrets } from '../releases/seed.ts'
import type { Site } from '../settings/site.ts'
import { trialUser } from './trial.ts'

export interface TrialSecrets {
  /** Of the CA that signs for the clones. */
  readonly ca: string
  /** Of `trialUser`. */
  readonly password: string
  /** By group. */
  readonly seeds: Readonly<Record<string, SeedSecrets>>
}

const password = (): string => randomBytes(18).toString('base64url')

/** @param trial the site of the clones */
export async function makeTrialSecrets(trial: Site, now: Date): Promise<TrialSecrets> {
  const addresses = Object.values(trial.groups).flatMap(({ service, slots }) => [service, slots.blue.address, slots.green.address])
  const authority = await makeAuthority('golden verify', now, [trial.public.host, ...addresses])
  const shared = { password: password(), lokiPushPassword: password() }
  const hasLogging = Object.values(trial.groups).some(({ roles }) => roles.includes('logging'))
  const seeds: Record<string, SeedSecrets> = {}
  for (const [name, { roles, service, slots }] of Object.entries(trial.groups)) {
    seeds[name] = {
      siteCa: authority.certificate,
      hostKey: generateSshKey(`verify-${name}`),
      peer: await makeSelfSigned(peerName, now),
      ...(roles.includes('serena')
        ? {
            publicTls: await makeServerCertificate(authority, [trial.public.host, service], now),
            users: [{ name: trialUser, password: shared.password }],
          }
        : {}),
      ...(hasLogging ? { lokiPushPassword: shared.lokiPushPassword } : {}),
      ...(roles.includes('logging')
        ? {
            loggingTls: await makeServerCertificate(authority, [service, slots.blue.address, slots.green.address], now),
            grafanaAdminPassword: password(),
          }
        : {}),
    }
  }
  return { ca: authority.certificate, password: shared.password, seeds }
}
