/** Sites of any kind that the schema has words for: names at their limits, many of everything, one VM or two. */
import fc from 'fast-check'
import { generateSshKey } from '../../settings/secrets/generate-ssh-key.ts'

const dotted = (number: number): string => [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.')
const anyAddress = fc.integer({ min: 2 ** 24, max: 0xdfffffff }).map(dotted)
const network = fc
  .tuple(fc.integer({ min: 0, max: 0xdfffffff }), fc.integer({ min: 0, max: 32 }))
  .map(([number, prefix]) => `${dotted(Math.floor(number / 2 ** (32 - prefix)) * 2 ** (32 - prefix))}/${prefix}`)
const port = fc.oneof(fc.constantFrom(1, 53, 79, 80, 81, 443, 8443, 65_535), fc.integer({ min: 1, max: 65_535 }))
const label = fc.oneof(
  { weight: 3, arbitrary: fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/) },
  { weight: 1, arbitrary: fc.integer({ min: 30, max: 63 }).map((length) => 'x'.repeat(length)) },
)
const host = fc.oneof(
  anyAddress,
  fc.constant('localhost'),
  fc
    .tuple(fc.array(label, { minLength: 1, maxLength: 8 }), fc.integer({ min: 1, max: 64 }))
    .map(([labels, length]) => `${labels.join('.').slice(0, length)}.org`.slice(-64).replace(/^[-.]+/, 'x')),
)
const name = (longest: number): fc.Arbitrary<string> =>
  fc.oneof(fc.stringMatching(new RegExp(`^[a-z]([a-z0-9-]{0,${longest - 2}}[a-z0-9])?$`)), fc.constant('y'.repeat(longest)))
/** One key is as good as another; what people write behind it is not. */
const key = generateSshKey('').publicKey.trim()
const sshKey = fc
  .oneof(
    fc.string({ unit: 'grapheme', maxLength: 60 }),
    fc.string({ unit: 'binary', maxLength: 20 }),
    fc.constantFrom('"', '\\', "'; id #", '${HOME}', '%h', '---'),
  )
  .map((comment) => `${key} ${comment}`)
const odd = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 30 }),
  fc.constantFrom('a"b', '$(id)', '${X}', '%s', '\\', '`id`', '?x=y', 'ü', '{{ .Value }}'),
)
const git = fc
  .tuple(fc.constantFrom('https://', 'http://', 'git://'), label, fc.constantFrom(null, 443, 8443), odd)
  .map(([scheme, at, to, path]) => `${scheme}git-${at.slice(0, 50)}.org${to === null ? '' : `:${to}`}/x${path.replaceAll(/[\s#]/g, '_')}`)

const lan = fc
  .tuple(
    fc.integer({ min: 2 ** 24, max: 0xdfffffff }),
    fc.integer({ min: 8, max: 27 }),
    fc.uniqueArray(fc.integer({ min: 1, max: 30 }), { minLength: 8, maxLength: 8 }),
  )
  .map(([number, prefix, offsets]) => {
    const first = Math.floor(number / 2 ** (32 - prefix)) * 2 ** (32 - prefix)
    return { subnet: `${dotted(first)}/${prefix}`, hosts: offsets.map((offset) => dotted(first + offset)) }
  })

/** What a user writes; not all of it is accepted. */
export const anySite = fc
  .record({
    name: name(20),
    group: name(20),
    other: name(20),
    lan,
    twoVms: fc.boolean(),
    agent: fc.constantFrom('otelcol' as const, 'promtail' as const),
    host,
    ports: fc.tuple(port, port),
    loggingPort: fc.oneof(
      { weight: 4, arbitrary: fc.integer({ min: 81, max: 65_535 }) },
      { weight: 1, arbitrary: port },
      { weight: 1, arbitrary: fc.constant(undefined) },
    ),
    nameservers: fc.array(anyAddress, { minLength: 1, maxLength: 12 }),
    ntp: fc.array(anyAddress, { maxLength: 6 }),
    admin: fc.array(network, { minLength: 1, maxLength: 12 }),
    outgoing: fc.array(fc.record({ to: network, port, protocol: fc.constantFrom('tcp', 'udp') }), { maxLength: 12 }),
    containers: fc.constantFrom(undefined, '10.255.0.0/23', '192.168.128.0/17', '172.16.0.0/12'),
    transports: fc.constantFrom(['streamable-http'], ['sse'], ['sse', 'streamable-http']),
    parking: fc.constantFrom(undefined, { calls: 1, mebibytes: 16, seconds: 1 }, { seconds: 3600 }),
    interface: fc.constantFrom('tools', 'repl'),
    shell: fc.boolean(),
    memoryMiB: fc.integer({ min: 512, max: 4096 }),
    users: fc.uniqueArray(fc.stringMatching(/^[A-Za-z0-9._-]{1,64}$/), { minLength: 1, maxLength: 8 }),
    projects: fc.uniqueArray(
      fc.record({ name: fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/), git: fc.option(git, { nil: undefined }) }),
      { maxLength: 8, selector: (project) => project.name },
    ),
    keys: fc.array(sshKey, { maxLength: 6 }),
    days: fc.integer({ min: 1, max: 3650 }),
    certificate: fc.constantFrom(
      undefined,
      undefined,
      { kind: 'acme', server: 'https://ca.example.org/directory' },
      { kind: 'acme', server: 'https://192.0.2.9:14000/dir', email: 'me@example.org', dns: { provider: 'exec', hook: 'hook' } },
      { kind: 'acme', server: 'https://ca.example.org/dir', externalAccount: { id: 'x', key: { kind: 'env', name: 'X' } }, caFile: 'ca' },
    ),
  })
  .map((any) => {
    const [gateway, build, service, blue, green, service2, blue2, green2] = any.lan.hosts
    const group = (roles: string[], depot: number, at: (string | undefined)[]) => ({
      roles,
      service: at[0],
      memoryMiB: 8192,
      depot,
      slots: { blue: { vmid: depot + 1, address: at[1] }, green: { vmid: depot + 2, address: at[2] } },
    })
    const at = [service, blue, green]
    return {
      name: any.name,
      proxmox: { url: 'https://pve.example:8006', node: 'pve' },
      network: {
        subnet: any.lan.subnet,
        gateway,
        nameservers: any.nameservers,
        ntp: any.ntp,
        admin: any.admin,
        outgoing: [...any.outgoing, ...[80, 443, 8443, 9418].map((out) => ({ to: '0.0.0.0/0', port: out }))],
        ...(any.containers === undefined ? {} : { containers: any.containers }),
      },
      public: {
        host: any.host,
        httpsPort: any.ports[0],
        httpPort: any.ports[1],
        ...(any.certificate === undefined ? {} : { certificate: any.certificate }),
      },
      image: { base: { os: 'debian-13', file: 'x', sha256: 'a'.repeat(64) }, build: { address: build } },
      serena: {
        transports: any.transports,
        interface: any.interface,
        shell: any.shell,
        memoryMiB: any.memoryMiB,
        ...(any.parking === undefined ? {} : { parking: any.parking }),
        projects: any.projects,
        users: any.users.map((user) => ({ name: user, password: { kind: 'env', name: 'X' } })),
      },
      logging: { retentionDays: any.days, agent: any.agent, ...(any.loggingPort === undefined ? {} : { port: any.loggingPort }) },
      ssh: { projectKeys: any.keys, adminKeys: any.keys.slice(0, 1) },
      groups: any.twoVms
        ? {
            [any.group]: group(['serena'], 9200, at),
            [any.other === any.group ? 'zz' : any.other]: group(['logging'], 9300, [service2, blue2, green2]),
          }
        : { [any.group]: group(['serena', 'logging'], 9200, at) },
    }
  })
