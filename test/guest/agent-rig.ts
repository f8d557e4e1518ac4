/** The log agent with the product's configuration, files as Docker writes them, and a stand-in for Loki that can be away. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { otelcolArguments, otelcolConfiguration } from '../../images/guest/otelcol.ts'
import type { Seed } from '../../images/contract/seed.ts'

export interface Arrived {
  readonly labels: Readonly<Record<string, string>>
  readonly time: string
  readonly line: string
}

interface Value {
  readonly stringValue?: string
}
interface Export {
  readonly resourceLogs: readonly {
    readonly resource: { readonly attributes?: readonly { readonly key: string; readonly value: Value }[] }
    readonly scopeLogs: readonly { readonly logRecords: readonly { readonly timeUnixNano: string; readonly body?: Value }[] }[]
  }[]
}

/** Takes OTLP as JSON, in the collector's other encoding; refuses with 503 while it is away. */
export class StandIn {
  away = false
  refused = 0
  readonly arrived: Arrived[] = []
  readonly #server: Server
  private constructor(server: Server) {
    this.#server = server
  }

  static async start(): Promise<StandIn> {
    const server = createServer()
    const standIn = new StandIn(server)
    server.on('request', (request, response) => {
      const parts: Buffer[] = []
      request.on('data', (part: Buffer) => parts.push(part))
      request.on('end', () => {
        if (standIn.away) {
          standIn.refused += 1
          response.writeHead(503).end()
          return
        }
        for (const { resource, scopeLogs } of (JSON.parse(Buffer.concat(parts).toString('utf8')) as Export).resourceLogs) {
          const labels = Object.fromEntries((resource.attributes ?? []).map(({ key, value }) => [key, value.stringValue ?? '']))
          for (const { logRecords } of scopeLogs)
            for (const { timeUnixNano, body } of logRecords)
              standIn.arrived.push({ labels, time: timeUnixNano, line: body?.stringValue ?? '' })
        }
        response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
      })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return standIn
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}/otlp/v1/logs`
  }
  stop(): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }
}

/** Docker's json-file driver: records of at most 16 KiB of a line, rotated by size and count (daemon.json). */
export class DockerLog {
  rotations = 0
  /** Bytes, of all files that ever were. */
  written = 0
  readonly file: string
  readonly #tag: string
  readonly #maxSize: number
  readonly #maxFile: number
  #nanos = 0n
  #size = 0

  constructor(containers: string, tag: string, { maxSize = 20_000_000, maxFile = 5 } = {}) {
    const id = Buffer.from(tag).toString('hex').padEnd(64, '0')
    mkdirSync(join(containers, id), { recursive: true })
    this.file = join(containers, id, `${id}-json.log`)
    this.#tag = tag
    this.#maxSize = maxSize
    this.#maxFile = maxFile
  }

  write(line: string, stream = 'stdout', at = Date.now()): void {
    const bytes = Buffer.from(`${line}\n`)
    for (let from = 0; from < bytes.length; from += 16_384) this.record(bytes.toString('utf8', from, from + 16_384), stream, at)
  }

  /** One record of a line, which may be a part of it. */
  record(log: string, stream = 'stdout', at = Date.now()): void {
    this.#nanos += 1n
    const time = `${new Date(at).toISOString().slice(0, -1)}${String(this.#nanos % 1_000_000n).padStart(6, '0')}Z`
    const text = `${JSON.stringify({ log, stream, attrs: { tag: this.#tag }, time })}\n`
    if (this.#size > 0 && this.#size + text.length > this.#maxSize) this.#rotate()
    appendFileSync(this.file, text)
    this.#size += text.length
    this.written += text.length
  }

  #rotate(): void {
    this.rotations += 1
    this.#size = 0
    for (let number = this.#maxFile - 1; number >= 1; number--) {
      const from = number === 1 ? this.file : `${this.file}.${number - 1}`
      if (existsSync(from)) renameSync(from, `${this.file}.${number}`)
    }
  }
}

export class Agent {
  said = ''
  #child: ChildProcess | undefined
  readonly #program: string
  readonly #configuration: string
  readonly port: number

  constructor(
    program: string,
    folder: string,
    seed: Seed,
    { url, json, port, change = (text) => text }: { url: string; json: boolean; port: number; change?: (text: string) => string },
  ) {
    this.#program = program
    this.port = port
    mkdirSync(join(folder, 'state'), { recursive: true })
    mkdirSync(join(folder, 'journal'), { recursive: true })
    const settings = JSON.parse(otelcolConfiguration(seed) ?? '')
    const { otlp_http: exporter } = settings.exporters
    exporter.logs_endpoint = url
    delete exporter.headers
    delete exporter.tls
    if (json) exporter.encoding = 'json'
    if (json) exporter.compression = 'none'
    settings.service.telemetry.metrics.readers[0].pull.exporter.prometheus.port = port
    this.#configuration = join(folder, 'otelcol.yaml')
    writeFileSync(
      this.#configuration,
      change(
        JSON.stringify(settings)
          .replaceAll('/var/lib/docker/containers', join(folder, 'containers'))
          .replaceAll('/var/lib/golden/journal', join(folder, 'journal'))
          .replaceAll('/var/lib/golden/otelcol', join(folder, 'state')),
      ),
    )
  }

  async start(): Promise<void> {
    const child = spawn(this.#program, [`--config=${this.#configuration}`, ...otelcolArguments.slice(1)], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    this.#child = child
    child.stderr.on('data', (part: Buffer) => (this.said += part.toString()))
    while (!(await this.metrics())) {
      if (child.exitCode !== null) throw new Error(`the agent ended: ${this.said.slice(-3000)}`)
      await pause(50) // it is starting
    }
  }

  metrics = (): Promise<string | undefined> =>
    fetch(`http://127.0.0.1:${this.port}/metrics`).then(
      (answer) => answer.text(),
      () => undefined,
    )

  /** How long it took to end, in seconds. */
  async stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<number> {
    const began = performance.now()
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return 0
    const ended = once(child, 'exit')
    child.kill(signal)
    await ended
    return (performance.now() - began) / 1000
  }
}
