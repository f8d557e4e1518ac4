/** Programs that start other programs: shells, sudo, env and the like. */
import { parse } from 'just-bash'
import { findAccount } from '../accounts.ts'
import { fail, loginContext, ok, runShell, type Program, type Result, type Run } from '../shell.ts'

const shell: Program = async (args, run) => {
  const words = [...args]
  let flags = ''
  let pipefail = false
  let command: string | undefined
  let stdin = false
  while (words.length > 0 && /^[-+]./.test(words[0] ?? '')) {
    const word = words.shift() ?? ''
    if (word === '--') break
    if (word.startsWith('--') || word.startsWith('+')) continue
    for (const letter of word.slice(1)) {
      if (letter === 'c') command = ''
      else if (letter === 's') stdin = true
      else if (letter === 'o') {
        if (words.shift() === 'pipefail') pipefail = true
      } else if ('euxfnC'.includes(letter)) flags += letter
    }
  }
  const options = { pipefail, ...(flags.replace('n', '') && { flags: flags.replace('n', '') }) }
  if (command !== undefined) {
    const [script = '', argv0 = run.name, ...rest] = words
    return runShell(script, run, { ...options, argv0, arguments: rest })
  }
  const [file, ...rest] = words
  if (stdin || file === undefined)
    return runShell(
      Buffer.from(run.stdin, 'latin1').toString('utf8'),
      { ...run, stdin: '' },
      { ...options, argv0: run.name, arguments: words },
    )
  const path = run.path(file)
  if (!run.guest.vfs.exists(path, run.as)) return fail(`${run.name}: 0: cannot open ${file}: No such file`, run.name === 'bash' ? 127 : 2)
  const script = run.guest.vfs.readText(path, run.as).replace(/^#!/, '#')
  if (flags.includes('n')) {
    try {
      parse(script)
    } catch (error) {
      return fail(`${file}: ${error instanceof Error ? error.message : String(error)}`, 2)
    }
    return ok()
  }
  return runShell(script, run, { ...options, argv0: file, arguments: rest })
}

/** Words of the form NAME=VALUE at the start, and the rest. */
function assignments(words: readonly string[]): { env: Record<string, string>; rest: string[] } {
  const env: Record<string, string> = {}
  const rest = [...words]
  for (let match = /^([A-Za-z_]\w*)=([\s\S]*)$/.exec(rest[0] ?? ''); match; match = /^([A-Za-z_]\w*)=([\s\S]*)$/.exec(rest[0] ?? '')) {
    env[match[1] ?? ''] = match[2] ?? ''
    rest.shift()
  }
  return { env, rest }
}

const env: Program = async (args, run) => {
  const words = [...args]
  let base: Record<string, string> = { ...run.env }
  while ((words[0] ?? '').startsWith('-')) {
    const word = words.shift()
    if (word === '-i' || word === '-') base = {}
    else if (word === '-u') delete base[words.shift() ?? '']
    else if (word === '-S') words.unshift(...(words.shift() ?? '').split(/\s+/))
  }
  const { env: extra, rest } = assignments(words)
  const all = { ...base, ...extra }
  if (rest.length === 0)
    return ok(
      Object.entries(all)
        .map(([name, value]) => `${name}=${value}\n`)
        .join(''),
    )
  return run.exec(rest, { env: all, stdin: run.stdin })
}

/** May this user use sudo? As Debian's cloud images have it: by a file in /etc/sudoers.d, or by the group sudo. */
function maySudo(run: Run): boolean {
  if (run.as.uid === 0) return true
  const { vfs } = run.guest
  const files = [
    '/etc/sudoers',
    ...(vfs.exists('/etc/sudoers.d')
      ? [...vfs.readdir('/etc/sudoers.d', { uid: 0, gid: 0, groups: [0] }).entries.keys()].map((name) => `/etc/sudoers.d/${name}`)
      : []),
  ]
  return files.some(
    (file) =>
      vfs.exists(file) &&
      vfs
        .readText(file)
        .split('\n')
        .some((line) => {
          const [who = '', ...rule] = line.trim().split(/\s+/)
          return (who === run.account.name || who === 'ALL') && rule.join(' ').includes('NOPASSWD')
        }),
  )
}

const sudo: Program = async (args, run) => {
  const words = [...args]
  let keep = false
  let target = 'root'
  let login = false
  while ((words[0] ?? '').startsWith('-')) {
    const word = words.shift() ?? ''
    if (word === '--') break
    if (word === '-u' || word === '-g' || word === '-p' || word === '-C') {
      const value = words.shift() ?? ''
      if (word === '-u') target = value
      continue
    }
    if (word.startsWith('--preserve-env') || (word[1] !== '-' && word.includes('E'))) keep = true
    if (word[1] !== '-' && /[is]/.test(word)) login = true
  }
  if (!maySudo(run))
    return fail(
      "sudo: a terminal is required to read the password; either use ssh's -t option or configure an askpass helper\nsudo: a password is required",
    )
  if (!findAccount(run.guest.vfs, target.replace('#', ''))) return fail(`sudo: unknown user ${target}`)
  const to = loginContext(run.guest, target.replace('#', ''))
  const { env: extra, rest } = assignments(words)
  const environment = {
    ...(keep ? { ...run.env, ...to.env } : { ...to.env, ...(run.env.TERM !== undefined && { TERM: run.env.TERM }) }),
    SUDO_USER: run.account.name,
    SUDO_UID: String(run.as.uid),
    ...extra,
  }
  const context = { as: to.as, account: to.account, env: environment, stdin: run.stdin, cwd: login ? to.cwd : run.cwd }
  if (rest.length === 0)
    return runShell(Buffer.from(run.stdin, 'latin1').toString('utf8'), { guest: run.guest, signal: run.signal, ...context, stdin: '' })
  const [first = ''] = rest
  const result = await run.exec(rest, context)
  return result.exitCode === 127 && result.stderr.includes(`bash: ${first}: command not found`)
    ? fail(`sudo: ${first}: command not found`)
    : result
}

async function asUser(run: Run, user: string, command: string | undefined, argv: readonly string[], login: boolean): Promise<Result> {
  if (run.as.uid !== 0) return fail(`${run.name}: Authentication failure`)
  if (!findAccount(run.guest.vfs, user))
    return fail(`${run.name}: user ${user} does not exist or the user entry does not contain all the required fields`)
  const to = loginContext(run.guest, user)
  const context = {
    ...to,
    env: login ? to.env : { ...run.env, HOME: to.account.home, USER: user, LOGNAME: user },
    cwd: login ? to.cwd : run.cwd,
    stdin: run.stdin,
  }
  if (command !== undefined) return runShell(command, context)
  if (argv.length > 0) return run.exec(argv, context)
  return runShell(Buffer.from(run.stdin, 'latin1').toString('utf8'), { ...context, stdin: '' })
}

/** `su [-] [USER] [-c COMMAND]` and `runuser -u USER [--] WORDS…`. */
const su: Program = async (args, run) => {
  const words = [...args]
  let user: string | undefined
  let command: string | undefined
  let login = false
  const rest: string[] = []
  while (words.length > 0) {
    const word = words.shift() ?? ''
    if (word === '-' || word === '-l' || word === '--login') login = true
    else if (word === '-c') command = words.shift()
    else if (word === '-u') {
      user = words.shift()
      if (words[0] === '--') words.shift()
      rest.push(...words.splice(0))
    } else if (word === '-s') words.shift()
    else if (word === '--') rest.push(...words.splice(0))
    else if (user === undefined) user = word
    else rest.push(word)
  }
  return asUser(run, user ?? 'root', command, rest, login)
}

export const processPrograms: Readonly<Record<string, Program>> = { sh: shell, bash: shell, env, sudo, su, runuser: su }
