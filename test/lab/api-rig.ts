/** A lab with fake guests for one test file, and a plain client of its API that shares no code with the lab. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startLab, type Lab, type LabOptions } from '../../lab/index.ts'

export interface Answer {
  readonly status: number
  readonly reason: string
  readonly headers: Record<string, string | string[] | undefined>
  readonly text: string
  readonly body: any
  /** `data` of the body. */
  readonly data: any
}

export interface CallOptions {
  readonly form?: Record<string, string | number | readonly (string | number)[]>
  readonly query?: Record<string, string | number>
  /** `user@realm!id=secret`; the lab's root token if not given, no authentication if null. */
  readonly token?: string | null
  readonly headers?: Record<string, string>
  /** Sent as it is. */
  readonly raw?: string | Buffer
}

export interface Rig {
  readonly lab: Lab
  readonly folder: string
  call(method: string, path: string, options?: CallOptions): Promise<Answer>
  /** Like `call`, but anything else than 200 is an error; returns `data`. */
  ok(method: string, path: string, options?: CallOptions): Promise<any>
  /** Waits for the end of a task; returns its exit status. */
  wait(upid: string): Promise<string>
  /** `ok`, and the task it started ended with OK. */
  done(method: string, path: string, options?: CallOptions): Promise<void>
  /** Stops the lab and starts it again with what it had. */
  restart(): Promise<void>
  close(): Promise<void>
}

const encode = (form: NonNullable<CallOptions['form']>): string =>
  Object.entries(form)
    .flatMap(([key, value]) =>
      (Array.isArray(value) ? value : [value]).map((one) => `${encodeURIComponent(key)}=${encodeURIComponent(String(one))}`),
    )
    .join('&')

export async function startRig(options: Partial<LabOptions> = {}): Promise<Rig> {
  const folder = await mkdtemp(join(tmpdir(), 'lab-api-'))
  const start = (): Promise<Lab> => startLab({ stateDir: join(folder, 'state'), driver: 'fake', authDelayMs: 1, ...options })
  let lab = await start()
  let ca = await readFile(lab.connection.caFile)
  const call = (method: string, path: string, given: CallOptions = {}): Promise<Answer> => {
    const base = new URL(lab.connection.apiUrl)
    const token = given.token === undefined ? lab.connection.rootToken : given.token
    const payload = given.raw ?? (given.form === undefined ? undefined : encode(given.form))
    const full = path.startsWith('/api2/') ? path : `/api2/json${path}`
    return new Promise((resolve, reject) => {
      const outgoing = request(
        {
          host: base.hostname,
          port: base.port,
          ca,
          method,
          path: given.query === undefined ? full : `${full}?${encode(given.query)}`,
          headers: {
            ...(token === null ? {} : { Authorization: `PVEAPIToken=${token}` }),
            ...(given.form === undefined ? {} : { 'Content-Type': 'application/x-www-form-urlencoded' }),
            ...(payload === undefined ? {} : { 'Content-Length': Buffer.byteLength(payload) }),
            ...given.headers,
          },
        },
        (incoming) => {
          const chunks: Buffer[] = []
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
          incoming.on('error', reject)
          incoming.on('end', () => {
            const text = Buffer.concat(chunks).toString('utf8')
            const body: any = /json/.test(incoming.headers['content-type'] ?? '') ? JSON.parse(text) : undefined
            resolve({
              status: incoming.statusCode ?? 0,
              reason: Buffer.from(incoming.statusMessage ?? '', 'latin1').toString('utf8'),
              headers: incoming.headers,
              text,
              body,
              data: body?.data,
            })
          })
        },
      )
      outgoing.on('error', reject)
      outgoing.end(payload)
    })
  }
  const rig: Rig = {
    get lab() {
      return lab
    },
    folder,
    call,
    async ok(method, path, given) {
      const answer = await call(method, path, given)
      if (answer.status !== 200) throw new Error(`${method} ${path}: ${answer.status} ${answer.reason} ${answer.text}`)
      return answer.data
    },
    async wait(upid) {
      while (true) {
        const status = await rig.ok('GET', `/nodes/pve/tasks/${encodeURIComponent(upid)}/status`)
        if (status.status === 'stopped') return status.exitstatus
        await new Promise((resolve) => setImmediate(resolve))
      }
    },
    async done(method, path, given) {
      const upid: string = await rig.ok(method, path, given)
      const status = await rig.wait(upid)
      if (status !== 'OK') throw new Error(`${method} ${path}: the task ended with ${status}`)
    },
    async restart() {
      await lab.close()
      lab = await start()
      ca = await readFile(lab.connection.caFile)
    },
    async close() {
      await lab.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
  return rig
}
