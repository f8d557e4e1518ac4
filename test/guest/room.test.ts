/** Room on the disks: told before there is none, and Loki's and the projects' kept apart. */
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { deliveryProblems } from '../../images/guest/delivery.ts'
import { thriftily, trouble } from '../../images/guest/health.ts'
import { thisMachine, type Machine } from '../../images/guest/machine.ts'
import { decide, hold, silentMs, type Patience } from '../../images/guest/patience.ts'
import { imageRecordFile, seedFolder, stateWishFile, wantedContainers } from '../../images/guest/places.ts'
import { limitsOf, nextLimits, overridesOf, reserveOf, Share, shareOf, shareProblems, type Limits } from '../../images/guest/share.ts'
import { slotctl } from '../../images/guest/slotctl.ts'
import { isFull, spaceProblems } from '../../images/guest/space.ts'
import { describe as describeSlot, type Observation } from '../../images/guest/status.ts'
import { inRoot, rootPath, type Root } from '../../lab/debian/root.ts'
import { image, seeds } from './seed.ts'

const root: Root = { folder: await rootPath() }
const gib = 1024 ** 3
const disk = { disk: 'data', name: 'the data disk', size: 32 * gib, free: 20 * gib, files: 1000, freeFiles: 900 } as const

it('a disk is a problem before it is full, and not when it is large', () => {
  expect(spaceProblems([disk])).toEqual([])
  expect(spaceProblems([{ ...disk, free: 3 * gib }])).toEqual(['the data disk is nearly full: 3.0 of 32.0 GiB are free'])
  expect(spaceProblems([{ ...disk, size: 2000 * gib, free: 20 * gib }])).toEqual([])
  expect(spaceProblems([{ ...disk, freeFiles: 40 }])).toEqual(['the data disk has room for 40 more files only, of 1000'])
  expect(spaceProblems([{ ...disk, files: 0, freeFiles: 0 }])).toEqual([])
  expect(spaceProblems([{ ...disk, free: 0 }])).toEqual(['the data disk is full: 0.0 of 32.0 GiB are free'])
  expect([disk, { ...disk, free: gib }, { ...disk, freeFiles: 40 }, { ...disk, files: 0, freeFiles: 0 }].map(isFull)).toEqual(
    Array(4).fill(false),
  )
  expect(
    [
      { ...disk, free: 30 * 1024 ** 2 },
      { ...disk, freeFiles: 0 },
      { ...disk, size: gib, free: gib / 200 },
    ].map(isFull),
  ).toEqual(Array(3).fill(true))
})

it('what waits for Loki is told before there is no more room for it, and what is lost is counted', () => {
  const figures = (size: number, failed: number): string => `# TYPE otelcol_exporter_queue_size gauge
otelcol_exporter_queue_capacity{data_type="logs",exporter="otlp_http"} 5.36870912e+08
otelcol_exporter_queue_size{data_type="logs",exporter="otlp_http"} ${size}
otelcol_exporter_send_failed_log_records_total{exporter="otlp_http"} ${failed}
`
  expect(deliveryProblems(figures(1e6, 0))).toEqual([])
  expect(deliveryProblems(figures(3e8, 0))).toEqual([
    expect.stringMatching(/^286 MiB of log lines wait for Loki, and there is room for 512:/),
  ])
  expect(deliveryProblems(figures(5e6, 0))).toHaveLength(1)
  expect(deliveryProblems(figures(0, 12))).toEqual([expect.stringMatching(/^Loki has refused 12 log lines for good/)])
  expect(deliveryProblems('')).toEqual([])
})

it('Loki is asked for a whole use once a minute while it is good, and at every look while it is not', async () => {
  const loki = { ...wantedContainers(seeds.logging).find(({ name }) => name === 'loki')!, probe: 'http://127.0.0.1:1/ready' }
  let now = 0
  let asked = 0
  let answer: string | undefined = 'status 500: Ingester is shutting down'
  const look = thriftily({ ...thisMachine, uptime: () => now }, async () => {
    asked += 1
    return answer
  })
  expect([await look(loki), await look(loki), asked]).toEqual([answer, answer, 2])
  answer = undefined
  expect(await look(loki)).toBeUndefined()
  now = 59_000
  // Only whether it is there: nothing listens on port 1.
  expect([await look(loki), asked]).toEqual(['', 3])
  now = 61_000
  expect([await look(loki), asked]).toEqual([undefined, 4])
})

/** A Loki that says the same to every push and to every query. */
async function lokiThat(push: number, query: number): Promise<{ probe: string; close: () => void }> {
  const server = createServer((request, response) => {
    request.resume()
    response.statusCode = request.url?.startsWith('/loki/api/v1/push') ? push : request.url?.startsWith('/loki') ? query : 200
    response.end('{"status":"success","data":{"resultType":"streams","result":[]}}')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { probe: `http://127.0.0.1:${(server.address() as AddressInfo).port}/ready`, close: () => server.close() }
}

it.for([
  [429, 200, undefined],
  [429, 500, expect.stringMatching(/^status 500/)],
  [500, 200, expect.stringMatching(/^status 500/)],
  [204, 200, 'a line that was pushed is not found'],
] as const)('Loki that says %i to a push and %i to a query', async ([push, query, wrong]) => {
  const loki = wantedContainers(seeds.logging).find(({ name }) => name === 'loki')!
  const { probe, close } = await lokiThat(push, query)
  try {
    expect(await trouble(thisMachine, { ...loki, probe })).toEqual(wrong)
  } finally {
    close()
  }
})

it.for(['both', 'logging'] as const)(
  'a disk without room for Loki is told and keeps nobody away; all else that ails Loki does (%s)',
  (role) => {
    const slot = { seed: seeds[role], image }
    const names = wantedContainers(slot.seed).map(({ name }) => name)
    const seen: Observation = {
      disk: 'mounted',
      containers: names.map((name) => ({ id: name, name, state: 'running' })),
      answering: new Set(names.filter((name) => name !== 'loki')),
      reasons: new Map([['loki', 'status 500: no space left on device']]),
      restarted: new Set(),
      addresses: [slot.seed.service],
      cloneProblems: [],
      addressProblems: [],
    }
    expect(describeSlot(slot, { ...seen, fullForLoki: true })).toMatchObject({
      healthy: true,
      services: { loki: { state: 'starting' } },
      problems: ['loki is starting (the data disk has no room for it)'],
    })
    expect(describeSlot(slot, seen)).toMatchObject({ healthy: false, problems: ['loki is starting (status 500: no space left on device)'] })
    // It ends where it can't even open its files.
    const ended = { ...seen, containers: seen.containers!.map((found) => (found.name === 'loki' ? { ...found, state: 'exited' } : found)) }
    expect([describeSlot(slot, { ...ended, fullForLoki: true }).healthy, describeSlot(slot, ended).healthy]).toEqual([true, false])
    expect(
      describeSlot(slot, { ...seen, fullForLoki: true, containers: seen.containers!.filter(({ name }) => name !== 'loki') }).healthy,
    ).toBe(false)
    const mute = new Set([...seen.answering].filter((name) => name !== 'nginx_proxy'))
    expect(describeSlot(slot, { ...seen, fullForLoki: true, answering: mute }).healthy).toBe(false)
  },
)

it('a full disk explains a Grafana that does not start, and no Serena', () => {
  const slot = { seed: seeds.both, image }
  const names = wantedContainers(slot.seed).map(({ name }) => name)
  const without = (silent: string, change: Partial<Observation>) =>
    describeSlot(slot, {
      disk: 'mounted',
      containers: names.map((name) => ({ id: name, name, state: name === silent ? 'exited' : 'running' })),
      answering: new Set(names.filter((name) => name !== silent)),
      restarted: new Set(),
      addresses: [slot.seed.service],
      cloneProblems: [],
      addressProblems: [],
      ...change,
    })
  expect(without('grafana', { full: ['data'] })).toMatchObject({
    healthy: true,
    full: ['data'],
    problems: [expect.stringContaining('no room')],
  })
  for (const [name, full] of [
    ['grafana', ['root']],
    ['grafana', []],
    ['serena_mcp', ['data']],
    ['nginx_proxy', ['data']],
  ] as const)
    expect(without(name, { full: [...full] }).healthy).toBe(false)
})

it('a verb that finds no room says so, and not where in its source', async () => {
  const said: string[] = []
  const files = new Map([
    [`${seedFolder}/seed.json`, JSON.stringify(seeds.serena)],
    [imageRecordFile, JSON.stringify(image)],
  ])
  const machine: Machine = {
    ...thisMachine,
    files: {
      ...thisMachine.files,
      exists: (path) => files.has(path),
      read: (path) => files.get(path) ?? '',
      write(path) {
        if (path === stateWishFile) throw Object.assign(new Error(`ENOSPC: no space left on device, write '${path}'`), { code: 'ENOSPC' })
      },
    },
    lock: async () => () => {},
    say: (line) => void said.push(line),
  }
  expect(await slotctl(machine, ['state', 'before'])).toBe(1)
  expect(JSON.parse(said[0] ?? '')).toMatchObject({ error: { code: 'no-room', message: expect.stringContaining(stateWishFile) } })
})

it('Loki is not restarted while its disk is full, and soon after there is room', () => {
  const patience: Patience = new Map()
  for (let now = 0; now <= 3_600_000; now += 5000) hold(patience, 'loki', now)
  expect(decide(patience, 'loki', 'silent', 3_600_000 + silentMs - 1)).toBe('wait')
  expect(decide(patience, 'loki', 'silent', 3_600_000 + silentMs)).toBe('restart')
})

describe("Loki's share", () => {
  const limits: Limits = { retentionHours: 720, takes: true }
  it('is a quarter of a disk with projects, and most of one without', () => {
    expect([shareOf(['serena', 'logging'], 40), shareOf(['logging'], 40)]).toEqual([10, 36])
  })

  it('near its share it keeps less, at its share it takes nothing, and it says so', () => {
    expect(nextLimits(limits, 720, 70, 100)).toEqual(limits)
    expect(nextLimits(limits, 720, 81, 100)).toEqual({ retentionHours: 540, takes: true })
    expect(nextLimits(limits, 720, 100, 100)).toEqual({ retentionHours: 540, takes: false })
    // Once it takes nothing, it needs some room before it takes lines again.
    expect(nextLimits({ ...limits, takes: false }, 720, 96, 100).takes).toBe(false)
    expect(nextLimits({ ...limits, takes: false }, 720, 94, 100).takes).toBe(true)
    expect(nextLimits({ retentionHours: 540, takes: true }, 720, 50, 100)).toEqual(limits)
    expect(shareProblems({ retentionHours: 540, takes: false }, 720, 8 * gib)).toEqual([
      'Loki keeps 22.5 days instead of 30: its share of the data disk, 8.0 GiB, is nearly full',
      'Loki takes no lines until there is room in its share of the data disk, 8.0 GiB; they wait in their VMs',
    ])
    expect(shareProblems(limits, 720, gib)).toEqual([])
    expect(JSON.parse(overridesOf({ retentionHours: 24, takes: false }))).toEqual({
      overrides: { fake: { retention_period: '24h', ingestion_rate_mb: 0, ingestion_burst_size_mb: 0 } },
    })
  })

  it('never keeps less than a day or more than the site says, and comes back to that', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3650 }), fc.array(fc.integer({ min: 0, max: 200 }), { maxLength: 60 }), (days, history) => {
        const wanted = days * 24
        let now: Limits = { retentionHours: wanted, takes: true }
        for (const used of history) {
          now = nextLimits(now, wanted, used, 100)
          expect(now.retentionHours).toBeGreaterThanOrEqual(Math.min(24, wanted))
          expect(now.retentionHours).toBeLessThanOrEqual(wanted)
        }
        for (let round = 0; round < 40; round++) now = nextLimits(now, wanted, 0, 100)
        expect(now).toEqual({ retentionHours: wanted, takes: true })
      }),
    )
  })

  describe('and a golden-watch that is started again', () => {
    const minute = 60_000
    let folder = ''
    /** Of 100: as large as the share. */
    let used = 0
    let host: Machine
    let places: { dataFolder: string; overrides: string; report: string }
    beforeEach(() => {
      folder = mkdtempSync(join(tmpdir(), 'golden-share-'))
      mkdirSync(join(folder, 'loki'))
      places = { dataFolder: folder, overrides: join(folder, 'overrides.yaml'), report: join(folder, 'share.json') }
      host = {
        ...thisMachine,
        files: {
          ...thisMachine.files,
          space: () => ({ bsize: 1, blocks: Math.ceil((100 * gib) / 0.9), bfree: 0, bavail: 0, files: 0, ffree: 0 }),
          chown: () => {},
        },
        run: async () => ({ status: 0, stdout: `${used * gib}\t${folder}\n`, stderr: '' }),
      }
      writeFileSync(places.overrides, '{}\n')
      vi.spyOn(console, 'log').mockImplementation(() => {})
    })
    afterEach(() => {
      vi.restoreAllMocks()
      rmSync(folder, { recursive: true, force: true })
    })
    const start = (): Share => new Share(host, { roles: ['logging'], logging: { retentionDays: 30, port: 8443 } }, places)
    const told = (): Limits => limitsOf(readFileSync(places.overrides, 'utf8'), 720)
    const report = (): string[] => JSON.parse(readFileSync(places.report, 'utf8')) as string[]

    it('at 97 % goes on to take nothing, and takes lines again with the room', async () => {
      used = 101
      await start().keep(0)
      expect(told()).toEqual({ retentionHours: 540, takes: false })
      rmSync(places.report)
      used = 97
      const again = start()
      await again.keep(0)
      expect([told(), report()]).toEqual([
        { retentionHours: 540, takes: false },
        [expect.stringMatching(/^Loki keeps 22.5 days/), expect.stringMatching(/^Loki takes no lines/)],
      ])
      used = 94
      await again.keep(2 * minute)
      expect([told(), report()]).toEqual([{ retentionHours: 540, takes: true }, [expect.stringMatching(/^Loki keeps 22.5 days/)]])
    })

    it("at 70 % keeps the shorter time, and comes back to the site's with the room", async () => {
      used = 85
      await start().keep(0)
      used = 70
      const again = start()
      await again.keep(0)
      expect([told().retentionHours, report()]).toEqual([540, [expect.stringMatching(/^Loki keeps 22.5 days/)]])
      used = 50
      await again.keep(60 * minute)
      expect([told(), report()]).toEqual([limits, []])
    })

    it('again and again, shortens the time no more often than one that goes on', async () => {
      used = 85
      for (let i = 0; i < 5; i++) await start().keep(0)
      expect(told().retentionHours).toBe(540)
      const last = start()
      await last.keep(0)
      await last.keep(46 * minute)
      expect(told().retentionHours).toBe(405)
    })

    it("writes anew what it can't read, and leaves what a boot has rendered", async () => {
      used = 50
      await start().keep(0)
      expect([readFileSync(places.overrides, 'utf8'), report()]).toEqual(['{}\n', []])
      for (const torn of ['', '{"overrides":{"fake":{}}}', 'null']) {
        writeFileSync(places.overrides, torn)
        await start().keep(0)
        expect(readFileSync(places.overrides, 'utf8')).toBe(overridesOf(limits))
        rmSync(places.overrides)
      }
    })
  })

  it('what Loki has not used of it is reserved, and changed only when that is worth it', () => {
    const mib = 1024 ** 2
    expect(reserveOf(0, 8 * gib, 4096, 0)).toBe(2_097_152)
    expect(reserveOf(mib, 8 * gib, 4096, 2_097_152)).toBeUndefined()
    expect(reserveOf(gib, 8 * gib, 4096, 2_097_152)).toBe(1_835_008)
    expect(reserveOf(9 * gib, 8 * gib, 4096, 4096)).toBe(0)
  })

  it.skipIf(process.getuid?.() !== 0 || !existsSync(root.folder))(
    "projects can't fill what is reserved for Loki, on a disk that was made without it (needs root and the lab's Debian root)",
    async () => {
      const unit = readFileSync(join(import.meta.dirname, '../../images/rootfs/usr/lib/systemd/system/srv-golden.mount'), 'utf8')
      const options = /^Options=(.*)$/m.exec(unit)?.[1] ?? ''
      const script = `set -eu
truncate -s 48M /tmp/disk
mkfs.ext4 -q -L golden-data -m 1 -b 4096 /tmp/disk
mkdir /tmp/data
mount -o loop,${options} /tmp/disk /tmp/data
trap 'umount /tmp/data' EXIT
mkdir /tmp/data/projects /tmp/data/loki
chown 1000:1000 /tmp/data/projects
chown 10001:10001 /tmp/data/loki
tune2fs -r 4096 "$(findmnt -n -o SOURCE /tmp/data)" > /dev/null
fill() { setpriv --reuid "$1" --regid "$1" --clear-groups dd if=/dev/zero of="/tmp/data/$2" bs=256k 2> /dev/null || true; }
fill 1000 projects/a
fill 1000 projects/b
fill 10001 loki/a
stat -c %s /tmp/data/projects/b /tmp/data/loki/a`
      const { stdout } = await inRoot(root, ['sh', '-c', script])
      const [projects = NaN, loki = NaN] = stdout.trim().split('\n').map(Number)
      expect(projects).toBeLessThan(1024 ** 2)
      expect(loki).toBeGreaterThan(15 * 1024 ** 2)
    },
    60_000,
  )
})
