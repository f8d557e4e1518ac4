/** What people's clients find: by the release that runs, not by what the site says by now. */
import type { Deployment, Release } from '../releases/deployment.ts'
import { digestOf, isComparable, passwordOf, readGivenKey } from '../releases/given.ts'
import { acmeOf, groupWithRole, ownCertificateOf, type Site } from '../settings/site.ts'
import type { Transport } from './url.ts'

export interface Access {
  /** Undefined: nothing is deployed, and all of this is what the site says. */
  readonly deployed: { readonly group: string; readonly release: Release } | undefined
  readonly public: { readonly host: string; readonly httpsPort: number; readonly httpPort: number }
  readonly transports: readonly Transport[]
  readonly users: readonly string[]
  /** The user's own, which the site's CA has not signed. */
  readonly ownCertificate: boolean
  /** The certificate is an ACME server's, which the slots renew by themselves. */
  readonly acme?: { /** In the site folder: whom clients are to trust, where no system does. */ readonly rootFile?: string }
  /** The service address in the LAN. */
  readonly service: string | undefined
}

/** Pure. */
export function accessOf(site: Site, deployment: Deployment): Access {
  for (const [group, { active, slots }] of Object.entries(deployment.groups)) {
    const release = active === undefined ? undefined : slots[active]
    if (release?.seed.serena === undefined) continue
    const { seed, access } = release
    return {
      deployed: { group, release },
      public: seed.public,
      transports: seed.serena?.transports ?? [],
      users: access?.users ?? site.serena.users.map(({ name }) => name),
      ...(seed.acme === undefined ? {} : { acme: access?.rootFile === undefined ? {} : { rootFile: access.rootFile } }),
      ownCertificate: access === undefined ? ownCertificateOf(site.public) !== undefined : access.certificate !== undefined,
      service: seed.service,
    }
  }
  const acme = acmeOf(site.public)
  return {
    deployed: undefined,
    public: site.public,
    transports: site.serena.transports,
    users: site.serena.users.map(({ name }) => name),
    ...(acme === undefined ? {} : { acme: acme.rootFile === undefined ? {} : { rootFile: acme.rootFile } }),
    ownCertificate: ownCertificateOf(site.public) !== undefined,
    service: groupWithRole(site, 'serena')?.group.service,
  }
}

/** What the site says of it by now that what runs does not have, as sentences. Pure. */
export function differsFromSite({ deployed, public: { host, httpsPort }, transports }: Access, site: Site): string[] {
  if (deployed === undefined) return ['Nothing is deployed yet: this is what the site says. "npx golden deploy" makes it so.']
  const wanted = site.public
  const both = [
    ...(host === wanted.host && httpsPort === wanted.httpsPort ? [] : [`${wanted.host}:${wanted.httpsPort}`]),
    ...([...transports].sort().join() === [...site.serena.transports].sort().join() ? [] : [site.serena.transports.join(' and ')]),
  ]
  if (both.length === 0) return []
  return [`The site says ${both.join(', ')} by now; this is what runs. "npx golden rollout ${deployed.group}" brings the other.`]
}

/** A password that is new in the site folder is not the VM's before its next release. @returns what to say about that */
export async function notGiven(folder: string, { deployed }: Access, user: string, password: string): Promise<string | undefined> {
  if (deployed === undefined) return undefined
  const { group, release } = deployed
  const mend = `"npx golden rollout ${group}" gives it to a new VM.`
  if (release.access !== undefined && !release.access.users.includes(user)) return `The VM does not know user ${user} yet: ${mend}`
  const key = await readGivenKey(folder)
  const { given } = release
  if (key === undefined || given === undefined || !isComparable(given, key)) return undefined
  return given.digests[passwordOf(user)] === digestOf(key, release.id, passwordOf(user), password)
    ? undefined
    : `This password of ${user} is not the one that the VM has, which was given another one: ${mend}`
}

/** For a LAN whose router does not lead people inside to its public address. Pure. */
export function lanNotes({ public: { host, httpsPort }, service, ownCertificate, acme }: Access): string[] {
  if (service === undefined || service === host) return []
  const how =
    ownCertificate || acme !== undefined
      ? `let its DNS, or the hosts file, lead ${host} to ${service}`
      : `put ${service} in the place of ${host}${httpsPort === 443 ? '' : `:${httpsPort}`}`
  return [`In the site's own LAN, if the public name does not lead anywhere there: ${how}.`]
}
