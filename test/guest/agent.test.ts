/** What the log agent owes: nothing is lost while Loki is away, whatever happens to the agent and to the files. */
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { recordOf } from '../../images/guest/journal.ts'
import { ensureTools, haveTools } from '../../tools/index.ts'
import { Agent, DockerLog, StandIn, type Arrived } from './agent-rig.ts'
import { freePorts } from './free-ports.ts'
import { seeds } from './seed.ts'

/** Building it takes minutes and is no business of a test: `npm test` does it before, where it can. */
const built = await haveTools(['otelcol'])

let folder = ''
let loki: StandIn
let agent: Agent

const patient = { timeout: 20_000, interval: 100 }
const arrivedAs = (name: string): Arrived[] => loki.arrived.filter(({ labels }) => labels.container_name === name)
/** Loki keeps one of two lines with the same labels, time and text. */
const kept = (list: readonly Arrived[]): string[] => [
  ...new Map(list.map((one) => [`${one.labels.container_name} ${one.time} ${one.line}`, one.line])).values(),
]
const expectAll = async (name: string, lines: readonly string[]): Promise<void> => {
  await vi.waitUntil(() => new Set(arrivedAs(name).map(({ line }) => line)).size >= new Set(lines).size, patient).catch(() => {})
  // Lengths first: a difference in 200 kB is hard to read.
  expect(
    kept(arrivedAs(name))
      .map((line) => line.length)
      .sort(),
  ).toEqual(lines.map((line) => line.length).sort())
  expect(kept(arrivedAs(name)).sort()).toEqual([...lines].sort())
}

describe.skipIf(!built)('the log agent (needs otelcol in the cache)', () => {
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'golden-agent-'))
    loki = await StandIn.start()
    const { otelcol } = await ensureTools(['otelcol'])
    agent = new Agent(otelcol.path, folder, seeds.serena, { url: loki.url, json: true, port: (await freePorts(1))[0]! })
  })
  afterEach(async () => {
    await agent.stop('SIGKILL')
    loki.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  it('loses nothing to an outage with rotations, kill -9, and a stop that takes seconds', async () => {
    const log = new DockerLog(join(folder, 'containers'), 'serena_mcp', { maxSize: 60_000 })
    const written: string[] = []
    const write = (count: number): void => {
      for (let number = 0; number < count; number++) {
        const line = `${new Date().toISOString()} INFO line ${written.length} ${'x'.repeat(100)}`
        log.write(line)
        written.push(line)
      }
    }
    const readSoFar = (): Promise<unknown> =>
      vi.waitUntil(
        async () => Number(/^otelcol_receiver_accepted_log_records\S* (\S+)/m.exec((await agent.metrics()) ?? '')?.[1] ?? 0) > 0,
        patient,
      )
    write(50)
    await agent.start()
    await expectAll('serena_mcp', written)

    loki.away = true
    write(800)
    expect(log.rotations).toBeGreaterThanOrEqual(3)
    await vi.waitUntil(() => loki.refused > 0, patient)
    await agent.stop('SIGKILL')
    // Rotated while nobody looks.
    write(600)
    await agent.start()
    await readSoFar()
    write(100)
    expect(await agent.stop('SIGTERM')).toBeLessThan(5)
    await agent.start()
    await vi.waitUntil(() => loki.refused > 2, patient)
    write(100)
    expect(loki.arrived).toHaveLength(50)

    loki.away = false
    await expectAll('serena_mcp', written)
    expect(arrivedAs('serena_mcp')[0]?.labels).toEqual({
      container_name: 'serena_mcp',
      stream: 'stdout',
      host: 'home-serena-blue',
      group: 'serena',
      role: 'serena',
      slot: 'blue',
      image: 'ffffffffffff',
      job: 'containers',
    })
  })

  // Volume stands for time: the agent is given the time to read what an hour writes, as it would have.
  it.skipIf(process.env.GOLDEN_TEST_LONG !== '1')(
    'loses nothing to a day without Loki, with rotations and an agent that is stopped or killed every hour',
    async () => {
      const names = ['serena_mcp', 'nginx_proxy', 'grafana']
      const logs = names.map((name) => new DockerLog(join(folder, 'containers'), name, { maxSize: 1_000_000 }))
      const stops: number[] = []
      let number = 0
      const accepted = async (): Promise<number> =>
        Number(
          /^otelcol_receiver_accepted_log_records\{receiver="file_log\/containers"\S* (\S+)/m.exec((await agent.metrics()) ?? '')?.[1] ?? 0,
        )
      const hasRead = async (): Promise<void> => {
        for (let before = -1, now = await accepted(); before !== now; ) {
          await pause(2500) // two looks of the agent at its files
          before = now
          now = await accepted()
        }
      }
      loki.away = true
      for (let hour = 0; hour < 24; hour++) {
        await agent.start()
        for (let count = 0; count < 1_000; count++, number++) for (const log of logs) log.write(`${number} ${'abcdefghij'.repeat(15)}`)
        if (hour % 6 === 0) for (const log of logs) log.write(`big ${hour} ${'z'.repeat(200_000)}`)
        if (hour % 3 === 0) {
          // In the middle of it.
          await agent.stop('SIGKILL')
          continue
        }
        await hasRead()
        stops.push(await agent.stop('SIGTERM'))
      }
      await agent.start()
      const began = performance.now()
      loki.away = false
      const wanted = (number + 4) * names.length
      await vi.waitUntil(() => kept(loki.arrived).length >= wanted, { timeout: 300_000, interval: 1000 }).catch(() => {})
      const figures = {
        lines: wanted,
        MB: Math.round(logs.reduce((sum, log) => sum + log.written, 0) / 1e6),
        rotations: logs.reduce((sum, log) => sum + log.rotations, 0),
        arrived: new Set(loki.arrived.map((one) => `${one.labels.container_name} ${one.line}`)).size,
        doubles: loki.arrived.length - wanted,
        catchUpSeconds: Math.round((performance.now() - began) / 1000),
        slowestStop: Math.max(...stops),
      }
      console.log(JSON.stringify(figures))
      expect(figures.arrived).toBe(wanted)
      expect(figures.rotations).toBeGreaterThan(8)
      expect(figures.slowestStop).toBeLessThan(5)
    },
    3_600_000,
  )

  it('puts lines together that Docker has cut, each stream for itself and across a rotation', async () => {
    const log = new DockerLog(join(folder, 'containers'), 'serena_mcp', { maxSize: 120_000 })
    const big = `{"text":"${'\\n" '.repeat(10_000)}"}`
    const bigger = 'y'.repeat(200_000)
    log.write(big)
    log.record('a'.repeat(16_384), 'stdout')
    log.write('in between', 'stderr')
    log.record('b\n', 'stdout')
    log.write(bigger)
    log.write(bigger, 'stderr')
    expect(log.rotations).toBeGreaterThan(2)
    await agent.start()
    await expectAll('serena_mcp', [big, `${'a'.repeat(16_384)}b`, 'in between', bigger, bigger])
  })

  it('takes files for different ones that begin with the same long line', async () => {
    const log = new DockerLog(join(folder, 'containers'), 'serena_mcp', { maxSize: 100_000 })
    await agent.start()
    const line = 'z'.repeat(40_000)
    for (let number = 0; number < 8; number++) log.write(line)
    await vi.waitUntil(() => kept(arrivedAs('serena_mcp')).length >= 8, patient).catch(() => {})
    expect(kept(arrivedAs('serena_mcp')).map((text) => text.length)).toEqual(Array(8).fill(40_000))
  })

  it('brings the journal, and takes sessions of SSE out of lines', async () => {
    const nginx = new DockerLog(join(folder, 'containers'), 'nginx_proxy')
    nginx.write('upstream timed out, request: "POST /messages/?session_id=5ecret_ID-9 HTTP/1.1"', 'stderr')
    const stamp = { __CURSOR: 'c', __REALTIME_TIMESTAMP: '1764331200000001' }
    appendFileSync(
      join(folder, 'journal', 'journal.log'),
      recordOf({ ...stamp, MESSAGE: 'hello', PRIORITY: '3', SYSLOG_IDENTIFIER: 'sshd', _SYSTEMD_UNIT: 'ssh.service' }) +
        recordOf({ ...stamp, MESSAGE: 'from the kernel', PRIORITY: '6' }),
    )
    await agent.start()
    await expectAll('nginx_proxy', ['upstream timed out, request: "POST /messages/?session_id=… HTTP/1.1"'])
    await vi.waitUntil(() => loki.arrived.length >= 3, patient)
    const journal = loki.arrived
      .filter(({ labels }) => labels.job === 'journal')
      .map(({ labels: { unit, identifier, level }, time, line }) => ({ unit, identifier, level, time, line }))
    expect(journal).toEqual([
      { unit: 'ssh.service', identifier: 'sshd', level: 'error', time: '1764331200000001000', line: 'hello' },
      { unit: undefined, identifier: undefined, level: 'info', time: '1764331200000001000', line: 'from the kernel' },
    ])
  })
})
