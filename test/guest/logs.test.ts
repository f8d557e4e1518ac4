/** Real Promtail and real Loki with what the guest renders (only addresses and folders differ): a line's way to a query. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { dashboardQueries, dashboards } from '../../images/dashboards/dashboards.ts'
import { grafanaProvisioning } from '../../images/guest/grafana.ts'
import { lokiConfiguration } from '../../images/guest/loki.ts'
import { promtailConfiguration } from '../../images/guest/promtail.ts'
import { ensureTools, haveTools } from '../../tools/index.ts'
import type { Seed } from '../../images/contract/seed.ts'
import { Agent } from './agent-rig.ts'
import { freePorts } from './free-ports.ts'
import { seeds } from './seed.ts'

const children: ChildProcess[] = []
let folder = ''
let lokiUrl = ''

async function run(program: string, args: string[], ready: string): Promise<void> {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  children.push(child)
  let said = ''
  child.stderr.on('data', (part: Buffer) => (said += part.toString()))
  for (;;) {
    if (child.exitCode !== null) throw new Error(`${program} ended: ${said.slice(-2000)}`)
    if (
      await fetch(ready).then(
        (answer) => answer.ok,
        () => false,
      )
    )
      return
    await pause(100) // it is starting
  }
}

interface Result {
  readonly stream?: Record<string, string>
  readonly metric?: Record<string, string>
  readonly values: readonly (readonly [string | number, string])[]
}

const hour = 3_600_000

/** What a query of the last hour finds, or of other hours around now. */
async function query(expression: string, [from = -1, to = 0]: readonly number[] = []): Promise<readonly Result[]> {
  const parameters = new URLSearchParams({
    query: expression,
    start: String((Date.now() + from * hour) * 1e6),
    end: String((Date.now() + to * hour) * 1e6),
    step: '60',
    limit: '1000',
  })
  const answer = await fetch(`${lokiUrl}/loki/api/v1/query_range?${parameters}`)
  if (!answer.ok) throw new Error(`${expression}: ${await answer.text()}`)
  return ((await answer.json()) as { data: { result: Result[] } }).data.result
}

/** As Docker's json-file driver writes with the tag of daemon.json. */
const docker = (name: string, stream: string, text: string, at = Date.now()): string =>
  JSON.stringify({ log: `${text}\n`, stream, attrs: { tag: name }, time: new Date(at).toISOString() }) + '\n'

/** A record as Docker writes it for a line over 16 KiB: several, of which only the last one ends the line. */
function cut(record: string): string[] {
  const whole = JSON.parse(record) as { log: string }
  return (whole.log.match(/[\s\S]{1,16384}/g) ?? []).map((log) => JSON.stringify({ ...whole, log }) + '\n')
}

const request = (status: number, user: string): string =>
  JSON.stringify({ time: 'now', remote: '10.0.0.9', user, host: 'h', method: 'POST', path: '/mcp', status, bytes: 1, seconds: 0.25 })

/** Building them takes minutes and is no business of a test: `npm test` does it before, where it can. */
const built = await haveTools(['loki', 'otelcol'])
const plan = await haveTools(['promtail'])
let otelcol: Agent | undefined

/** The plan's agent in a second slot, so that the lines of both can be told apart. */
const withPromtail: Seed = {
  ...seeds.serena,
  slot: 'green',
  hostname: 'home-serena-green',
  loki: { ...seeds.serena.loki!, agent: 'promtail' },
}
const hosts = [['otelcol', 'home-serena-blue'], ...(plan ? ([['promtail', 'home-serena-green']] as const) : [])] as const

describe.skipIf(!built)('a log line (needs Loki and the collector in the cache; Promtail too, where that is there)', () => {
  beforeAll(async () => {
    const tools = await ensureTools(['loki', 'otelcol'])
    folder = mkdtempSync(join(tmpdir(), 'golden-logs-'))
    const [http = 0, grpc = 0, promtail = 0, metrics = 0] = await freePorts(4)
    lokiUrl = `http://127.0.0.1:${http}`
    const loki = JSON.parse(lokiConfiguration(seeds.logging) ?? '') as { server: Record<string, unknown> }
    Object.assign(loki.server, { http_listen_address: '127.0.0.1', http_listen_port: http, grpc_listen_port: grpc })
    writeFileSync(join(folder, 'loki.yaml'), JSON.stringify(loki).replaceAll('/var/lib/loki', join(folder, 'loki')))

    const containers = join(folder, 'containers')
    const write = (id: string, lines: string[]): void => {
      mkdirSync(join(containers, id), { recursive: true })
      writeFileSync(join(containers, id, `${id}-json.log`), lines.join(''))
    }
    write('aaa', [docker('serena_mcp', 'stderr', 'INFO tool read_file')])
    // A clock that was ahead, one that was set back, and what has waited for days; and a line that Docker cuts.
    const big = docker('clocks', 'stdout', 'z'.repeat(200_000))
    write('ccc', [
      docker('clocks', 'stdout', 'ahead', Date.now() + 14 * hour),
      docker('clocks', 'stdout', 'now'),
      docker('clocks', 'stdout', 'late', Date.now() - 100 * hour),
      ...cut(big),
    ])
    write('bbb', [
      docker('nginx_proxy', 'stdout', request(200, 'me')),
      docker('nginx_proxy', 'stdout', request(401, '')),
      docker('nginx_proxy', 'stderr', 'upstream timed out, request: "POST /messages/?session_id=5ecret_ID-9 HTTP/1.1"'),
    ])
    const settings = JSON.parse(promtailConfiguration(withPromtail) ?? '') as {
      server: Record<string, unknown>
      clients: Record<string, unknown>[]
      scrape_configs: { job_name: string }[]
    }
    Object.assign(settings.server, { http_listen_port: promtail })
    for (const client of settings.clients) {
      client.url = `${lokiUrl}/loki/api/v1/push`
      delete client.basic_auth
      delete client.tls_config
    }
    // The journal is this computer's own, and no business of a test.
    settings.scrape_configs = settings.scrape_configs.filter((config) => config.job_name === 'containers')
    const text = JSON.stringify(settings).replaceAll('/var/lib/docker/containers', containers).replaceAll('/var/lib/promtail', folder)
    writeFileSync(join(folder, 'promtail.yaml'), text)

    await run(tools.loki.path, [`-config.file=${join(folder, 'loki.yaml')}`], `${lokiUrl}/ready`)
    if (plan)
      await run(
        (await ensureTools(['promtail'])).promtail.path,
        [`-config.file=${join(folder, 'promtail.yaml')}`],
        `http://127.0.0.1:${promtail}/ready`,
      )
    otelcol = new Agent(tools.otelcol.path, folder, seeds.serena, { url: `${lokiUrl}/otlp/v1/logs`, json: false, port: metrics })
    await otelcol.start()
    while ((await query('{job="containers", container_name!="clocks"}')).flatMap((stream) => stream.values).length < 4 * hosts.length)
      await pause(200) // it is under way
  })

  afterAll(async () => {
    await otelcol?.stop('SIGKILL')
    for (const child of children) {
      const ended = once(child, 'exit')
      if (child.kill('SIGKILL')) await ended
    }
    rmSync(folder, { recursive: true, force: true })
  })

  it.each(hosts)('is found by the labels of its container and its VM: %s', async (_agent, host) => {
    const [serena] = await query(
      `{container_name="serena_mcp", host="${host}", role="serena", slot="${host.split('-')[2]}", image="ffffffffffff", group="serena"}`,
    )
    expect(serena?.values.map(([, line]) => line)).toEqual(['INFO tool read_file'])
    expect(serena?.stream).toMatchObject({ stream: 'stderr', job: 'containers' })
    // The file's name holds the container's id: a stream for each container that ever ran.
    expect(serena?.stream).not.toHaveProperty('filename')
  })

  it.each(hosts)('keeps no session of SSE, which has it in the address: %s', async (_agent, host) => {
    const [errors] = await query(`{container_name="nginx_proxy", stream="stderr", host="${host}"}`)
    expect(errors?.values.map(([, line]) => line)).toEqual(['upstream timed out, request: "POST /messages/?session_id=… HTTP/1.1"'])
  })

  it('is taken from any time that a clock may have said, and whole', async () => {
    const lines = async (): Promise<string[]> =>
      (
        await Promise.all(
          [
            [-101, -99],
            [-1, 15],
          ].map(async (hours) => query('{container_name="clocks", host="home-serena-blue"}', hours)),
        )
      )
        .flat()
        .flatMap((stream) => stream.values)
        .map(([, line]) => line)
    while ((await lines()).length < 4) await pause(200) // it is under way
    expect((await lines()).map((line) => line.slice(0, 10) + (line.length > 10 ? line.length : '')).sort()).toEqual([
      'ahead',
      'late',
      'now',
      'zzzzzzzzzz200000',
    ])
  }, 30_000)

  it('is seen by every panel of the dashboards', async () => {
    const found = await Promise.all(dashboardQueries().map(async (expression) => [expression, (await query(expression)).length] as const))
    expect(found.length).toBeGreaterThan(8)
    // There is no journal here; its queries must only be understood.
    for (const [expression, count] of found) if (!expression.includes('job="journal"')) expect(count, expression).toBeGreaterThan(0)
  })
})

it('the dashboards ask the data source that is provisioned, and every panel has a query', () => {
  const [datasource] = grafanaProvisioning({})
  const { uid } = (JSON.parse(datasource?.content ?? '') as { datasources: { uid: string }[] }).datasources[0]!
  for (const dashboard of Object.values(dashboards())) {
    const panels = (dashboard.panels ?? []) as { type: string; datasource?: { uid: string }; targets?: { expr: string }[] }[]
    const real = panels.filter((panel) => panel.type !== 'row')
    expect(real.length).toBeGreaterThan(0)
    for (const panel of real) {
      expect(panel.datasource?.uid).toBe(uid)
      expect(panel.targets?.length).toBeGreaterThan(0)
    }
  }
})
