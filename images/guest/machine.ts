/**
 * What the guest's programs need of the machine that they run on, and the one binding of it to a real machine. Fake
 * guests of the lab offer the same, so that they run these programs as they are (demo/guest-programs.ts).
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { X509Certificate } from 'node:crypto'
import {
  appendFileSync,
  chmodSync,
  chownSync,
  closeSync,
  constants,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  statfsSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import type { IncomingHttpHeaders } from 'node:http'
import { networkInterfaces } from 'node:os'
import { setTimeout as pause } from 'node:timers/promises'
import type { TLSSocket } from 'node:tls'

export interface FileInfo {
  readonly kind: 'file' | 'folder' | 'other'
  readonly uid: number
  /** When its content changed, in milliseconds since 1970. */
  readonly mtimeMs: number
}

/** As statfs(2) tells it. */
export interface Space {
  readonly bsize: number
  readonly blocks: number
  readonly bfree: number
  readonly bavail: number
  readonly files: number
  readonly ffree: number
}

/** Errors have the errno's name as `code`. What is made has root's, or whoever this program is, as owner. */
export interface Files {
  exists(path: string): boolean
  read(path: string): string
  /** Up to `length` bytes from there: of a device, too, that has no medium. */
  readAt(path: string, offset: number, length: number): Buffer
  /** @param mode of a file that is new */
  write(path: string, content: string, mode?: number): void
  append(path: string, content: string): void
  /** Names in a folder. */
  list(path: string): string[]
  /** Of a link: of itself. */
  look(path: string): FileInfo
  /** Without links. */
  real(path: string): string
  /** With those above it. @param mode of folders that are new */
  mkdir(path: string, mode?: number): void
  /** A new folder with a name that begins like this. */
  mkdtemp(prefix: string): string
  chown(path: string, uid: number, gid: number): void
  chmod(path: string, mode: number): void
  rename(from: string, to: string): void
  symlink(target: string, path: string): void
  /** A file, or a folder with all that is in it; links stay as they are. */
  copy(from: string, to: string): void
  /** With all that is in it; nothing where it is not there. */
  remove(path: string): void
  space(path: string): Space
}

export interface RunOptions {
  readonly cwd?: string
  /** Besides PATH, all of it. @default this program's own */
  readonly env?: Readonly<Record<string, string>>
  /** Whose rights it has, and the group of that number. @default this program's own */
  readonly user?: number
  readonly timeoutMs?: number
  /** What it prints is printed, not given back. @default false */
  readonly shown?: boolean
}

export interface Ran {
  /** Null where it could not be started, or was ended by a signal. */
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
  /** Why there is no status. */
  readonly error?: string
}

export interface LockOptions {
  /** How long whoever has it is waited for. @default not at all */
  readonly waitMs?: number
  /** Before it is waited for. */
  readonly onWait?: () => void
}

/** An HTTP request to one place. Over TLS whatever certificate is taken, and is in the reply. */
export interface Question {
  readonly to: { readonly host: string; readonly port: number } | { readonly socket: string }
  /** Of this machine, from which it is asked. @default the kernel's choice */
  readonly from?: string
  /**
   * Present: over TLS. The name that is asked for, if any. With an identity both sides have that one pair, and nobody else is
   * talked to.
   */
  readonly tls?: { readonly name?: string; readonly identity?: { readonly certificate: string; readonly key: string } }
  readonly method?: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** Of silence, until it is given up. */
  readonly timeoutMs: number
  /** Enough has come when this is in it: some answers never end. '' is enough with the headers. */
  readonly until?: string
}

export interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
  readonly certificate?: X509Certificate | undefined
}

export interface Machine {
  readonly files: Files
  /** Runs a program to its end; the rest of this program goes on meanwhile. Never rejects. */
  run(program: string, args: readonly string[], options?: RunOptions): Promise<Ran>
  /**
   * Takes the lock of a file, which is made where it is not there. It goes with this program, however that ends.
   * @returns what releases it; undefined: somebody else has it
   */
  lock(path: string, options?: LockOptions): Promise<(() => void) | undefined>
  /** Rejects where there is no answer; errors of the network have a `code`. */
  ask(question: Question): Promise<Reply>
  /** Of all its network cards, `lo` among them. @param card of that one alone */
  addresses(card?: string): string[]
  /** Milliseconds since 1970. */
  now(): number
  /** Milliseconds of a clock that nobody sets. */
  uptime(): number
  pause(ms: number): Promise<void>
  /** From here on this program has no more rights than that user and the group of that number. */
  become(user: number): void
  /** What comes on standard input. */
  input(): AsyncIterable<Buffer>
  /** On standard output, which may be no text; resolves when there is room for more. */
  output(bytes: Buffer): Promise<void>
  /** A line on standard output. */
  say(line: string): void
  /** A line on standard error. */
  complain(line: string): void
}

/** One of the guest's programs: resolves to its exit code. */
export type Program = (machine: Machine, args: readonly string[]) => Promise<number>

const files: Files = {
  exists: existsSync,
  read: (path) => readFileSync(path, 'utf8'),
  readAt(path, offset, length) {
    // A drive without a disc must not be waited for.
    const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      const bytes = Buffer.alloc(length)
      return bytes.subarray(0, readSync(file, bytes, 0, length, offset))
    } finally {
      closeSync(file)
    }
  },
  write: (path, content, mode) => writeFileSync(path, content, mode === undefined ? {} : { mode }),
  append: (path, content) => appendFileSync(path, content),
  list: (path) => readdirSync(path),
  look(path) {
    const found = lstatSync(path)
    return { kind: found.isDirectory() ? 'folder' : found.isFile() ? 'file' : 'other', uid: found.uid, mtimeMs: found.mtimeMs }
  },
  real: (path) => realpathSync(path),
  mkdir: (path, mode) => void mkdirSync(path, { recursive: true, ...(mode === undefined ? {} : { mode }) }),
  mkdtemp: (prefix) => mkdtempSync(prefix),
  chown: chownSync,
  chmod: chmodSync,
  rename: renameSync,
  symlink: (target, path) => symlinkSync(target, path),
  copy: (from, to) => cpSync(from, to, { recursive: true, verbatimSymlinks: true }),
  remove: (path) => rmSync(path, { recursive: true, force: true }),
  space: (path) => statfsSync(path),
}

function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { cwd, env, user, timeoutMs, shown = false } = options
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      stdio: shown ? ['ignore', 'inherit', 'inherit'] : ['ignore', 'pipe', 'pipe'],
      ...(cwd === undefined ? {} : { cwd }),
      ...(env === undefined ? {} : { env: { PATH: process.env.PATH, ...env } }),
      ...(user === undefined ? {} : { uid: user, gid: user }),
      ...(timeoutMs === undefined ? {} : { timeout: timeoutMs }),
    })
    let [stdout, stderr] = ['', '']
    child.stdout?.setEncoding('utf8').on('data', (part: string) => (stdout += part))
    child.stderr?.setEncoding('utf8').on('data', (part: string) => (stderr += part))
    child.on('error', (error) => resolve({ status: null, stdout, stderr, error: error.message }))
    child.on('close', (status, signal) =>
      resolve({ status, stdout, stderr, ...(signal === null ? {} : { error: `${program} was ended by ${signal}` }) }),
    )
  })
}

async function lock(path: string, { waitMs = 0, onWait }: LockOptions = {}): Promise<(() => void) | undefined> {
  const file = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600)
  try {
    let has = await flock(file, ['--nonblock'])
    if (!has && waitMs > 0) {
      onWait?.()
      has = await flock(file, ['--timeout', String(waitMs / 1000)])
    }
    if (has) return () => closeSync(file)
  } catch (error) {
    closeSync(file)
    throw error
  }
  closeSync(file)
  return undefined
}

/** The lock is the open file's (flock(2)), which that program and this one share: it stays here when that one ends. */
function flock(file: number, how: readonly string[]): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const child = spawn('flock', ['--exclusive', ...how, '3'], { stdio: ['ignore', 'ignore', 'ignore', file] })
    child.on('error', reject)
    child.on('close', (status, signal) =>
      status === 0 || status === 1 ? resolve(status === 0) : reject(new Error(`flock ended with ${status ?? signal}`)),
    )
  })
}

async function ask({ to, from, tls, method, path, headers, body, timeoutMs, until }: Question): Promise<Reply> {
  // Loaded only where something is asked: a program on a slow machine is there sooner.
  const { request } = tls ? await import('node:https') : await import('node:http')
  return new Promise((resolve, reject) => {
    const sent = request({
      ...('socket' in to ? { socketPath: to.socket } : to),
      path,
      method: method ?? 'GET',
      agent: false,
      timeout: timeoutMs,
      ...(from === undefined ? {} : { localAddress: from }),
      ...(tls ? tlsOptions(tls) : {}),
      headers: { ...headers, ...(body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }) },
    })
    sent.on('response', (response) => {
      const certificate = tls ? (response.socket as TLSSocket).getPeerX509Certificate() : undefined
      let text = ''
      const done = (): void => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text, certificate })
        sent.destroy()
      }
      response.setEncoding('utf8')
      response.on('data', (part: string) => {
        text += part
        if (until !== undefined && text.includes(until)) done()
      })
      response.on('end', done)
      response.on('error', reject)
      if (until === '') done()
    })
    sent.on('timeout', () => sent.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)))
    sent.on('error', reject)
    sent.end(body)
  })
}

const tlsOptions = ({ name, identity }: NonNullable<Question['tls']>) => ({
  ...(identity === undefined
    ? { rejectUnauthorized: false }
    : { cert: identity.certificate, key: identity.key, ca: identity.certificate, minVersion: 'TLSv1.3' as const }),
  ...(name === undefined ? {} : { servername: name }),
})

/** The machine that this program runs on. */
export const thisMachine: Machine = {
  files,
  run,
  lock,
  ask,
  addresses: (card) =>
    Object.entries(networkInterfaces()).flatMap(([name, list]) =>
      card === undefined || name === card ? (list ?? []).map((entry) => entry.address) : [],
    ),
  now: Date.now,
  uptime: () => performance.now(),
  pause: (ms) => pause(ms),
  become(user) {
    process.setgroups?.([])
    process.setgid?.(user)
    process.setuid?.(user)
  },
  input: () => process.stdin,
  output: async (bytes) => {
    if (!process.stdout.write(bytes)) await once(process.stdout, 'drain')
  },
  say: (line) => console.log(line),
  complain: (line) => console.error(line),
}
