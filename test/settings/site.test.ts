import fc from 'fast-check'
import { resolve } from 'node:path'
import { expect, it } from 'vitest'
import { contains, parseNetwork } from '../../settings/address.ts'
import { loadSiteFile } from '../../settings/load.ts'
import { macOf, parseSite, type SiteInput } from '../../settings/site.ts'

const example = (await import('../../site.example.ts')).default as SiteInput
const changed = (change: (site: any) => void): unknown => {
  const site = structuredClone(example)
  change(site)
  return site
}
const problemsOf = (input: unknown): string[] => {
  const parsed = parseSite(input)
  return parsed.ok ? [] : parsed.problems.map((problem) => problem.path)
}

it('the example site is sound', async () => {
  const site = await loadSiteFile(resolve(import.meta.dirname, '../../site.example.ts'))
  expect(site.proxmox.tokenId).toBe('golden@pve!golden')
  expect(Object.keys(site.groups)).toEqual(['serena', 'logging'])
})

it('all mistakes are listed at once, with their path', () => {
  const paths = problemsOf(
    changed((site) => {
      site.proxmox.url = 'http://192.168.1.5'
      site.network.subnet = '192.168.1.7/24'
      site.serena.users[0].password = 'hunter2'
      site.groups.serena.roles = ['serana']
      site.groups.logging.memoryMB = 12
      site.proxmos = {}
    }),
  )
  expect(paths).toEqual(
    expect.arrayContaining([
      'proxmox.url',
      'network.subnet',
      'serena.users.0.password',
      'groups.serena.roles.0',
      'groups.logging.memoryMB',
      'proxmos',
    ]),
  )
})

it('mistakes of form and of relation are listed together', () => {
  const paths = problemsOf(
    changed((site) => {
      site.public.host = 'Not A Host'
      site.groups.logging.slots.blue.address = site.groups.serena.service
      site.groups.logging.slots.green.vmid = site.groups.serena.depot
    }),
  )
  expect(paths).toEqual(expect.arrayContaining(['public.host', 'groups.logging.slots.blue.address', 'groups.logging.slots.green.vmid']))
})

it.each<[string, (site: any) => void, string]>([
  [
    'an address outside of the subnet',
    (site) => {
      site.groups.serena.service = '10.0.0.1'
    },
    'groups.serena.service',
  ],
  [
    'the broadcast address',
    (site) => {
      site.image.build.address = '192.168.1.255'
    },
    'image.build.address',
  ],
  [
    'a VMID in the template range',
    (site) => {
      site.groups.serena.depot = 9050
    },
    'groups.serena.depot',
  ],
  [
    'one role in two groups',
    (site) => {
      site.groups.logging.roles = ['logging', 'serena']
    },
    'groups.logging.roles',
  ],
  [
    'no Serena at all',
    (site) => {
      delete site.groups.serena
    },
    'groups',
  ],
  [
    'disks on the ISO storage',
    (site) => {
      site.proxmox.storage.iso = site.proxmox.storage.disks
    },
    'proxmox.storage.iso',
  ],
  [
    'one pool for both',
    (site) => {
      site.proxmox.depotPool = 'golden'
    },
    'proxmox.depotPool',
  ],
  [
    'a user twice',
    (site) => {
      site.serena.users.push(site.serena.users[0])
    },
    'serena.users.1.name',
  ],
  [
    'a base from two places',
    (site) => {
      site.image.base = { os: 'debian-13', file: 'x.qcow2', url: 'https://x.example.org/y.qcow2', sha256: 'a'.repeat(64) }
    },
    'image.base',
  ],
  [
    'a base without its checksum',
    (site) => {
      site.image.base.url = 'https://x.example.org/y.qcow2'
    },
    'image.base',
  ],
  [
    'a checksum of nobody knows what',
    (site) => {
      site.image.base.sha256 = 'a'.repeat(64)
    },
    'image.base',
  ],
  [
    'a password in the address of an archive',
    (site) => {
      site.image.archives = [{ url: 'http://me:secret@deb.example.org/debian', suites: ['trixie'] }]
    },
    'image.archives.0.url',
  ],
  [
    'a suite that would be another line of its sources',
    (site) => {
      site.image.archives = [{ url: 'http://deb.example.org/debian', suites: ['trixie\nTrusted: yes'] }]
    },
    'image.archives.0.suites.0',
  ],
  [
    'the address of Proxmox for a slot',
    (site) => {
      site.groups.serena.slots.blue.address = '192.168.1.5'
    },
    'groups.serena.slots.blue.address',
  ],
  [
    'the address of a nameserver for a service',
    (site) => {
      site.network.nameservers.push('192.168.1.2')
      site.groups.serena.service = '192.168.1.2'
    },
    'groups.serena.service',
  ],
  [
    'the address of a time server for the build',
    (site) => {
      site.network.ntp = ['192.168.1.3']
      site.image.build.address = '192.168.1.3'
    },
    'image.build.address',
  ],
  [
    'a registry in another folder',
    (site) => {
      site.image.registries = [{ host: '../../etc', caFile: 'x' }]
    },
    'image.registries.0.host',
  ],
  [
    'a registry of two lines',
    (site) => {
      site.image.registries = [{ host: 'registry.example\n10.0.0.1 git.example', caFile: 'x' }]
    },
    'image.registries.0.host',
  ],
  [
    'an API with a path',
    (site) => {
      site.proxmox.url = 'https://pve:8006/api2'
    },
    'proxmox.url',
  ],
  [
    'a logging port that nginx may not have',
    (site) => {
      site.logging = { port: 53 }
    },
    'logging.port',
  ],
  [
    'one port of the router for both',
    (site) => {
      site.public.httpPort = 443
    },
    'public.httpPort',
  ],
  [
    'a nameserver among the containers',
    (site) => {
      site.network.nameservers = ['172.30.0.2']
    },
    'network.nameservers.0',
  ],
  [
    'a time server among the containers',
    (site) => {
      site.network.ntp = ['172.30.1.2']
    },
    'network.ntp.0',
  ],
  [
    'a way out to the containers',
    (site) => {
      site.network.outgoing = [{ to: '172.30.0.0/24', port: 443 }]
    },
    'network.outgoing.0.to',
  ],
  [
    'a git host among the containers',
    (site) => {
      site.network.outgoing = [{ to: '0.0.0.0/0', port: 443 }]
      site.serena.projects = [{ name: 'a', git: 'https://172.30.0.9/a' }]
    },
    'serena.projects.0.git',
  ],
  [
    "a LAN that the containers use by the site's own choice",
    (site) => {
      site.network.containers = '192.168.0.0/22'
    },
    'network.subnet',
  ],
  [
    "a LAN inside the containers' network",
    (site) => {
      site.network.containers = '192.168.0.0/16'
    },
    'network.subnet',
  ],
  [
    'too small a network for the containers',
    (site) => {
      site.network.containers = '10.9.0.0/24'
    },
    'network.containers',
  ],
  [
    'a public network for the containers',
    (site) => {
      site.network.containers = '172.32.0.0/16'
    },
    'network.containers',
  ],
  [
    'containers half outside of what is private',
    (site) => {
      site.network.containers = '172.0.0.0/8'
    },
    'network.containers',
  ],
  [
    'the loopback as a nameserver',
    (site) => {
      site.network.nameservers = ['127.0.0.53']
    },
    'network.nameservers.0',
  ],
  [
    'a group address as a time server',
    (site) => {
      site.network.ntp = ['224.0.1.1']
    },
    'network.ntp.0',
  ],
  [
    'the whole world as LAN',
    (site) => {
      site.network.subnet = '0.0.0.0/0'
    },
    'network.subnet',
  ],
  [
    'a host that clients take for an address',
    (site) => {
      site.public.host = '1.2.3'
    },
    'public.host',
  ],
  [
    'a host with a number at its end',
    (site) => {
      site.public.host = 'serena.example.0x1f'
    },
    'public.host',
  ],
  [
    'a logging port that routers forward',
    (site) => {
      site.logging = { port: 443 }
    },
    'logging.port',
  ],
  [
    'a logging port that Promtail has',
    (site) => {
      site.logging = { port: 9080 }
    },
    'logging.port',
  ],
  [
    'a logging port that nginx has for itself',
    (site) => {
      site.logging = { port: 8099 }
    },
    'logging.port',
  ],
  [
    'a LAN that the containers use',
    (site) => {
      site.network.subnet = '172.30.0.0/16'
    },
    'network.subnet',
  ],
  [
    'an admin network that the containers use',
    (site) => {
      site.network.admin = ['192.168.1.0/24', '172.30.1.0/24']
    },
    'network.admin.1',
  ],
  [
    'a public name that no certificate holds',
    (site) => {
      site.public.host = `${'a'.repeat(40)}.${'b'.repeat(30)}.example`
    },
    'public.host',
  ],
  [
    'names that are too long together',
    (site) => {
      site.name = `a${'b'.repeat(29)}`
      site.groups[`c${'d'.repeat(27)}`] = { ...site.groups.logging, roles: ['logging'] }
      delete site.groups.logging
    },
    `groups.c${'d'.repeat(27)}`,
  ],
  [
    'more admin networks than a rule holds',
    (site) => {
      site.network.admin = Array.from({ length: 32 }, (_none, index) => `192.168.100.${index}/32`)
    },
    'network.admin',
  ],
  [
    'more nameservers than a rule holds',
    (site) => {
      site.network.nameservers = Array.from({ length: 40 }, (_none, index) => `192.168.100.${100 + index}`)
    },
    'network.nameservers',
  ],
  [
    'less memory than one Serena may take',
    (site) => {
      site.serena.memoryMiB = 4096
    },
    'groups.serena.memoryMiB',
  ],
  [
    'a password for the state',
    (site) => {
      site.backend = { type: 'http', config: { address: 'https://state.example/x', password: 'hunter2' } }
    },
    'backend.config.password',
  ],
  [
    "a password in the state's address",
    (site) => {
      site.backend = { type: 'http', config: { address: 'https://me:hunter2@state.example/x' } }
    },
    'backend.config.address',
  ],
  [
    'a secret key for the state',
    (site) => {
      site.backend = { type: 's3', config: { bucket: 'b', secret_key: 'hunter2' } }
    },
    'backend.config.secret_key',
  ],
  [
    'a secret further in',
    (site) => {
      site.backend = { type: 's3', config: { bucket: 'b', assume_role_with_web_identity: { web_identity_token: 'hunter2' } } }
    },
    'backend.config.assume_role_with_web_identity.web_identity_token',
  ],
  [
    "a database's password",
    (site) => {
      site.backend = { type: 'pg', config: { conn_str: 'host=db password=hunter2' } }
    },
    'backend.config.conn_str',
  ],
])('%s is refused', (_name, change, path) => {
  expect(problemsOf(changed(change))).toContain(path)
})

it.each([
  'https://root:hunter2@pve:8006',
  'https://pve:8006/?hunter2',
  'https://pve:8006?',
  'https://pve:8006#hunter2',
  'https://pve\n:8006',
  'https://pve:80060',
  'https://[fd00:8006',
])('%j is no URL of an API, and not said again', (url) => {
  const parsed = parseSite(
    changed((site) => {
      site.proxmox.url = url
    }),
  )
  expect(parsed).toMatchObject({
    ok: false,
    problems: [{ path: 'proxmox.url', message: expect.stringContaining('must be https://HOST:8006') }],
  })
  expect(JSON.stringify(parsed)).not.toContain('hunter2')
})

it.each(['https://192.168.1.5:8006/', 'https://pve.example', 'https://[fd00::5]:8006'])('%s is one', (url) => {
  expect(
    problemsOf(
      changed((site) => {
        site.proxmox.url = url
      }),
    ),
  ).toEqual([])
})

it('a node that routes and resolves names for its VMs is fine', () => {
  expect(
    problemsOf(
      changed((site) => {
        site.proxmox.url = 'https://192.168.1.1:8006'
      }),
    ),
  ).toEqual([])
})

it('a wrong name of a group is told with what it may be, and the rest is compared all the same', () => {
  const parsed = parseSite(
    changed((site) => {
      site.groups.My_Logs = site.groups.logging
      delete site.groups.logging
      site.groups.serena.depot = 9050
    }),
  )
  expect(parsed).toMatchObject({
    ok: false,
    problems: expect.arrayContaining([
      { path: 'groups.My_Logs', message: expect.stringMatching(/^this name must be lower-case letters/) },
      expect.objectContaining({ path: 'groups.serena.depot' }),
    ]),
  })
})

it('the containers may be elsewhere, and then what they had is free', () => {
  expect(
    problemsOf(
      changed((site) => {
        site.network.containers = '10.255.0.0/20'
        site.network.nameservers = ['172.30.0.2']
        site.network.admin.push('172.30.0.0/24')
      }),
    ),
  ).toEqual([])
})

it('what only looks like it is fine', () => {
  expect(
    problemsOf(
      changed((site) => {
        site.network.admin = ['172.16.0.0/12', '0.0.0.0/0']
        site.backend = {
          type: 's3',
          config: {
            bucket: 'b',
            skip_credentials_validation: true,
            assume_role_with_web_identity: { web_identity_token_file: '/run/token' },
          },
        }
      }),
    ),
  ).toEqual([])
  expect(
    problemsOf(
      changed((site) => {
        site.backend = { type: 'pg', config: { conn_str: 'postgres://db.example/states' } }
      }),
    ),
  ).toEqual([])
})

it('a secret of the backend is not said again, and the variable for it is', () => {
  const parsed = parseSite(
    changed((site) => {
      site.backend = { type: 's3', config: { bucket: 'b', secret_key: 'hunter2' } }
    }),
  )
  expect(JSON.stringify(parsed)).toContain('AWS_SECRET_ACCESS_KEY')
  expect(JSON.stringify(parsed)).not.toContain('hunter2')
})

it.each(['git@git.example:a/b.git', 'git.example:a/b.git', 'ssh://git@git.example:2222/a', 'git+ssh://git.example/a'])(
  'a project from %s is refused: the VM has no key for it',
  (git) => {
    const parsed = parseSite(
      changed((site) => {
        site.serena.projects = [{ name: 'a', git }]
      }),
    )
    expect(parsed).toMatchObject({
      ok: false,
      problems: [{ path: 'serena.projects.0.git', message: expect.stringMatching(/over SSH: the VM has no key.*ssh\.projectKeys/) }],
    })
  },
)

it.each([
  'https://me:token@git.example/a.git',
  'https://token@git.example/a.git',
  'HTTP://me:@git.example/a',
  'ssh://git:secret@git.example/a',
  '--upload-pack=touch /tmp/x',
])('a project from %s is refused, without saying the secret again', (git) => {
  const parsed = parseSite(
    changed((site) => {
      site.serena.projects = [{ name: 'a', git }]
    }),
  )
  expect(parsed).toMatchObject({
    ok: false,
    problems: [
      { path: 'serena.projects.0.git', message: expect.stringMatching(git.startsWith('-') ? /hyphen/ : /push the repository over SSH/) },
    ],
  })
  expect(JSON.stringify(parsed)).not.toMatch(/token|secret/)
})

it.each([
  ['https://git.example/a.git', { to: '203.0.113.0/24', port: 443 }],
  ['https://git.example:8443/@scope/a.git', { to: '0.0.0.0/0', port: 8443 }],
  ['http://git.example/~me/a', { to: '203.0.113.7/32', port: 80, protocol: 'tcp' }],
  ['git://git.example/a', { to: '203.0.113.7/32', port: 9418 }],
  ['https://203.0.113.7/a%20b/ü.git', { to: '203.0.113.0/29', port: 443 }],
])('a project from %s is fine where %o is listed, and refused where it is not', (git, way) => {
  const withWays = (...outgoing: unknown[]) =>
    problemsOf(
      changed((site) => {
        site.serena.projects = [{ name: 'a', git }]
        site.network.outgoing = outgoing
      }),
    )
  expect(withWays(way)).toEqual([])
  for (const other of [[], [{ ...way, port: way.port + 1 }], [{ ...way, protocol: 'udp' }]])
    expect(withWays(...other)).toEqual(['serena.projects.0.git'])
})

it('a host by its address needs a way to that address', () => {
  const parsed = parseSite(
    changed((site) => {
      site.serena.projects = [{ name: 'a', git: 'https://203.0.113.7/a.git' }]
      site.network.outgoing = [{ to: '203.0.113.8/32', port: 443 }]
    }),
  )
  expect(parsed).toMatchObject({
    ok: false,
    problems: [{ path: 'serena.projects.0.git', message: expect.stringMatching(/network\.outgoing .*203\.0\.113\.7\/32', port: 443/) }],
  })
})

it.each([
  '../x',
  '/srv/x',
  'x',
  'git.example.org/x',
  '//git.example.org/x',
  'https:/git.example.org/x',
  'https:git.example.org/x',
  'C:\\x',
  'file:///srv/x',
  'FILE:///srv/x',
  'ext::sh -c id',
  'ext::x',
  'fd::7',
  'http::https://git.example.org/x',
  'https://git.example.org/x.git#main',
  'https://git.example.org',
  'https://git.example.org/',
  'https://',
  'https:///x',
  'https://git.example.org:/x',
  'https://git.example.org:0/x',
  'https://git.example.org:65536/x',
  'https://git.example.org:port/x',
  ' https://git.example.org/x',
  'https://git.example.org/x\n',
  'https://git.example.org/a b',
  'https://git.example.org/x\u200b',
  '\ufeffhttps://git.example.org/x',
  'ftp://git.example.org/x',
  'ftps://git.example.org/x',
  'HTTPS://git.example.org/x',
  'rsync://git.example.org/x',
  'https://[::1]/x',
  'https://localhost/x',
  'https://127.0.0.1/x',
  'https://0/x',
  'https://git.example.org/x.git?private_token=y',
  'https://-x',
  '~/x',
  './x',
])('a project from %j can never be cloned, and is refused', (git) => {
  expect(
    problemsOf(
      changed((site) => {
        site.serena.projects = [{ name: 'a', git }]
        site.network.outgoing = [80, 443, 9418].map((port) => ({ to: '0.0.0.0/0', port }))
      }),
    ),
  ).toEqual(['serena.projects.0.git'])
})

it('a network contains exactly its addresses', () => {
  const octet = fc.integer({ min: 0, max: 255 })
  fc.assert(
    fc.property(octet, octet, octet, octet, fc.integer({ min: 1, max: 32 }), (a, b, c, d, prefix) => {
      const number = ((a * 256 + b) * 256 + c) * 256 + d
      const size = 2 ** (32 - prefix)
      const text = (value: number): string => [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.')
      const first = Math.floor(number / size) * size
      const network = parseNetwork(`${text(first)}/${prefix}`)
      if (network === undefined) return false
      return (
        contains(network, text(number)) &&
        (first === 0 || !contains(network, text(first - 1))) &&
        (first + size > 0xffffffff || !contains(network, text(first + size))) &&
        (number === first || prefix === 32 || parseNetwork(`${text(number)}/${prefix}`) === undefined)
      )
    }),
  )
})

it("VMIDs and addresses get different MAC addresses, all in Proxmox's range", () => {
  const place = fc.tuple(fc.integer({ min: 100, max: 999_999_999 }), fc.constantFrom('192.168.1.51', '192.168.1.52', '10.0.0.51'))
  fc.assert(
    fc.property(place, place, (one, other) => {
      expect(macOf(...one)).toMatch(/^BC:24:11(:[0-9A-F]{2}){3}$/)
      return (one[0] === other[0] && one[1] === other[1]) || macOf(...one) !== macOf(...other)
    }),
  )
})

it('VMIDs with the same low 24 bits do not share a MAC address, nor do two sites with the same VMIDs in one LAN', () => {
  expect(macOf(9201 + 2 ** 24, '192.168.1.51')).not.toBe(macOf(9201, '192.168.1.51'))
  expect(macOf(9201, '192.168.1.71')).not.toBe(macOf(9201, '192.168.1.51'))
})

it('two slots that would share a MAC address by chance are refused', () => {
  // Found by trying: the hash of both has the same first 24 bits.
  const [one, other] = [11169, 12143] as const
  expect(macOf(one, '192.168.1.51')).toBe(macOf(other, '192.168.1.52'))
  expect(
    problemsOf(
      changed((site) => {
        site.groups.serena.slots.blue.vmid = one
        site.groups.serena.slots.green.vmid = other
      }),
    ),
  ).toEqual(['groups.serena.slots.green.vmid'])
})

it("a base is left to the lock, or pinned; archives are the distribution's unless named, without a slash at their end", () => {
  const siteOf = (image: Record<string, unknown>) => {
    const parsed = parseSite(changed((site) => Object.assign(site.image, image)))
    return parsed.ok ? parsed.site.image : parsed.problems
  }
  expect(siteOf({})).toMatchObject({ base: { os: 'ubuntu-24.04', sha256: '' } })
  const pinned = { os: 'debian-13', url: 'https://x.example.org/y.qcow2', sha256: 'a'.repeat(64) }
  expect(siteOf({ base: pinned })).toMatchObject({ base: pinned })
  expect(siteOf({ archives: [{ url: 'http://deb.example.org/debian/', suites: ['trixie'] }] })).toMatchObject({
    archives: [{ url: 'http://deb.example.org/debian', suites: ['trixie'], components: ['main'] }],
  })
})
