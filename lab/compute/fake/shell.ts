/**
 * Processes of a fake guest. A command line is interpreted by just-bash over the guest's files; a program file runs
 * in a process of its own, by its first line or by the model that its name stands for. What is neither exits 127.
 */
import {
  Bash,
  defineCommand,
  getCommandNames,
  latin1FromBytes,
  parse,
  serialize,
  type CommandName,
  type ExecResult,
  type ScriptNode,
} from 'just-bash'
import { posix } from 'node:path'
import { findAccount, credentialsOf, type Account } from './accounts.ts'
import type { Guest } from './guest.ts'
import { CHECK_REDIRECTION, FIND_COMMAND, rewriteCommands, RUN_WORDS } from './rewrite-commands.ts'
import { BUILTIN_COMMANDS, createSessionFs, RUN_PROGRAM } from './session-fs.ts'
import { VfsError } from './errno.ts'
import { ROOT, type Credentials } from './vfs.ts'

export interface Result {
  readonly stdout: string
  /** Its output is no text: a pipe hands it on one byte a character. @default text */
  readonly stdoutKind?: 'bytes' | 'text'
  readonly stderr: string
  readonly exitCode: number
}

export const ok = (stdout = ''): Result => ({ stdout, stderr: '', exitCode: 0 })
export const fail = (stderr: string, exitCode = 1, stdout = ''): Result => ({
  stdout,
  stderr: stderr === '' || stderr.endsWith('\n') ? stderr : `${stderr}\n`,
  exitCode,
})

/** Whose process, where, with which environment. */
export interface ProcessContext {
  readonly guest: Guest
  /** Aborted when it is killed. */
  readonly signal: AbortSignal
  readonly as: Credentials
  readonly account: Account
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  /** Standard input, one character a byte. */
  readonly stdin: string
}

/** What a modelled program is given. */
export interface Run extends ProcessContext {
  /** The name it was called by. */
  readonly name: string
  /** Absolute path of a possibly relative one. */
  path(path: string): string
  /** Starts a program in a process of its own; no shell looks at the words. */
  exec(argv: readonly string[], change?: Partial<Omit<ProcessContext, 'guest'>>): Promise<Result>
  /** just-bash's own command of this name, for options that the model leaves to it. */
  original(args: readonly string[]): Promise<Result>
}

export type Program = (args: readonly string[], run: Run) => Result | Promise<Result>

export interface ShellOptions {
  readonly arguments?: readonly string[]
  readonly argv0?: string
  /** Options of `set` that are on from the start, e.g. `eux`. */
  readonly flags?: string
  readonly pipefail?: boolean
}

export const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}

/** A process of this user as a log-in makes it. Rejects unknown users with a plain message. */
export function loginContext(guest: Guest, user: string | number, stdin = ''): ProcessContext {
  const account = findAccount(guest.vfs, user)
  if (!account) throw new Error(`unknown user: ${user}`)
  const env = { HOME: account.home, USER: account.name, LOGNAME: account.name, SHELL: account.shell, PATH, LANG: 'C.UTF-8' }
  return {
    guest,
    signal: guest.life,
    as: account.uid === 0 ? ROOT : credentialsOf(guest.vfs, account),
    account,
    cwd: guest.vfs.exists(account.home) ? account.home : '/',
    env,
    stdin,
  }
}

/** Runs a shell script text in a new process. Never rejects. */
export async function runShell(script: string, context: ProcessContext, options: ShellOptions = {}): Promise<Result> {
  const { guest, as } = context
  let umask = 0o022
  let exitTrap: string | undefined
  const registered = new Set<string>()
  const fs = createSessionFs(
    guest.vfs,
    as,
    () => umask,
    (name) => {
      const program = guest.programs[name]
      if (!program || registered.has(name)) return
      registered.add(name)
      bash.registerCommand(command(name, program))
    },
  )
  const makeRun = (
    name: string,
    ctx: { cwd: string; env: Record<string, string>; stdin: string; original: (args: string[]) => Promise<Result> },
  ): Run => {
    const run: Run = {
      ...context,
      name,
      cwd: ctx.cwd,
      env: ctx.env,
      stdin: ctx.stdin,
      path: (path) => posix.resolve(ctx.cwd, path),
      exec: (argv, change = {}) => runArgv(argv, { ...run, stdin: '', ...change, guest }),
      original: (args) => ctx.original([...args]),
    }
    return run
  }
  const command = (name: string, program: Program) =>
    defineCommand(name, async (args, ctx): Promise<ExecResult> => {
      const run = makeRun(name, {
        cwd: ctx.cwd,
        env: { ...ctx.exportedEnv },
        stdin: latin1FromBytes(ctx.stdin),
        original: async (rest) => (ctx.origCommand ? ctx.origCommand(rest) : fail(`${name}: command not found`, 127)),
      })
      try {
        const result = await program(args, run)
        return { ...result }
      } catch (error) {
        if (error instanceof VfsError) return fail(`${name}: ${error.path}: ${error.reason}`)
        throw error
      }
    })
  const bash: Bash = new Bash({
    // Only what is installed: `command -v` believes that every registered command is there.
    commands: getCommandNames().filter((name): name is CommandName => BUILTIN_COMMANDS.has(name) || guest.vfs.exists(`/usr/bin/${name}`)),
    fs,
    cwd: context.cwd,
    env: { ...context.env, PWD: context.cwd, HOSTNAME: guest.hostname },
    defenseInDepth: false,
    processInfo: { pid: guest.nextPid(), ppid: 1, uid: as.uid, gid: as.gid },
    customCommands: [
      command(RUN_PROGRAM, ([path = '', ...args], run) =>
        args.length > 9
          ? fail(`${path}: the fake guest can't hand over more than 9 arguments to a program that is named by a variable`, 126)
          : runProgram(path, args, run),
      ),
      defineCommand(RUN_WORDS, async ([name = '', ...args], ctx): Promise<ExecResult> => {
        const path = findProgram(guest, as, ctx.env.get('PATH') ?? PATH, ctx.cwd, name)
        if (path === undefined) return fail(`bash: ${name}: ${name.includes('/') ? 'No such file or directory' : 'command not found'}`, 127)
        const stdin = latin1FromBytes(ctx.stdin)
        if (
          posix.dirname(path) === '/usr/bin' &&
          !guest.programs[posix.basename(path)] &&
          bashCommands.has(posix.basename(path)) &&
          ctx.exec
        )
          return ctx.exec(posix.basename(path), { cwd: ctx.cwd, args, stdin, stdinKind: 'bytes', env: Object.fromEntries(ctx.env) })
        const run = makeRun(posix.basename(name), {
          cwd: ctx.cwd,
          env: { ...ctx.exportedEnv },
          stdin,
          original: async () => fail(`${name}: command not found`, 127),
        })
        try {
          return { ...(await runProgram(path, args, run)) }
        } catch (error) {
          if (error instanceof VfsError) return fail(`${name}: ${error.path}: ${error.reason}`)
          throw error
        }
      }),
      defineCommand(CHECK_REDIRECTION, async (paths, ctx) => {
        const problems = paths.flatMap((path) => guest.vfs.writeProblem(posix.resolve(ctx.cwd, path), as) ?? [])
        return problems.length === 0 ? ok() : fail(problems.map((problem) => `bash: ${problem.path}: ${problem.reason}`).join('\n'))
      }),
      defineCommand(FIND_COMMAND, async ([name = ''], ctx) => {
        const found = programCandidates(ctx.env.get('PATH') ?? PATH, ctx.cwd, name).find((path) => isExecutable(guest, as, path))
        return found === undefined ? fail('') : ok(`${found}\n`)
      }),
      defineCommand('trap', async (args) => {
        if (args.includes('EXIT') || args.includes('0')) exitTrap = args[0] === '-' ? undefined : args[0]
        return ok()
      }),
      defineCommand('umask', async ([mode]) => {
        if (mode === undefined) return ok(`${umask.toString(8).padStart(4, '0')}\n`)
        umask = Number.parseInt(mode, 8)
        return ok()
      }),
      defineCommand('ulimit', async () => ok()),
      defineCommand('jobs', async () => ok()),
      defineCommand('kill', async (args) =>
        args.at(-1) === String(1) || args[0] === '-l' ? ok() : fail(`kill: (${args.at(-1)}) - No such process`),
      ),
    ],
  })
  bash.registerTransformPlugin({
    name: 'programs',
    transform: ({ ast }) => ({ ast: rewriteCommands(ast, guest.programNames, (path) => guest.vfs.writeProblem(path, as) === undefined) }),
  })
  const flags = options.flags ?? ''
  const prelude = [
    ...(options.arguments?.length ? [`set -- ${options.arguments.map(quote).join(' ')}`] : []),
    ...(options.pipefail ? ['set -o pipefail'] : []),
    ...(flags ? [`set -${flags}`] : []),
  ].join('\n')
  const env = { 0: options.argv0 ?? 'bash' }
  try {
    const result = await bash.exec(prelude ? `${prelude}\n${script}` : script, {
      rawScript: true,
      stdin: context.stdin,
      stdinKind: 'bytes',
      env,
    })
    if (exitTrap === undefined || exitTrap === '') return withName(result, options.argv0)
    // The shell's variables live on in the result, its functions only in the script.
    const last = await bash.exec(`${functionsOf(script)}\n${exitTrap}`, { rawScript: true, env: result.env })
    return withName({ stdout: result.stdout + last.stdout, stderr: result.stderr + last.stderr, exitCode: result.exitCode }, options.argv0)
  } catch (error) {
    // A redirection that could not be checked before (see rewrite-commands.ts).
    if (error instanceof VfsError) return fail(`${options.argv0 ?? 'bash'}: ${error.path}: ${error.reason}`)
    return fail(`bash: ${error instanceof Error ? error.message : String(error)}`, 2)
  }
}

function functionsOf(script: string): string {
  const { statements, ...rest } = parse(script)
  const only = statements.filter((statement) =>
    statement.pipelines.some((pipeline) => pipeline.commands.some((command) => command.type === 'FunctionDef')),
  )
  const tree: ScriptNode = { ...rest, statements: only }
  return serialize(tree)
}

function withName(result: Result, argv0: string | undefined): Result {
  const stderr = argv0 === undefined || argv0 === 'bash' ? result.stderr : result.stderr.replaceAll(/^bash: /gm, `${argv0}: `)
  return { stdout: result.stdout, stderr, exitCode: result.exitCode }
}

function programCandidates(search: string, cwd: string, name: string): string[] {
  return name.includes('/')
    ? [posix.resolve(cwd, name)]
    : search
        .split(':')
        .filter(Boolean)
        .map((folder) => posix.resolve(cwd, folder, name))
}

function isExecutable(guest: Guest, as: Credentials, path: string): boolean {
  if (!guest.vfs.exists(path, as)) return false
  const node = guest.vfs.lookup(path, as)
  return node.kind === 'file' && guest.vfs.may(node, 1, as)
}

/** Where a program is, without links; undefined if it is nowhere. */
function findProgram(guest: Guest, as: Credentials, search: string, cwd: string, name: string): string | undefined {
  const found = programCandidates(search, cwd, name).find(
    (path) => guest.vfs.exists(path, as) && guest.vfs.lookup(path, as).kind === 'file',
  )
  return found === undefined ? undefined : guest.vfs.realpath(found, ROOT)
}

const bashCommands: ReadonlySet<string> = new Set(getCommandNames())

/** Runs one program by its words, as execvp does: no shell syntax, builtins or functions. Never rejects. */
export async function runArgv(argv: readonly string[], context: ProcessContext): Promise<Result> {
  const [file = '', ...args] = argv
  const { guest, as, cwd, env } = context
  const path = findProgram(guest, as, env.PATH ?? PATH, cwd, file)
  const byShell = (words: readonly string[]): Promise<Result> => runShell(`exec ${words.map(quote).join(' ')}`, context)
  // What just-bash has itself, and what is nowhere. `test` in a shell is the shell's own; by itself it is a program.
  const names = [posix.basename(path ?? ''), posix.basename(file)].filter((name) => name !== 'test')
  if (path === undefined || names.some((name) => bashCommands.has(name))) {
    const result = await byShell(argv)
    // What is not there was asked for as well.
    if (result.exitCode === 127) guest.world.recorder?.program(guest.spec.vmid, argv, result)
    return result
  }
  const run: Run = {
    ...context,
    name: posix.basename(file),
    path: (each) => posix.resolve(cwd, each),
    exec: (words, change = {}) => runArgv(words, { ...run, stdin: '', ...change, guest }),
    original: (words) => byShell([file, ...words]),
  }
  try {
    return await runProgram(path, args, run)
  } catch (error) {
    return error instanceof VfsError
      ? fail(`${run.name}: ${error.path}: ${error.reason}`)
      : fail(`${run.name}: ${error instanceof Error ? error.message : String(error)}`, 2)
  }
}

/** Runs the program in the file at `path`, which just-bash found to be executable. */
async function runProgram(path: string, args: readonly string[], run: Run): Promise<Result> {
  const { guest } = run
  const node = guest.vfs.lookup(path, run.as)
  if (node.kind !== 'file' || !guest.vfs.may(node, 1, run.as)) return fail(`bash: ${path}: Permission denied`, 126)
  const name = posix.basename(path)
  const marked = programOf(node.data)
  if (marked !== undefined && !guest.programs[marked] && bashCommands.has(marked))
    return run.exec([`/usr/bin/${marked}`, ...args], { stdin: run.stdin })
  const modelled = guest.programFiles[guest.vfs.realpath(path, ROOT)] ?? guest.programs[marked ?? '']
  if (modelled) return modelled(args, { ...run, name })
  if (node.data[0] === 0x7f) return fail(`${path}: not modelled by the fake guest`, 127)
  if (node.data.includes(0)) return fail(`bash: ${path}: cannot execute binary file: Exec format error`, 126)
  const text = guest.vfs.readText(path, run.as)
  const [, interpreter = '/bin/sh', option = ''] = /^#![ \t]*(\S+)[ \t]*(.*)/.exec(text) ?? []
  const words = interpreter.endsWith('/env')
    ? option.replace(/^-S\s+/, '').split(/\s+/)
    : [interpreter, ...(option.trim() ? [option.trim()] : [])]
  const [program = '', ...options] = words
  if (!['sh', 'bash', 'dash'].includes(posix.basename(program))) {
    if (program.includes('/') && !guest.vfs.exists(program)) return fail(`bash: ${path}: cannot execute: required file not found`, 127)
    return run.exec([program, ...options, path, ...args], { stdin: run.stdin })
  }
  const body = text.startsWith('#!') ? `#${text.slice(2)}` : text
  const context: ProcessContext = run
  return runShell(body, context, {
    arguments: args,
    argv0: path,
    flags: options
      .filter((each) => /^-[a-z]+$/.test(each))
      .map((each) => each.slice(1))
      .join(''),
  })
}

const MARK = Buffer.from('\x7fELF fake program ')

/** Content of a program file that a package brings; says which model runs it. */
export function programFile(name: string): Buffer {
  return Buffer.concat([MARK, Buffer.from(`${name}\n`)])
}

export function programOf(data: Buffer): string | undefined {
  return data.subarray(0, MARK.length).equals(MARK) ? data.toString('utf8', MARK.length).trim() : undefined
}
