/** The settings of lego, the ACME client, for its container: one file in memory, so that no secret is in Docker's records. Pure. */
import { createHash } from 'node:crypto'
import { seedFiles } from '../contract/files.ts'
import type { Seed } from '../contract/seed.ts'

type Acme = NonNullable<Seed['acme']>

/** Where things are in its container (compose.yaml). */
const inside = { settings: '/etc/golden/acme', storage: '/var/lib/lego', webroot: '/var/lib/webroot' } as const
const id = 'golden'
/** What lego runs, of the image, and what that runs, of the seed. */
const hookVariables = `EXEC_PATH="/opt/golden/acme/bin/hook"\nGOLDEN_HOOK="${inside.settings}/hook"\n`

/** What lego calls the certificate: with another server, name or profile it is another one, and not the next of the same. */
export function certificateId({ server, profile = '' }: Acme, host: string): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([server, host, profile]))
    .digest('hex')
  return `${id}-${digest.slice(0, 12)}`
}

/**
 * JSON, which is YAML. The account's file and that of the certificate are lego's own; what it asks the server for is a
 * certificate only when it is time (RFC 9773, or a third of its life). IPv4, because the VMs have no other.
 * @param externalKey of an account that is there already
 */
export function legoConfiguration({ acme, public: { host }, nameservers }: Seed & { acme: Acme }, externalKey: string | undefined): string {
  const { server, email, profile, externalAccount, dns } = acme
  return `${JSON.stringify(
    {
      storage: inside.storage,
      networkStack: 'ipv4only',
      userAgent: 'serena-golden',
      log: { level: 'info', format: 'json' },
      servers: { [id]: { url: server } },
      accounts: {
        [id]: {
          server: id,
          ...(email === undefined ? {} : { email }),
          acceptsTermsOfService: true,
          ...(externalAccount === undefined ? {} : { eab: { kid: externalAccount, hmacKey: externalKey ?? '' } }),
        },
      },
      challenges: {
        [id]:
          dns === undefined
            ? { http: { webroot: inside.webroot } }
            : {
                dns: {
                  provider: dns.provider,
                  envFile: `${inside.settings}/environment`,
                  resolvers: nameservers.map((address) => `${address}:53`),
                  // The zone's own name servers may be anywhere, and the VM gets to no others than these.
                  propagation: dns.waitSeconds === undefined ? { disableAuthoritativeNameservers: true } : { wait: `${dns.waitSeconds}s` },
                },
              },
      },
      certificates: {
        [certificateId(acme, host)]: {
          account: id,
          challenge: id,
          domains: [host],
          ...(profile === undefined ? {} : { profile }),
          // Whoever starts it has spread the hours (acme-state.ts).
          renew: { disableRandomSleep: true },
        },
      },
    },
    null,
    2,
  )}\n`
}

/** A file of the seed, in the client's folder, with the mode that it needs there. */
export interface LegoFile {
  readonly name: string
  readonly content: string
  readonly mode: number
}

/** What there is besides. @param contents files of the seed */
export function legoFiles({ acme }: Seed, contents: Readonly<Record<string, string>>): LegoFile[] {
  if (acme === undefined) return []
  const hook = contents[seedFiles.acmeHook]
  const serverCa = contents[seedFiles.acmeServerCa]
  const environment = `${contents[seedFiles.acmeEnvironment] ?? ''}${hook === undefined ? '' : hookVariables}`
  return [
    ...(acme.dns === undefined ? [] : [{ name: 'environment', content: environment, mode: 0o400 }]),
    ...(hook === undefined ? [] : [{ name: 'hook', content: hook, mode: 0o400 }]),
    ...(serverCa === undefined ? [] : [{ name: 'server-ca.pem', content: serverCa, mode: 0o400 }]),
  ]
}

/** For compose.env: what lego trusts the server by, beside the system's CAs. */
export const serverCaPath = (contents: Readonly<Record<string, string>>): string | undefined =>
  contents[seedFiles.acmeServerCa] === undefined ? undefined : `${inside.settings}/server-ca.pem`
