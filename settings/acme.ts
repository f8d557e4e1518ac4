/**
 * `public.certificate: acme({…})`: the certificate that people see is Let's Encrypt's, or another ACME server's. The slots get
 * and renew it by themselves; what is decided here is whom they ask, and how they show that the name is theirs.
 */
import { isIP } from 'node:net'
import { z } from 'zod'
import { contains, isPrivate, parseNetwork } from './address.ts'
import { secretSchema as secret } from './secret-schema.ts'

export const letsEncrypt = 'https://acme-v02.api.letsencrypt.org/directory'
const letsEncryptStaging = 'https://acme-staging-v02.api.letsencrypt.org/directory'

/** What the client's own settings are called in its environment; those come from elsewhere. */
const reserved = /^(LEGO_|GOLDEN_|EXEC_PATH$|PATH$)/

const way = z.strictObject({
  to: z.string().refine((text) => parseNetwork(text) !== undefined, 'must be an IPv4 network like 192.168.1.0/24, without host bits'),
  port: z.int().min(1).max(65_535),
  protocol: z.enum(['tcp', 'udp']).default('tcp'),
})

export const acmeSchema = z.strictObject({
  kind: z.literal('acme'),
  /** Directory of an ACME server. @default Let's Encrypt's */
  server: z
    .url({ protocol: /^https$/, error: 'must be the https:// address of a directory' })
    .refine((text) => !/^[a-z]+:\/\/[^/]*@/i.test(text), 'must have no credentials in it')
    .optional(),
  /** Let's Encrypt's staging server: no client trusts its certificates, and its limits are wide. To try the way there. */
  staging: z.boolean().default(false),
  /** For the account. Let's Encrypt neither needs nor keeps one. */
  email: z.email().optional(),
  /** CA, in PEM, of the ACME server's own certificate, where no system knows it. */
  caFile: z.string().min(1).optional(),
  /** The CA, in PEM, that the certificates lead to, where no system knows it: clients are told to trust it. */
  rootFile: z.string().min(1).optional(),
  /** Kind of certificate, where the server has several: Let's Encrypt has `classic`, `tlsserver` and `shortlived`. @default the server's */
  profile: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,64}$/, 'must be the name of a profile of the server')
    .optional(),
  /** An account that is there already (ZeroSSL, Google, Sectigo and others): External Account Binding (RFC 8555, 7.3.4). */
  externalAccount: z.strictObject({ id: z.string().regex(/^\S{1,256}$/, 'must be one word'), key: secret }).optional(),
  /** DNS-01 instead of HTTP-01, for a line that forwards no port 80: a record that the client makes shows whose the name is. */
  dns: z
    .strictObject({
      /** `rfc2136` (dynamic updates), `exec` (your own program: `hook`), or what lego calls a provider (go-acme.github.io/lego/dns). */
      provider: z.string().regex(/^[a-z0-9]{1,64}$/, 'must be a name in the list of go-acme.github.io/lego/dns'),
      /** What that provider is told, by the names of lego's documentation. */
      environment: z
        .record(
          z
            .string()
            .regex(/^[A-Z][A-Z0-9_]{0,127}$/, 'must be the name of an environment variable')
            .refine((name) => !reserved.test(name), 'comes from the other settings'),
          z.union(
            [z.string().regex(/^[^\r\n\0]*$/, 'must be one line'), secret],
            'must be a text, or fromFile(…), fromEnv(…) or fromCommand(…)',
          ),
        )
        .default({}),
      /** With `exec`: the file of a shell script, called with present|cleanup, the record's name and its value. It runs in lego's container. */
      hook: z.string().min(1).optional(),
      /** So long the client waits for the record to be everywhere, instead of looking for it with `network.nameservers`. */
      waitSeconds: z.int().min(1).max(3600).optional(),
    })
    .optional(),
  /**
   * Where the client may go besides DNS; nothing else of the VM may. @default anywhere on the server's port (an address: to that
   * alone), with `rfc2136` to its name server, too
   */
  outgoing: z.array(way).min(1).optional(),
})

export type Acme = z.output<typeof acmeSchema>
export type AcmeInput = Omit<z.input<typeof acmeSchema>, 'kind'>

/** For site.ts. */
export const acme = (settings: AcmeInput = {}): z.input<typeof acmeSchema> => ({ kind: 'acme', ...settings })

/** The directory that the client asks. */
export const directoryOf = ({ server, staging }: Pick<Acme, 'server' | 'staging'>): string =>
  server ?? (staging ? letsEncryptStaging : letsEncrypt)

const portOf = (url: string): number => Number(new URL(url).port || 443)

/** By both of lego's names for it. */
const updateServer = (environment: Readonly<Record<string, unknown>>): unknown =>
  environment.DNSUPDATE_NAMESERVER ?? environment.RFC2136_NAMESERVER

const isUpdate = (provider: unknown): boolean => provider === 'rfc2136' || provider === 'dnsupdate'

/** Where the client may go, as settings. */
export function acmeWays({ outgoing, dns, ...settings }: Acme): z.output<typeof way>[] {
  if (outgoing !== undefined) return outgoing
  const directory = directoryOf(settings)
  const { hostname } = new URL(directory)
  const [address, port] = isUpdate(dns?.provider) ? hostAndPort(updateServer(dns?.environment ?? {}), 53) : []
  const update = address !== undefined && port !== undefined && isIP(address) === 4 ? ({ to: `${address}/32`, port } as const) : undefined
  return [
    { to: isIP(hostname) === 4 ? `${hostname}/32` : '0.0.0.0/0', port: portOf(directory), protocol: 'tcp' },
    ...(update === undefined ? [] : (['tcp', 'udp'] as const).map((protocol) => ({ ...update, protocol }))),
  ]
}

function hostAndPort(text: unknown, otherwise: number): [string, number] | [] {
  const [, host, port] = typeof text === 'string' ? (/^([^:\s]+)(?::(\d{1,5}))?$/.exec(text) ?? []) : []
  return host === undefined ? [] : [host, Number(port ?? otherwise)]
}

/** Ends of names that nobody outside of a LAN knows (RFC 2606, 6761, 6762, 8375, and ICANN's for private use). */
const inner = /(^|\.)(local|localhost|lan|home|internal|intranet|test|example|invalid|home\.arpa)$/

interface Problem {
  readonly path: string
  readonly message: string
}

type Loose = Readonly<Record<string, unknown>>
const isLoose = (value: unknown): value is Loose => typeof value === 'object' && value !== null

/**
 * What of it does not fit the rest of the site. Any part may be missing or of another type: that is said elsewhere.
 * @param settings `public`
 */
export function acmeProblems(settings: unknown): Problem[] {
  if (!isLoose(settings) || !isLoose(settings.certificate) || settings.certificate.kind !== 'acme') return []
  const { certificate, host, httpPort = 80 } = settings
  const at = 'public.certificate'
  const problems: Problem[] = []
  const say = (path: string, message: string): void => void problems.push({ path, message })
  const dns = isLoose(certificate.dns) ? certificate.dns : undefined
  const isAddress = typeof host === 'string' && isIP(host) !== 0
  if (certificate.server !== undefined && certificate.staging === true)
    say(`${at}.staging`, "is a server of Let's Encrypt: leave it out, or server")
  if (dns !== undefined && isAddress) say(`${at}.dns`, `is for host names, and public.host is the address ${host}`)
  if (certificate.server === undefined && typeof host === 'string') {
    const network = parseNetwork(`${host}/32`)
    if (isAddress ? network !== undefined && isPrivate(network) : !host.includes('.') || inner.test(host))
      say('public.host', `has no certificate of Let's Encrypt, which knows public names alone, and not ${host}`)
    else if (isAddress && certificate.profile !== 'shortlived')
      say(`${at}.profile`, "must be 'shortlived': Let's Encrypt signs for an address in that way alone")
    if (dns === undefined && httpPort !== 80)
      say(
        'public.httpPort',
        "must be 80 with acme: Let's Encrypt asks at no other port. Forward that one, or use dns in public.certificate",
      )
  }
  if (dns !== undefined) problems.push(...dnsProblems(`${at}.dns`, dns))
  return [...problems, ...wayProblems(`${at}.outgoing`, certificate, dns)]
}

function dnsProblems(path: string, { provider, hook, environment }: Loose): Problem[] {
  const problems: Problem[] = []
  if (provider === 'exec' && hook === undefined)
    problems.push({ path: `${path}.hook`, message: 'is missing: the program that makes the record' })
  if (provider !== 'exec' && hook !== undefined) problems.push({ path: `${path}.hook`, message: "is for provider 'exec' alone" })
  if (isUpdate(provider) && updateServer(isLoose(environment) ? environment : {}) === undefined)
    problems.push({ path: `${path}.environment`, message: 'needs DNSUPDATE_NAMESERVER: the server that takes the updates' })
  return problems
}

/** An answer that the VM's own firewall stops. Of a host by name only the port is known here. */
function wayProblems(path: string, { outgoing, server, staging }: Loose, dns: Loose | undefined): Problem[] {
  if (!Array.isArray(outgoing)) return []
  const url = directoryOf({ server: typeof server === 'string' ? server : undefined, staging: staging === true })
  if (!URL.canParse(url)) return []
  const [updates, port] = isUpdate(dns?.provider) ? hostAndPort(updateServer(isLoose(dns?.environment) ? dns.environment : {}), 53) : []
  const wanted: [string, number][] = [
    [new URL(url).hostname, portOf(url)],
    ...(updates !== undefined && port !== undefined ? ([[updates, port]] satisfies [string, number][]) : []),
  ]
  const leads = (one: unknown, host: string, to: number): boolean => {
    const network = isLoose(one) && typeof one.to === 'string' ? parseNetwork(one.to) : undefined
    return network !== undefined && isLoose(one) && one.port === to && (isIP(host) === 0 || contains(network, host))
  }
  return wanted
    .filter(([host, to]) => !outgoing.some((one) => leads(one, host, to)))
    .map(([host, to]) => ({ path, message: `lets the client out to no ${host}, port ${to}: add { to: 'ADDRESS/PREFIX', port: ${to} }` }))
}
