/** From where, and where to, it is tried what containers get to; and that what a machine sends is counted. */
import { execFile, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import type { Image } from '../../images/catalog.ts'
import { nftables } from '../../releases/nftables.ts'
import type { Site } from '../../settings/site.ts'
import { countingTable } from '../../verify/closed.ts'
import { scansOf, type Scan } from '../../verify/scans.ts'
import { targetText } from '../../verify/targets.ts'
import { trialGroups, trialRelease, trialSite } from '../../verify/trial.ts'
import { exampleSite, hash } from '../images/example.ts'

const logging = {
  roles: ['logging'],
  service: '192.168.1.60',
  depot: 9300,
  slots: { blue: { vmid: 9301, address: '192.168.1.61' }, green: { vmid: 9302, address: '192.168.1.62' } },
}
const two = exampleSite((input) => {
  input.groups.logging = logging
})
const one = exampleSite((input) => {
  input.groups.serena.roles = ['serena', 'logging']
  input.serena.transports = ['streamable-http', 'sse']
})
const running = ['nginx_proxy', 'otelcol', 'serena_mcp', 'serena_mcp_sse', 'loki', 'grafana']
const image = { vmid: 9001, name: 'golden-home-aaaaaaaaaaaa', record: { fingerprint: hash('a') } } as Image
const releaseOf = (site: Site, group: string) => {
  const trial = trialSite(site, [9005, 9006])
  const at = trialGroups(trial).findIndex(({ name }) => name === group)
  return trialRelease(site, trial, at, { run: '6925a0000001', id: 'aaaaaaaaaaaa', created: new Date(0), image, fullClone: false })
}
const scans = (site: Site, group: string, names = running): Map<string, Scan> => {
  const release = releaseOf(site, group)
  return new Map(scansOf(site, { release }, names, [release.seed.address, release.seed.service]).map((scan) => [scan.container, scan]))
}
const placesOf = (scan: Scan | undefined): string[] => (scan?.targets ?? []).map(targetText)

describe('it is tried', () => {
  it("from each container that has a network of its own, and from one of those that have the machine's", () => {
    expect([...scans(two, 'logging').keys()]).toEqual(['loki', 'grafana', 'otelcol'])
    expect([...scans(two, 'serena').keys()]).toEqual(['serena_mcp', 'otelcol'])
    expect([...scans(one, 'serena').keys()]).toEqual(['serena_mcp', 'serena_mcp_sse', 'loki', 'grafana', 'otelcol'])
    expect([...scans(two, 'logging', ['nginx_proxy', 'loki']).keys()]).toEqual(['loki', 'nginx_proxy'])
  })

  it('whether each gets to itself, and to places beyond its network: most from the first of Serena, a few from the others', () => {
    const all = scans(one, 'serena')
    expect([...all.values()].map(({ own }) => targetText(own))).toEqual([
      '127.0.0.1:9121',
      '127.0.0.1:9121',
      '127.0.0.1:3100',
      '127.0.0.1:3000',
      '127.0.0.1:9080',
    ])
    for (const scan of all.values())
      expect(placesOf(scan)).toEqual(
        expect.arrayContaining(['192.0.2.1:443', '192.168.1.5:8006', '192.168.1.1:443', '192.168.1.1:53', '192.168.1.51:443']),
      )
    expect(placesOf(all.get('serena_mcp'))).toEqual(expect.arrayContaining(['172.30.0.21:3100', '172.30.0.22:3000', '172.30.0.1:8099']))
    const [fromLoki, fromAgent] = [placesOf(all.get('loki')), placesOf(all.get('otelcol'))]
    expect(fromLoki).toEqual(expect.arrayContaining(['172.30.0.11:9121', '172.30.0.17:443', '192.168.1.40:443']))
    // Grafana asks Loki; the machine asks its containers and itself.
    expect(fromLoki.filter((place) => place.startsWith('172.30.0.2'))).toEqual([])
    expect(fromAgent.filter((place) => /^172\.|^198\.|192\.168\.1\.40:/.test(place))).toEqual([])
    for (const few of [fromLoki, fromAgent]) expect(few.length).toBeLessThan(16)
  })

  it('not where the flow table lets it out: what is for the machine is not for its containers', () => {
    const release = releaseOf(two, 'serena')
    const way = { direction: 'out', remote: ['192.0.2.0/24'], protocol: 'tcp', ports: [443], purpose: 'a test' } as const
    const tried = (flow: object): Record<string, boolean> => {
      const flows = { ...release.flows, flows: [...release.flows.flows, { ...way, ...flow }] }
      return Object.fromEntries(
        scansOf(two, { release: { ...release, flows } }, running, []).map((scan) => [
          scan.container,
          placesOf(scan).includes('192.0.2.1:443'),
        ]),
      )
    }
    expect(tried({})).toEqual({ serena_mcp: false, otelcol: false })
    expect(tried({ hostOnly: true })).toEqual({ serena_mcp: true, otelcol: false })
    expect(tried({ only: 'acme' })).toEqual({ serena_mcp: true, otelcol: true })
    expect(tried({ ports: [80] })).toEqual({ serena_mcp: true, otelcol: true })
  })
})

const cannot = spawnSync('unshare', ['-n', 'nft', 'list', 'tables']).status !== 0

describe.skipIf(cannot)(`what a machine sends ${cannot ? '(not here: needs root and nft)' : ''}`, () => {
  const reach = join(import.meta.dirname, '../../images/guest/reach.ts')
  /** In a network with one card and nobody else. */
  const sent = async (rules: string): Promise<number> => {
    const release = releaseOf(two, 'logging')
    const targets = scans(two, 'logging').get('otelcol')?.targets ?? []
    const script = `
      ip link set lo up; ip link add eth0 type veth peer name far; ip address add ${release.seed.address}/29 dev eth0; ip link set eth0 up; ip link set far up
      ip route add default dev eth0
      nft "$RULES"; nft "$COUNTING"
      "$NODE" --disable-warning=ExperimentalWarning ${reach} --udp ${targets.map(targetText).join(' ')} > /dev/null
      nft list table inet golden_verify`
    const env = { ...process.env, RULES: rules, COUNTING: countingTable(targets), NODE: process.execPath }
    const { stdout } = await promisify(execFile)('unshare', ['--net', 'sh', '-euc', script], { env })
    return Number(/packets (\d+)/.exec(stdout)?.[1])
  }

  it("is counted where its firewall lets it out, and is nothing where that is the flow table's", async () => {
    const { flows } = releaseOf(two, 'logging')
    const table = nftables(flows)
    const leaky = table.replace(
      'type filter hook output priority filter; policy drop;',
      'type filter hook output priority filter; policy accept;',
    )
    expect(leaky).not.toBe(table)
    const [closed, open] = await Promise.all([sent(table), sent(leaky)])
    expect(closed).toBe(0)
    expect(open).toBeGreaterThan(10)
  })
})
