/**
 * A user's own computer: a clone that belongs to them, a home, a cache, Packer and the rest on PATH, and nothing of
 * root's. As root its programs run as `nobody`, in a mount namespace of their own in which the clone has node_modules;
 * as anybody else they run as that user. Everything lives in one folder and is gone with it.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs'
import { copyFile, cp, link, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { stageLanguageServers } from '../../images/language-servers/stage.ts'
import { cacheFolder } from '../../core/folders.ts'
import { ensureTools, PINS } from '../../tools/index.ts'

export const project = resolve(import.meta.dirname, '../..')
/** `nobody` of every Linux. */
const nobody = { uid: 65534, gid: 65534 }
const needed = ['packer', 'packer-plugin-proxmox', 'tofu', 'terraform-provider-proxmox'] as const

export interface Ended {
  /** Exit code, or 128 and the signal's number. */
  readonly code: number
  readonly stdout: string
  readonly stderr: string
  /** Standard output as JSON. @throws when it is not */
  json<T = Record<string, unknown>>(): T
  /** The first of `errors` of a verb's `--json` output. */
  readonly error: ToldError | undefined
  /** All of them. */
  readonly errors: readonly ToldError[]
}

export interface ToldError {
  readonly code: string
  readonly message: string
  readonly hint: string
  readonly path?: string
}

export interface Running {
  readonly process: ChildProcess
  readonly ended: Promise<Ended>
  /** What a terminal does on Ctrl-C: SIGINT to all of the process group. */
  interrupt(): void
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly input?: string
  /** Standard input stays open, for somebody who types. */
  readonly typed?: boolean
}

export interface Computer {
  /** All of it; others can read what is in it. */
  readonly folder: string
  readonly clone: string
  /** Where the programs' temporary files go: empty while nothing runs. */
  readonly temporary: string
  /** The variables that all programs get. */
  readonly env: Readonly<Record<string, string>>
  /** Whether the programs run as another user than this process. */
  readonly unprivileged: boolean
  start(program: string, args: readonly string[], options?: RunOptions): Running
  run(program: string, args: readonly string[], options?: RunOptions): Promise<Ended>
  /** Gives a file or folder, with all in it, to the user. */
  give(path: string): Promise<void>
  /** Programs of this user that run, as `pid command line`. */
  processes(): string[]
  close(): Promise<void>
}

export interface ComputerOptions {
  /** Put Packer, the engine and their plugins on PATH. @default true */
  readonly tools?: boolean
  /** The generated bindings are copied too. @default true */
  readonly bindings?: boolean
  /** Folders of this computer that the user reads below another name, by that name within `folder`. */
  readonly shared?: Readonly<Record<string, string>>
}

/** Files of the working tree that no clone has. */
const notCloned = new Set(['node_modules', '.git', 'site', 'cdktf.out', 'packer_cache'])

export async function userComputer(options: ComputerOptions = {}): Promise<Computer> {
  // Below a folder that anybody may enter: the clone of these tests, or root's home, may be closed to others.
  const folder = realpathSync(await mkdtemp(join(tmpdir(), 'gf-')))
  try {
    return await furnish(folder, options)
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    throw error
  }
}

async function furnish(folder: string, options: ComputerOptions): Promise<Computer> {
  const isRoot = process.getuid?.() === 0
  const at = (...parts: string[]): string => join(folder, ...parts)
  execFileSync('chmod', ['755', folder])
  const clone = at('clone')
  const temporary = at('tmp')
  const give = async (path: string): Promise<void> => {
    if (isRoot) execFileSync('chown', ['-R', '-h', `${nobody.uid}:${nobody.gid}`, path])
  }
  await cp(project, clone, {
    recursive: true,
    verbatimSymlinks: true,
    filter: (source) => {
      const name = source.slice(project.length + 1)
      if (notCloned.has(name)) return false
      return (
        !name.startsWith('stacks/bindings') ||
        ((name.startsWith('stacks/bindings/') || name === 'stacks/bindings') && options.bindings !== false)
      )
    },
  })
  const shared = Object.entries({ 'clone/node_modules': join(project, 'node_modules'), ...options.shared }).map(([name, source]) => ({
    target: at(name),
    source,
  }))
  for (const { source, target } of shared) await (isRoot ? mkdir(target) : symlink(source, target))
  // With a cache, as after the first run: Node keeps in it what it has compiled.
  for (const name of ['home', 'cache', 'cache/serena-golden', 'tmp', 'tools']) await mkdir(at(name))
  // Users need no Terraform: one that this computer may have must not help.
  await writeFile(at('tools', 'terraform'), '#!/bin/sh\necho "terraform: not found" >&2\nexit 127\n', { mode: 0o755 })
  if (options.tools !== false) {
    const tools = await ensureTools(needed)
    for (const name of needed) {
      const target = at('tools', PINS[name].path?.command ?? name)
      await link(tools[name].path, target).catch(() => copyFile(tools[name].path, target))
    }
    await standInForLanguageServers(at('cache', 'serena-golden'))
  }
  for (const name of ['clone', 'home', 'cache', 'tmp']) await give(at(name))

  const env: Record<string, string> = {
    HOME: at('home'),
    XDG_CACHE_HOME: at('cache'),
    TMPDIR: temporary,
    LANG: 'C.UTF-8',
    PATH: [
      at('tools'),
      join(clone, 'node_modules', '.bin'),
      '/usr/local/sbin',
      '/usr/local/bin',
      '/usr/sbin',
      '/usr/bin',
      '/sbin',
      '/bin',
    ].join(':'),
  }
  // The mounts are in a namespace of this program only, and gone with it.
  const enter = !isRoot
    ? []
    : [
        'unshare',
        '--mount',
        'sh',
        '-c',
        'while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit; shift 2; done; shift; exec "$@"',
        'sh',
        ...shared.flatMap(({ source, target }) => [source, target]),
        '--',
        'setpriv',
        `--reuid=${nobody.uid}`,
        `--regid=${nobody.gid}`,
        '--clear-groups',
        '--no-new-privs',
        '--',
      ]

  const running = new Set<ChildProcess>()
  const start: Computer['start'] = (program, args, { env: more = {}, cwd = clone, input, typed = false } = {}) => {
    const [file = program, ...rest] = [...enter, program, ...args]
    const child = spawn(file, rest, {
      cwd,
      env: { ...env, ...more },
      stdio: [input === undefined && !typed ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      detached: true,
    })
    running.add(child)
    if (input !== undefined) child.stdin?.end(input)
    let stdout = ''
    let stderr = ''
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
    })
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    const ended = new Promise<Ended>((done, fail) => {
      child.on('error', fail)
      child.on('close', (code, signal) => {
        running.delete(child)
        done(outcome(code ?? 128 + (signal === 'SIGINT' ? 2 : signal === 'SIGTERM' ? 15 : 9), stdout, stderr))
      })
    })
    return {
      process: child,
      ended,
      interrupt: () => {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGINT')
      },
    }
  }
  return {
    folder,
    clone,
    temporary,
    env,
    give,
    start,
    unprivileged: isRoot,
    run: (program, args, more) => start(program, args, more).ended,
    processes: () => processesWith(`HOME=${env.HOME}`),
    close: async () => {
      for (const child of running) if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
      await rm(folder, { recursive: true, force: true, maxRetries: 3 })
    },
  }
}

function outcome(code: number, stdout: string, stderr: string): Ended {
  const json = <T>(): T => {
    try {
      return JSON.parse(stdout) as T
    } catch (cause) {
      throw new Error(`exit code ${code}, and no JSON on standard output: ${JSON.stringify(stdout)}\n${stderr}`, { cause })
    }
  }
  return {
    code,
    stdout,
    stderr,
    json,
    get error() {
      return this.errors[0]
    },
    get errors() {
      return json<{ errors?: ToldError[] }>().errors ?? []
    },
  }
}

/** Whose environment has this entry. Linux only: elsewhere nothing is found. */
function processesWith(entry: string): string[] {
  if (!existsSync('/proc/self/environ')) return []
  return readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid))
    .flatMap((pid) => {
      try {
        if (!readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(entry)) return []
        return [`${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()}`]
      } catch {
        return [] // ended meanwhile, or somebody else's
      }
    })
}

/**
 * The language servers and their Node are 350 MB that a model of a guest has no use for: the user's cache gets an
 * entry of that name with a file in each place. Tests of the guest use the real ones.
 */
async function standInForLanguageServers(cache: string): Promise<void> {
  const { dir } = await stageLanguageServers({ cacheDir: cacheFolder(process.env) })
  const entry = join(cache, 'language-servers', basename(dir))
  for (const [path, text] of [
    ['node/bin/node', '#!/bin/sh\n'],
    ['language-servers/bin/pyright-langserver', '#!/bin/sh\n'],
  ] as const) {
    await mkdir(join(entry, path, '..'), { recursive: true })
    await writeFile(join(entry, path), text, { mode: 0o755 })
  }
}
