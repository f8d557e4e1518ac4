/** The site that clones are made for, and what they are told. */
import { X509Certificate } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { contains, parseNetwork } from '../../settings/address.ts'
import { parseSite, type Site } from '../../settings/site.ts'
import type { Image } from '../../images/catalog.ts'
import { nftables } from '../../releases/nftables.ts'
import { seedContents } from '../../releases/seed.ts'
import { makeTrialSecrets } from '../../verify/secrets.ts'
import { trialGroups, trialNetwork, trialRelease, trialSite, trialUser } from '../../verify/trial.ts'
import { exampleSite, hash } from '../images/example.ts'

const logging = {
  roles: ['logging'],
  service: '192.168.1.60',
  depot: 9300,
  slots: { blue: { vmid: 9301, address: '192.168.1.61' }, green: { vmid: 9302, address: '192.168.1.62' } },
}
const two = exampleSite((input) => {
  input.groups.logging = logging
  input.network.outgoing = [{ to: '140.82.112.0/20', port: 443 }]
  input.network.ntp = ['192.168.1.1']
  input.serena.transports = ['sse']
  input.serena.interface = 'repl'
  input.serena.projects = [{ name: 'secret', git: 'https://140.82.112.3/x.git' }]
  input.public.certificate = { chainFile: 'x', key: { kind: 'env', name: 'KEY' } }
})
const image = { vmid: 9001, name: 'golden-home-aaaaaaaaaaaa', record: { fingerprint: hash('a') } } as Image
const origin = { run: '6925a0000001', id: 'aaaaaaaaaaaa', created: new Date(0), image, fullClone: false }
const releasesOf = (site: Site) => {
  const trial = trialSite(site, [9005, 9006])
  return trialGroups(site).map((_, at) => trialRelease(site, trial, at, origin))
}

const address = fc
  .tuple(
    fc.integer({ min: 1, max: 223 }),
    fc.integer({ min: 0, max: 255 }),
    fc.integer({ min: 0, max: 255 }),
    fc.integer({ min: 1, max: 254 }),
  )
  .map((parts) => parts.join('.'))

describe('the network of clones', () => {
  const siteAt = (build: string, subnet = '192.168.1.0/24'): Site => ({
    ...two,
    network: { ...two.network, subnet },
    image: { ...two.image, build: { ...two.image.build, address: build } },
  })

  it('is one that no router forwards, whatever the build address, and not one of the site', () => {
    fc.assert(
      fc.property(address, fc.constantFrom('192.168.1.0/24', '198.18.0.0/16', '10.0.0.0/8'), (build, subnet) => {
        const { subnet: found, address: at } = trialNetwork(siteAt(build, subnet))
        const network = parseNetwork(found)
        expect(network?.prefix).toBe(29)
        for (let index = 1; index <= 6; index++) expect(contains(network!, at(index))).toBe(true)
        expect(['198.18.0.0/15', '100.64.0.0/10'].some((range) => contains(parseNetwork(range)!, at(1)))).toBe(true)
        expect(contains(parseNetwork(subnet)!, at(1))).toBe(false)
      }),
    )
  })

  it('is another one for each build address of a LAN', () => {
    const all = Array.from({ length: 254 }, (_, last) => trialNetwork(siteAt(`192.168.1.${last + 1}`)).subnet)
    expect(new Set(all).size).toBe(254)
  })
})

describe('clones', () => {
  it('have the roles of the groups, the one with the logs first, and nothing of the users', () => {
    expect(trialGroups(two)).toEqual([
      { name: 'logging', roles: ['logging'] },
      { name: 'serena', roles: ['serena'] },
    ])
    const [logs, serena] = releasesOf(two)
    expect(logs?.vm).toMatchObject({
      vmid: 9005,
      name: 'golden-verify-home-0-6925a0000001',
      seed: 'golden-iso:iso/golden-verify-home-0-6925a0000001.iso',
    })
    expect(serena?.vm).toMatchObject({ vmid: 9006, name: 'golden-verify-home-1-6925a0000001' })
    expect(logs?.vm.mac).not.toBe(serena?.vm.mac)
    expect(serena?.seed).toMatchObject({
      service: '192.168.1.40',
      serena: { transports: ['streamable-http', 'sse'], interface: 'tools', projects: [{ name: 'golden-check' }] },
      loki: { host: logs?.seed.service },
      ssh: { projectKeys: [], adminKeys: [] },
    })
    expect(JSON.stringify([logs, serena])).not.toMatch(/140\.82|secret|"chainFile|192\.168\.1\.5[0-2]/)
    // None has an address that another one, or a slot of the site, has.
    const addresses = [logs, serena].flatMap((one) => [one?.seed.address, one?.seed.service, one?.seed.peer])
    expect(new Set(addresses).size).toBe(6)
    for (const [group] of Object.entries(two.groups))
      for (const slot of Object.values(two.groups[group]!.slots)) expect(addresses).not.toContain(slot.address)
  })

  it('get nowhere but to each other: no site, whatever it lets out, changes that', () => {
    const outgoing = fc.array(fc.record({ to: address.map((text) => `${text}/32`), port: fc.integer({ min: 1, max: 65_535 }) }), {
      maxLength: 4,
    })
    fc.assert(
      fc.property(outgoing, fc.boolean(), (ways, single) => {
        const site = exampleSite((input) => {
          input.network.outgoing = ways
          if (single) input.groups.serena.roles = ['serena', 'logging']
          else input.groups.logging = logging
        })
        const own = parseNetwork(trialNetwork(site).subnet)!
        for (const { flows, seed } of releasesOf(site)) {
          for (const flow of flows.flows.filter(({ direction, steered }) => direction === 'out' && steered === undefined)) {
            expect(flow.remote.length).toBeGreaterThan(0)
            for (const remote of flow.remote) expect(contains(own, remote) || remote === site.image.build.address).toBe(true)
          }
          expect(contains(own, seed.gateway)).toBe(true)
          expect(seed.ntp).toEqual([])
        }
      }),
      { numRuns: 40 },
    )
  })

  it('of one VM are one', () => {
    const one = exampleSite((input) => {
      input.groups.serena.roles = ['serena', 'logging']
    })
    const [only, ...more] = releasesOf(one)
    expect(more).toEqual([])
    expect(only?.seed).toMatchObject({ roles: ['serena', 'logging'], service: '192.168.1.40', loki: { host: '192.168.1.40' } })
    expect(only?.flows.flows.some(({ purpose }) => purpose.includes('other clone'))).toBe(false)
  })

  it('of the example site have a seed with all that their roles need', async () => {
    const trial = trialSite(two, [9005, 9006])
    const secrets = await makeTrialSecrets(trial, new Date())
    for (const release of releasesOf(two)) {
      const files = await seedContents(release, secrets.seeds[release.seed.group]!)
      expect(files.get('golden/nftables.nft')).toBe(nftables(release.flows))
      const certificate = new X509Certificate(
        files.get(release.seed.group === 'serena' ? 'golden/tls/public.pem' : 'golden/tls/logging.pem')!,
      )
      expect(certificate.checkIssued(new X509Certificate(secrets.ca))).toBe(true)
      expect(certificate.checkIP(release.seed.service)).toBe(release.seed.service)
      expect([...files.values()].join('')).not.toContain(secrets.password)
    }
    expect(secrets.seeds.serena?.users).toEqual([{ name: trialUser, password: secrets.password }])
    expect(secrets.seeds.logging?.lokiPushPassword).toBe(secrets.seeds.serena?.lokiPushPassword)
  }, 30_000)

  it('have names that Proxmox takes, whatever the site is called', () => {
    const name = 'a'.repeat(32)
    const site = parseSite({ ...two, name })
    expect(site.ok && trialRelease(site.site, trialSite(site.site, [1, 2]), 1, origin).vm.name.length).toBeLessThanOrEqual(63)
  })
})
