/**
 * Programs that whoever starts the lab brings along: they run in fake guests as they are, on what a guest offers of
 * itself. By the path that they have in a guest; what is there for the lab is a file with whatever content.
 */
import type { X509Certificate } from 'node:crypto'
import { findAccount } from './accounts.ts'
import type { Node } from './filesystem.ts'
import { runArgv, type Program, type Run } from './shell.ts'
import { VfsError } from './errno.ts'
import type { Credentials } from './vfs.ts'

/** The variable by which a process knows that it is in a container's network. */
export const networkOf = 'FAKE_NETWORK_OF'

/** How many times as fast time goes by for such a program: what waits for seconds is tried in milliseconds. */
const haste = 25

/** The files of a guest, with the rights of the program's user. */
export interface GuestFiles {
  exists(path: string): boolean
  read(path: string): string
  readAt(path: string, offset: number, length: number): Buffer
  write(path: string, content: string, mode?: number): void
  append(path: string, content: string): void
  list(path: string): string[]
  look(path: string): { readonly kind: 'file' | 'folder' | 'other'; readonly uid: number; readonly mtimeMs: number }
  real(path: string): string
  mkdir(path: string, mode?: number): void
  mkdtemp(prefix: string): string
  chown(path: string, uid: number, gid: number): void
  chmod(path: string, mode: number): void
  rename(from: string, to: string): void
  symlink(target: string, path: string): void
  copy(from: string, to: string): void
  remove(path: string): void
  space(path: string): {
    readonly bsize: number
    readonly blocks: number
    readonly bfree: number
    readonly bavail: number
    readonly files: number
    readonly ffree: number
  }
}

export interface GuestQuestion {
  readonly to: { readonly host: string; readonly port: number } | { readonly socket: string }
  /** Present: over TLS. */
  readonly tls?: { readonly name?: string }
  readonly method?: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

export interface GuestAnswer {
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: string
  /** Over TLS. */
  readonly certificate?: X509Certificate
}

/** What is in a guest that answers. */
export interface GuestInside {
  readonly files: GuestFiles
  /** Names of the containers that run and are well. */
  readonly running: ReadonlySet<string>
}

/** What a program finds in a guest. After its end, or the guest's, nothing of it works any more. */
export interface GuestSystem {
  /** Of the VM. */
  readonly name: string
  readonly vmid: number
  readonly files: GuestFiles
  /** Whose network it is in; undefined: the machine's own. */
  readonly container: string | undefined
  /** A program of the guest, modelled or brought along. `shown`: its output is this program's. */
  run(
    program: string,
    args: readonly string[],
    options?: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>>; readonly user?: number; readonly shown?: boolean },
  ): Promise<{ readonly status: number; readonly stdout: string; readonly stderr: string }>
  /** Of a file. @returns what releases it, as the program's end does; undefined: somebody else has it */
  lock(path: string, options?: { readonly waitMs?: number; readonly onWait?: () => void }): Promise<(() => void) | undefined>
  /** Rejects with `code` ECONNREFUSED where nothing answers. */
  ask(question: GuestQuestion): Promise<GuestAnswer>
  /** @param card of that one alone, `lo` among them */
  addresses(card?: string): string[]
  now(): number
  uptime(): number
  pause(ms: number): Promise<void>
  become(user: number): void
  /** What comes on standard input. */
  input(): AsyncIterable<Buffer>
  /** On standard output, which is no text then. */
  output(bytes: Buffer): Promise<void>
  say(line: string): void
  complain(line: string): void
}

/** Resolves to its exit code. What it throws is shown, and 1. */
export type GuestProgram = (args: readonly string[], system: GuestSystem) => Promise<number>

/** What a guest's server at a port speaks before HTTP. */
export interface GuestServer {
  /** Its key pair in PEM, the certificate with its chain; without, plain text. */
  readonly tls?: { readonly key: string; readonly cert: string }
}

export interface GuestContents {
  /** By absolute path in the guest. */
  readonly programs?: Readonly<Record<string, GuestProgram>>
  /** What answers over HTTP in a guest, but Docker itself. @param beyond the guest that it gets to in the LAN, if any */
  readonly answer?: (
    question: GuestQuestion,
    files: GuestFiles,
    running: ReadonlySet<string>,
    beyond: (address: string, port: number) => GuestInside | undefined,
  ) => GuestAnswer | undefined | Promise<GuestAnswer | undefined>
  /** What takes a connection from beyond the guest; what it answers then is `answer`'s. */
  readonly server?: (inside: GuestInside, from: string, to: string, port: number) => GuestServer | undefined
}

interface Output {
  stdout: string
  stdoutKind?: 'bytes'
  stderr: string
}

/** A program that was ended from outside. */
class Killed extends Error {}

/** As the model of a program, for the guest's shell and units. */
export const modelOf =
  (program: GuestProgram): Program =>
  async (args, run) => {
    const output: Output = { stdout: '', stderr: '' }
    const locks = new Set<() => void>()
    try {
      return { exitCode: await program(args, systemOf(run, output, locks)), ...output }
    } catch (error) {
      if (error instanceof Killed) return { exitCode: 143, ...output }
      return { exitCode: 1, stdout: output.stdout, stderr: `${output.stderr}${error instanceof Error ? error.stack : String(error)}\n` }
    } finally {
      for (const release of locks) release()
    }
  }

/** @param locks what of them the program has */
function systemOf(run: Run, output: Output, locks: Set<() => void>): GuestSystem {
  const { guest, signal } = run
  let { as, account } = run
  const alive = (): void => {
    if (signal.aborted) throw new Killed('killed')
  }
  const user = (uid: number): { as: Credentials; account: typeof account } => ({
    as: { uid, gid: uid, groups: [uid] },
    account: findAccount(guest.vfs, uid) ?? account,
  })
  return {
    name: guest.spec.name,
    vmid: guest.spec.vmid,
    files: filesOf(run, () => as),
    container: run.env[networkOf],
    async run(program, args, options = {}) {
      alive()
      const { exitCode, stdout, stderr } = await runArgv([program, ...args], {
        guest,
        signal,
        ...(options.user === undefined ? { as, account } : user(options.user)),
        cwd: options.cwd ?? run.cwd,
        env: options.env === undefined ? run.env : { PATH: run.env.PATH ?? '', ...options.env },
        stdin: '',
      })
      alive()
      if (!options.shown) return { status: exitCode, stdout, stderr }
      output.stdout += stdout
      output.stderr += stderr
      return { status: exitCode, stdout: '', stderr: '' }
    },
    async lock(path, { waitMs = 0, onWait = () => {} } = {}) {
      alive()
      if (!guest.vfs.exists(path, as)) guest.vfs.write(path, '', as, { mode: 0o600 })
      const release = await guest.locks.take(path, waitMs / haste, onWait, signal)
      if (release !== undefined) locks.add(release)
      alive()
      return release
    },
    async ask(question) {
      alive()
      const { docker } = guest
      const { to } = question
      const answer =
        'socket' in to && to.socket === '/run/docker.sock'
          ? docker.answer(question.method ?? 'GET', question.path)
          : await answerIn(guest, signal, question, () => as)
      if (answer) return answer
      const where = 'socket' in to ? to.socket : `${to.host}:${to.port}`
      throw Object.assign(new Error(`connect ECONNREFUSED ${where}`), { code: 'ECONNREFUSED' })
    },
    addresses: (name) =>
      [{ name: 'lo', addresses: [{ address: '127.0.0.1' }, { address: '::1' }, ...guest.loopback] }, ...guest.interfaces]
        .filter((card) => name === undefined || card.name === name)
        .flatMap((card) => card.addresses.map(({ address }) => address)),
    now: () => Date.now(),
    uptime: () => performance.now() * haste,
    pause: (ms) =>
      new Promise((resolve, reject) => {
        const end = (): void => {
          clearTimeout(timer)
          reject(new Killed('killed'))
        }
        const timer = setTimeout(() => {
          signal.removeEventListener('abort', end)
          resolve()
        }, ms / haste)
        if (signal.aborted) end()
        else signal.addEventListener('abort', end, { once: true })
      }),
    become(uid) {
      ;({ as, account } = user(uid))
    },
    async *input() {
      alive()
      yield Buffer.from(run.stdin, 'latin1')
    },
    async output(bytes) {
      alive()
      output.stdoutKind = 'bytes'
      output.stdout += bytes.toString('latin1')
    },
    say(line) {
      output.stdout += `${line}\n`
    },
    complain(line) {
      output.stderr += `${line}\n`
    },
  }
}

const root: Credentials = { uid: 0, gid: 0, groups: [0] }

/** For as long as the signal lets it. */
export const insideOf = (guest: Run['guest'], signal: AbortSignal): GuestInside => ({
  files: filesOf({ guest, signal }, () => root),
  running: guest.docker.well(),
})

/** What answers over HTTP in a guest, but Docker itself. @param as who asks, by the rights to files. @default root */
export async function answerIn(
  guest: Run['guest'],
  signal: AbortSignal,
  question: GuestQuestion,
  as: () => Credentials = () => root,
): Promise<GuestAnswer | undefined> {
  return guest.world.contents.answer?.(question, filesOf({ guest, signal }, as), guest.docker.well(), (address, port) => {
    const other = guest.world.neighbour(guest, address, port)
    return other && insideOf(other, signal)
  })
}

function filesOf({ guest, signal }: Pick<Run, 'guest' | 'signal'>, as: () => Credentials): GuestFiles {
  // The tree of a guest that is switched on again is another one.
  const { vfs } = guest
  const here = (): typeof vfs => {
    if (signal.aborted) throw new Killed('killed')
    return vfs
  }
  /** Of the disk that the last folder above is on. */
  const hasNoRoom = (path: string): boolean => {
    let above = path
    while (!vfs.exists(above)) above = above.slice(0, above.lastIndexOf('/')) || '/'
    return vfs.mountOf(above).filesystem.isFull
  }
  const copy = (node: Node, to: string): void => {
    if (node.kind === 'directory') {
      vfs.mkdir(to, as(), { parents: true, mode: node.mode })
      for (const [name, child] of node.entries) copy(child, `${to}/${name}`)
    } else if (node.kind === 'link') vfs.symlink(node.target, to, as())
    else if (node.kind === 'file') vfs.write(to, node.data, as(), { mode: node.mode })
  }
  return {
    exists: (path) => here().exists(path, as()),
    read: (path) => here().readText(path, as()),
    readAt: (path, offset, length) =>
      here()
        .read(path, as())
        .subarray(offset, offset + length),
    write(path, content, mode) {
      const isFull = content !== '' && here().mountOf(path).filesystem.isFull
      // As open(2) does it: what was there is gone by the time that there is no room for the new.
      here().write(path, isFull ? '' : content, as(), mode === undefined ? {} : { mode })
      if (isFull) throw new VfsError('ENOSPC', 'write', path)
    },
    append(path, content) {
      if (here().mountOf(path).filesystem.isFull) throw new VfsError('ENOSPC', 'write', path)
      here().write(path, content, as(), { append: true })
    },
    list: (path) => [...here().readdir(path, as()).entries.keys()],
    look(path) {
      const { kind, uid, mtime } = here().lookup(path, as(), false)
      return { kind: kind === 'directory' ? 'folder' : kind === 'file' ? 'file' : 'other', uid, mtimeMs: mtime }
    },
    real: (path) => here().realpath(path, as()),
    mkdir(path, mode = 0o777) {
      if (!here().exists(path) && hasNoRoom(path)) throw new VfsError('ENOSPC', 'mkdir', path)
      here().mkdir(path, as(), { parents: true, mode: mode & ~0o022 })
    },
    mkdtemp(prefix) {
      const path = `${prefix}${crypto.randomUUID().slice(0, 6)}`
      here().mkdir(path, as(), { mode: 0o700 })
      return path
    },
    chown: (path, uid, gid) => here().chown(path, uid, gid, as()),
    chmod: (path, mode) => here().chmod(path, mode, as()),
    rename: (from, to) => here().rename(from, to, as()),
    symlink: (target, path) => here().symlink(target, path, as()),
    copy: (from, to) => copy(here().lookup(from, as(), false), to),
    remove: (path) => here().remove(path, as(), { recursive: true, force: true }),
    space(path) {
      const { source, filesystem } = here().mountOf(path)
      const device = guest.deviceAt(source)
      if (device === undefined) throw new VfsError('EINVAL', 'statfs', path)
      const blocks = Math.floor(device.disk.bytes / 4096)
      const free = filesystem.isFull ? 0 : Math.floor(blocks * 0.9)
      return { bsize: 4096, blocks, bfree: free, bavail: free, files: 0, ffree: 0 }
    },
  }
}
