/** `golden lab`, as people and programs start it: until a signal, with everything in one folder. */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, statSync, watch } from 'node:fs'
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const project = resolve(import.meta.dirname, '../..')
const recorded = join(project, 'lab/recorded')
const minute = 60_000

interface Connection {
  readonly apiUrl: string
  readonly caFile: string
  readonly token: string
  readonly rootToken: string
  readonly admin: { readonly username: string; readonly password: string }
  readonly controlSocket: string
  readonly socksProxy: { readonly host: string; readonly port: number }
  readonly router: unknown
  readonly site: string
  readonly replay: Record<string, string>
}

interface RunningLab {
  readonly process: ChildProcess
  readonly connection: Connection
  /** The exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>
  /** Standard error so far. */
  said(): string
}

let work: string
let state: string
const started: ChildProcess[] = []
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'gv-'))
  state = join(work, 'lab')
})
afterAll(async () => {
  for (const child of started)
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL')
      await once(child, 'close')
    }
  await rm(work, { recursive: true, force: true })
})

/** Starts it and waits until connection.json has the token, as a program that uses the lab does. */
async function startLab(...more: string[]): Promise<RunningLab> {
  const child = spawn(
    process.execPath,
    [join(project, 'golden.ts'), 'lab', '--driver', 'fake', '--for-replay', '--state', state, ...more],
    { cwd: work, env: { ...process.env, CI: 'true', TMPDIR: work }, stdio: ['ignore', 'ignore', 'pipe'] },
  )
  started.push(child)
  let said = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const ended = new Promise<number | NodeJS.Signals>((done) => {
    child.once('close', (code, signal) => done(code ?? signal ?? 'SIGKILL'))
  })
  const connection = await Promise.race([
    fileWithToken(join(state, 'connection.json'), work),
    ended.then((code) => {
      throw new Error(`ended with ${code} before it was ready:\n${said}`)
    }),
  ])
  return { process: child, connection, ended, said: () => said }
}

/** Looks whenever something happens in the folder, which may itself not be there yet. */
async function fileWithToken(file: string, existing: string): Promise<Connection> {
  const stop = new AbortController()
  try {
    return await new Promise<Connection>((done, fail) => {
      const look = (): void => {
        readFile(file, 'utf8')
          .then((text) => {
            const connection = JSON.parse(text) as Connection
            if (connection.token !== undefined) done(connection)
          })
          .catch((error: NodeJS.ErrnoException) => {
            if (error.code !== 'ENOENT') fail(error)
          })
      }
      const inside = (): boolean => {
        if (!existsSync(join(file, '..'))) return false
        watch(join(file, '..'), { signal: stop.signal }, look)
        look()
        return true
      }
      if (inside()) return
      const outside = watch(existing, { signal: stop.signal }, () => {
        if (inside()) outside.close()
      })
      if (inside()) outside.close()
    })
  } finally {
    stop.abort()
  }
}

/** Runs it to its end, with `--json`: it is not to get far. */
async function fails(...more: string[]): Promise<{ code: number; error: { code: string; message: string; hint: string }; said: string }> {
  return await new Promise((done) => {
    const child = execFile(
      process.execPath,
      [join(project, 'golden.ts'), 'lab', '--driver', 'fake', '--json', ...more],
      { cwd: work, env: { ...process.env, CI: 'true', TMPDIR: work } },
      (_, stdout, stderr) =>
        done({
          code: child.exitCode ?? -1,
          error: (JSON.parse(stdout) as { errors: [{ code: string; message: string; hint: string }] }).errors[0],
          said: stderr,
        }),
    )
    started.push(child)
  })
}

const portOf = (connection: Connection): number => Number(new URL(connection.apiUrl).port)

async function reachable(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  return await new Promise((done) => {
    socket
      .on('connect', () => {
        socket.destroy()
        done(true)
      })
      .on('error', () => done(false))
  })
}

/** Everything that has the state folder on its command line, or in its environment the folder for temporary files. */
async function processes(): Promise<string[]> {
  const found: string[] = []
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)) {
    const [line, environment] = await Promise.all(
      ['cmdline', 'environ'].map((name) => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => '')),
    )
    if (line?.includes(state) || environment?.split('\0').includes(`TMPDIR=${work}`)) found.push(`${pid} ${line?.replaceAll('\0', ' ')}`)
  }
  return found
}

async function expectEnd(lab: RunningLab, signal: NodeJS.Signals): Promise<void> {
  lab.process.kill(signal)
  expect(await lab.ended, lab.said()).toBe(0)
  expect(await processes()).toEqual([])
  expect(await reachable(portOf(lab.connection))).toBe(false)
  expect(existsSync(join(state, 'connection.json'))).toBe(false)
  expect(existsSync(lab.connection.controlSocket)).toBe(false)
  // No temporary folder of the lab stays either.
  expect(await readdir(work)).toEqual(['lab'])
}

describe('golden lab', () => {
  let first: Connection

  it.skipIf(!existsSync('/proc/self/environ'))(
    'is ready when connection.json has its token, which only its owner reads, and ends on Ctrl-C (needs Linux)',
    async () => {
      const lab = await startLab()
      first = lab.connection
      expect(statSync(join(state, 'connection.json')).mode & 0o777).toBe(0o600)
      expect(first).toMatchObject({
        schema: 1,
        driver: 'fake',
        token: expect.stringMatching(/^[^@]+@pve![^=]+=.{20,}$/),
        replay: {
          PVE_ROOT_TOKEN: first.rootToken,
          PVE_CI_TOKEN: expect.stringMatching(/^ci@pve!/),
          PVE_TICKET_USER: first.admin.username,
          PVE_TICKET_PASSWORD: first.admin.password,
        },
      })
      expect(existsSync(join(first.site, 'site.ts'))).toBe(true)
      expect((await processes()).length).toBeGreaterThan(0)
      expect(await reachable(portOf(first))).toBe(true)
      expect(lab.said()).not.toContain(first.token.split('=')[1])
      await expectEnd(lab, 'SIGINT')
    },
    2 * minute,
  )

  it.skipIf(!existsSync('/proc/self/environ'))(
    'has the same tokens and port when it is started again, and ends on SIGTERM (needs Linux)',
    async () => {
      const lab = await startLab('--port', String(portOf(first)))
      const { apiUrl, token, rootToken, admin, replay } = lab.connection
      expect({ apiUrl, token, rootToken, admin, replay }).toEqual({
        apiUrl: first.apiUrl,
        token: first.token,
        rootToken: first.rootToken,
        admin: first.admin,
        replay: first.replay,
      })
      await expectEnd(lab, 'SIGTERM')
    },
    2 * minute,
  )

  it.skipIf(!existsSync('/proc/self/environ'))(
    'says what is in its way, and leaves a lab that runs alone; goes on after it was killed (needs Linux)',
    async () => {
      const lab = await startLab()
      const port = String(portOf(lab.connection))
      const twice = await fails('--state', state)
      expect(twice).toMatchObject({ code: 1, error: { code: 'lab-running', hint: expect.stringContaining('--state') } })
      expect(twice.said).not.toMatch(/^\s+at /m)
      expect(await fails('--state', join(work, 'other'), '--port', port)).toMatchObject({
        code: 1,
        error: { code: 'port', message: expect.stringContaining(port) },
      })
      expect(await fails('--state', join(work, 'x'.repeat(100)))).toMatchObject({ code: 1, error: { code: 'state-folder' } })
      await rm(join(work, 'other'), { recursive: true })
      expect(await reachable(portOf(lab.connection))).toBe(true)
      expect(existsSync(join(state, 'connection.json'))).toBe(true)

      lab.process.kill('SIGKILL')
      await lab.ended
      // A file with a token stays behind, and does not look like a lab that is ready any longer than it has to.
      expect(existsSync(join(state, 'connection.json'))).toBe(true)
      const other = createServer().listen(0, '127.0.0.1')
      await once(other, 'listening')
      expect(await fails('--state', state, '--port', String((other.address() as AddressInfo).port))).toMatchObject({
        error: { code: 'port' },
      })
      other.close()
      expect(existsSync(join(state, 'connection.json'))).toBe(false)
      const again = await startLab()
      const { apiUrl, token, socksProxy, router } = lab.connection
      expect(again.connection).toMatchObject({ apiUrl, token, socksProxy, router })
      await expectEnd(again, 'SIGTERM')
    },
    2 * minute,
  )

  it(
    'answers as a recorded Proxmox VE did',
    async () => {
      const lab = await startLab()
      const run = await new Promise<{ code: number; output: string }>((done) => {
        const child = execFile(
          process.execPath,
          [join(recorded, 'replay.mjs'), 'compare', join(recorded, '07-template.jsonl')],
          { env: { ...process.env, PVE_URL: lab.connection.apiUrl, ...lab.connection.replay } },
          (_, stdout, stderr) => done({ code: child.exitCode ?? -1, output: stdout + stderr }),
        )
      })
      const [, matching, all] = /^(\d+)\/(\d+) steps match$/m.exec(run.output) ?? []
      expect(Number(all), run.output).toBeGreaterThan(5)
      expect(matching, run.output).toBe(all)
      lab.process.kill('SIGTERM')
      expect(await lab.ended, lab.said()).toBe(0)
    },
    2 * minute,
  )
})
