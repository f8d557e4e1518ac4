/** The guest's pure decisions. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Seed } from '../../images/contract/seed.ts'
import { sessionKey } from '../../images/guest/boot.ts'
import { correction, timesyncdConfiguration } from '../../images/guest/clock.ts'
import { classify } from '../../images/guest/disk.ts'
import { fronts, letsIn, type FrontSeen } from '../../images/guest/front.ts'
import { decide, silentMs, slownessOf, startMs, type Patience } from '../../images/guest/patience.ts'
import { isEssential, presentContainers, wantedContainers, type Container } from '../../images/guest/places.ts'
import { otelcolConfiguration } from '../../images/guest/otelcol.ts'
import { promtailConfiguration } from '../../images/guest/promtail.ts'
import { dockerSettings, parseSeed, renderFiles, SeedProblem } from '../../images/guest/render.ts'
import { projectSettings, serenaConfiguration } from '../../images/guest/serena.ts'
import { describe as describeSlot, type Observation } from '../../images/guest/status.ts'
import { contents, image, imageWithoutGrafana, seeds } from './seed.ts'

describe('the clock', () => {
  it("is the host's where they differ by more than the hardware clock can tell", () => {
    const host = 1_764_460_800
    for (const off of [-1400, -500, 0, 500, 1000, 2400]) expect(correction(host * 1000 + off, host)).toBeUndefined()
    for (const off of [-3_600_000, -2000, 3000, 86_400_000]) expect(correction(host * 1000 + off, host)).toBe(host * 1000 + 500)
    expect(correction(host * 1000, Number.NaN)).toBeUndefined()
  })
  it('asks the servers of the site alone, or nobody', () => {
    expect(timesyncdConfiguration(['10.0.0.1', '10.0.0.2'])).toBe('[Time]\nNTP=10.0.0.1 10.0.0.2\nFallbackNTP=\n')
    expect(timesyncdConfiguration([])).toBe('[Time]\nNTP=\nFallbackNTP=\n')
  })
})

it("dockerd's pool goes with the containers' networks, and the image's other settings stay", () => {
  const inImage = readFileSync(join(import.meta.dirname, '../../images/rootfs/etc/docker/daemon.json'), 'utf8')
  expect(dockerSettings(inImage, {})).toBeUndefined()
  const moved = dockerSettings(inImage, { containers: '10.200.0.0/22' }) ?? ''
  expect(JSON.parse(moved)).toEqual({ ...JSON.parse(inImage), 'default-address-pools': [{ base: '10.200.1.0/24', size: 28 }] })
  expect(dockerSettings(moved, { containers: '10.200.0.0/22' })).toBeUndefined()
})

describe('the data disk', () => {
  const ours = 'DEVNAME=/dev/sdb\nLABEL=golden-data\nUUID=1\nTYPE=ext4\nUSAGE=filesystem\n'
  it('is blank only when blkid finds nothing at all', () => {
    expect(classify(2, '')).toBe('blank')
    expect(classify(0, ours)).toBe('ready')
    expect(classify(0, ours.replace('golden-data', 'other'))).toBe('foreign')
    expect(classify(0, 'TYPE=xfs\nLABEL=golden-data\n')).toBe('foreign')
    expect(classify(0, 'PTTYPE=gpt\n')).toBe('foreign')
    // Ambivalent signatures (8) and a failing blkid are no reason to format.
    expect(classify(8, '')).toBe('foreign')
    expect(classify(null, '')).toBe('foreign')
  })
})

describe('patience', () => {
  it('is longer where everything takes long, and as it was where it does not', () => {
    expect([slownessOf(40, 500), slownessOf(5000, 500), slownessOf(60_000, 500)]).toEqual([1, 10, 20])
    const patience: Patience = new Map()
    decide(patience, 'otelcol', 'answers', 0)
    expect(decide(patience, 'otelcol', 'silent', silentMs, 10)).toBe('wait')
    expect(decide(patience, 'otelcol', 'silent', 10 * silentMs, 10)).toBe('restart')
    // The machine has time again.
    decide(patience, 'otelcol', 'answers', 10 * silentMs)
    expect(decide(patience, 'otelcol', 'silent', 11 * silentMs)).toBe('restart')
  })

  it('leaves a slow start alone, restarts who goes silent, waits longer each time', () => {
    const patience: Patience = new Map()
    expect(decide(patience, 'loki', 'silent', 0)).toBe('wait')
    expect(decide(patience, 'loki', 'silent', startMs - 1)).toBe('wait')
    expect(decide(patience, 'loki', 'answers', startMs)).toBe('wait')
    expect(decide(patience, 'loki', 'silent', startMs + silentMs - 1)).toBe('wait')
    expect(decide(patience, 'loki', 'silent', startMs + silentMs)).toBe('restart')
    expect(decide(patience, 'loki', 'silent', startMs + silentMs + 2 * startMs - 1)).toBe('wait')
    expect(decide(patience, 'loki', 'silent', startMs + silentMs + 2 * startMs)).toBe('restart')
  })

  it('starts what has ended at once, and then less and less often', () => {
    const patience: Patience = new Map()
    expect(decide(patience, 'serena_mcp', 'answers', 0)).toBe('wait')
    expect(decide(patience, 'serena_mcp', 'ended', 1)).toBe('restart')
    expect(decide(patience, 'serena_mcp', 'ended', 9_000)).toBe('wait')
    expect(decide(patience, 'serena_mcp', 'ended', 10_001)).toBe('restart')
    expect(decide(patience, 'serena_mcp', 'ended', 30_000)).toBe('wait')
    expect(decide(patience, 'serena_mcp', 'ended', 30_001)).toBe('restart')
    expect(decide(patience, 'serena_mcp', 'answers', 31_000)).toBe('wait')
    expect(decide(patience, 'serena_mcp', 'ended', 31_001)).toBe('restart')
  })
})

describe("the seal of clients' session ids", () => {
  it('is the same in both slots, another one in each group, and of one boot with a seed of before', () => {
    expect(sessionKey('key\n')).toBe(sessionKey('key'))
    expect(new Set([sessionKey('key'), sessionKey('other'), sessionKey(undefined), sessionKey(undefined)]).size).toBe(4)
    expect(sessionKey('key')).toMatch(/^[\w-]{43}$/)
  })
})

describe('the service address', () => {
  const essentials = (seed: typeof seeds.both): string[] =>
    wantedContainers(seed)
      .filter((container) => isEssential(seed, container))
      .map((container) => container.name)
  it('needs what the slot is for: what is wrong with the logs does not take Serena away', () => {
    expect(essentials(seeds.both)).toEqual(['nginx_proxy', 'serena_mcp'])
    expect(essentials(seeds.serena)).toEqual(['nginx_proxy', 'serena_mcp', 'serena_mcp_sse'])
    expect(essentials(seeds.logging)).toEqual(['nginx_proxy', 'loki'])
  })

  it('needs the way in to what the slot is for, and no other', () => {
    const seen = (serena: string[], logging: string[]): FrontSeen[] => [
      { role: 'serena', problems: serena },
      { role: 'logging', problems: logging },
    ]
    const problem = ['nginx on port 8443: the certificate ended on 2026-01-01']
    expect([letsIn(seeds.both, seen([], [])), letsIn(seeds.both, seen([], problem)), letsIn(seeds.both, seen(problem, []))]).toEqual([
      true,
      true,
      false,
    ])
    expect([
      letsIn(seeds.logging, [{ role: 'logging', problems: problem }]),
      letsIn(seeds.logging, [{ role: 'logging', problems: [] }]),
    ]).toEqual([false, true])
    expect(letsIn(seeds.serena, [{ role: 'serena', problems: problem }])).toBe(false)
    // golden-watch asks at each of them by itself.
    expect(fronts(seeds.both).map(({ role, port }) => [role, port])).toEqual([
      ['serena', 443],
      ['logging', 8443],
    ])
  })
})

describe('status', () => {
  it('says why a container does not work, and what will stand still soon', () => {
    const broken: Observation = {
      ...good,
      answering: new Set(names.filter((name) => name !== 'loki')),
      reasons: new Map([['loki', 'status 500: Ingester is shutting down']]),
      warnings: ['the data disk is nearly full: 0.1 of 8.0 GiB are free'],
      restarted: new Set(['loki']),
    }
    expect(describeSlot(slot, broken)).toMatchObject({
      healthy: false,
      problems: ['the data disk is nearly full: 0.1 of 8.0 GiB are free', 'loki is unhealthy (status 500: Ingester is shutting down)'],
    })
    // A disk that fills is no reason to keep a new slot from its users.
    expect(describeSlot(slot, { ...good, warnings: broken.warnings! })).toMatchObject({ healthy: true, problems: broken.warnings })
  })

  const slot = { seed: seeds.both, image: imageWithoutGrafana }
  const names = wantedContainers(seeds.both)
    .map((container) => container.name)
    .filter((name) => name !== 'grafana')
  const good: Observation = {
    disk: 'mounted',
    containers: names.map((name) => ({ id: name, name, state: 'running' })),
    answering: new Set(names),
    addresses: [seeds.both.address, seeds.both.service],
    cloneProblems: [],
    addressProblems: [],
    restarted: new Set(),
  }

  it('is not healthy where clients do not get in, though every process answers', () => {
    const problem = 'nginx on port 443: the certificate ended on 2026-01-01'
    expect(describeSlot(slot, { ...good, frontProblems: [problem] })).toMatchObject({ healthy: false, problems: [problem] })
    const without = new Set([...good.answering].filter((name) => name !== 'nginx_proxy'))
    expect(describeSlot(slot, { ...good, answering: without, frontProblems: [problem] }).problems).toEqual(['nginx_proxy is starting'])
  })

  it('is healthy with everything answering and the address held; a role without an image is named, not a failure', () => {
    const status = describeSlot(slot, good)
    expect(status).toMatchObject({ active: true, healthy: true, missing: ['grafana'], problems: [], serviceAddress: { held: true } })
    expect(status.services).not.toHaveProperty('grafana')
  })

  it('is not healthy while a service is silent or the address is elsewhere', () => {
    const starting = describeSlot(slot, { ...good, answering: new Set(names.filter((name) => name !== 'loki')) })
    expect(starting).toMatchObject({ healthy: false, services: { loki: { state: 'starting' } }, problems: ['loki is starting'] })
    expect(describeSlot(slot, { ...good, restarted: new Set(['loki']), answering: new Set() }).services.loki).toEqual({
      state: 'unhealthy',
    })
    expect(describeSlot(slot, { ...good, addresses: [seeds.both.address] })).toMatchObject({
      healthy: false,
      serviceAddress: { held: false },
    })
  })

  it('without the data disk it needs the edge only, and says when the address stayed behind', () => {
    const edge = ['nginx_proxy', 'otelcol']
    const idle: Observation = {
      ...good,
      disk: 'absent',
      containers: good.containers?.filter((entry) => edge.includes(entry.name)),
      answering: new Set(edge),
      addresses: [seeds.both.address],
    }
    expect(describeSlot(slot, idle)).toMatchObject({ active: false, healthy: true, problems: [] })
    expect(describeSlot(slot, { ...idle, addresses: good.addresses }).problems).toEqual([
      'the service address is still here without the data disk',
    ])
    // While the group moves to the other slot it is to stay, and the slot is ready to take the group back.
    for (const handover of ['parking', 'forwarding', 'left'] as const)
      expect(describeSlot(slot, { ...idle, addresses: good.addresses, handover })).toMatchObject({ handover, healthy: true, problems: [] })
    expect(describeSlot(slot, idle).handover).toBe('none')
    expect(describeSlot(slot, { ...idle, containers: undefined, answering: new Set() })).toMatchObject({ healthy: false })
  })
})

describe('rendering', () => {
  it("keeps every secret out of what is not a secret's own file", () => {
    const secrets = ['push-secret', 'admin-secret', 'host-key', 't0ken']
    for (const seed of Object.values(seeds)) {
      for (const file of renderFiles(seed, image, contents())) {
        const closed = ((file.mode ?? 0o644) & 0o077) === 0
        for (const secret of secrets) if (!closed) expect(file.content, file.path).not.toContain(secret)
        if (/compose\.env|nginx\.conf|promtail\.yaml|otelcol\.yaml|loki\.yaml/.test(file.path))
          for (const secret of secrets) expect(file.content, file.path).not.toContain(secret)
      }
    }
  })

  it('names what a seed lacks', () => {
    const { 'htpasswd/serena': _, ...without } = contents()
    expect(() => renderFiles(seeds.serena, image, without)).toThrow(SeedProblem)
    expect(() => renderFiles(seeds.serena, image, without)).toThrow(/golden\/htpasswd\/serena/)
    expect(() => parseSeed('{"schema":2}')).toThrow(/schema 2/)
    expect(() => parseSeed('{"schema":1,"release":"r"}')).toThrow(/has no group/)
  })

  it('starts only what the role has and the image brings', () => {
    const names = (seed: Seed, of: Container['unit'], from = image): string[] =>
      presentContainers(seed, from).flatMap(({ name, unit }) => (unit === of ? [name] : []))
    expect(names(seeds.both, 'edge')).toEqual(['nginx_proxy', 'otelcol'])
    expect(names(seeds.both, 'serena')).toEqual(['serena_mcp'])
    expect(names(seeds.both, 'logging', imageWithoutGrafana)).toEqual(['loki'])
    expect(names(seeds.logging, 'logging')).toEqual(['loki', 'grafana'])
    expect(names(seeds.logging, 'serena')).toEqual([])
    const { loki: _, ...alone } = seeds.serena
    expect(names(alone, 'edge')).toEqual(['nginx_proxy'])
    expect([promtailConfiguration(alone), otelcolConfiguration(alone)]).toEqual([undefined, undefined])
    const promtail = { ...seeds.serena, loki: { ...seeds.serena.loki!, agent: 'promtail' as const } }
    expect(names(promtail, 'edge')).toEqual(['nginx_proxy', 'promtail'])
    expect(
      renderFiles(promtail, image, contents())
        .map(({ path }) => path)
        .filter((path) => /otelcol|promtail/.test(path)),
    ).toEqual(['promtail.yaml', 'push-password', 'site-ca.pem'].map((name) => `/run/golden/promtail/${name}`))
  })

  it('Serena gets no trust in projects, and its shell only where the site says so', () => {
    const settings = seeds.serena.serena!
    const closed = JSON.parse(serenaConfiguration(settings, ['a']))
    expect(closed).toMatchObject({
      web_dashboard: false,
      agent_interface: 'tools',
      excluded_tools: ['execute_shell_command'],
      trusted_project_path_patterns: [],
      projects: ['/workspaces/projects/a'],
    })
    const open = JSON.parse(serenaConfiguration({ ...settings, shell: true, interface: 'repl' }, []))
    expect(open).toMatchObject({ agent_interface: 'REPL', excluded_tools: [], excluded_apis: [] })
    expect(JSON.parse(projectSettings('a'))).toEqual({ project_name: 'a', language_servers: ['python', 'typescript'] })
  })
})
