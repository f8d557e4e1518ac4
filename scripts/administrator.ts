/** The administrator of a Proxmox host: who comes, with which secret, for one run, and what to tell them when they are turned away. */
import type { ProxmoxError, Login, Token } from '../proxmox/client.ts'
import { Failure } from '../core/failure.ts'
import { orStopped } from '../core/or-stopped.ts'
import type { VerbContext } from './verb.ts'

export const usualAdministrator = 'root@pam'

/** For `--admin` of a verb. */
export const adminHelp = `administrator for this one run: user@realm (password from a prompt or PROXMOX_ADMIN_PASSWORD), or a token's id user@realm!name (secret from a prompt or PROXMOX_ADMIN_TOKEN); default ${usualAdministrator}`

/** @returns what is wrong with such a name, if anything */
export const administratorProblem = (username: string): string | undefined =>
  /^[^@\s]+@[^@!\s]+(![^!\s]+)?$/.test(username) ? undefined : `${username} has no realm`

/**
 * Before anything is asked of anybody.
 * @returns who comes with what; a string: a name whose secret has to be asked for
 * @throws Failure `admin-malformed`; `admin-secret-missing`, where there is no terminal to ask on
 */
export function administrator(
  username: string,
  env: NodeJS.ProcessEnv,
  isTerminal: boolean = process.stdin.isTTY === true,
): Login | Token | string {
  const problem = administratorProblem(username)
  if (problem !== undefined)
    throw new Failure(
      'admin-malformed',
      `--admin ${problem}`,
      "It is user@realm, e.g. root@pam, or a token's id in quotes, e.g. 'root@pam!setup'.",
    )
  const isToken = username.includes('!')
  const secret = isToken ? env.PROXMOX_ADMIN_TOKEN : env.PROXMOX_ADMIN_PASSWORD
  if (secret) return withSecret(username, secret)
  if (isTerminal) return username
  if (isToken)
    throw new Failure('admin-secret-missing', `the secret of ${username} is not given`, 'Set PROXMOX_ADMIN_TOKEN for this one command.')
  throw new Failure(
    'admin-secret-missing',
    `there is no terminal to ask for the password of ${username}`,
    'Set PROXMOX_ADMIN_PASSWORD for this one command, or use "npx golden setup --print".',
  )
}

/** A user's password, or the secret of a token. */
export const withSecret = (username: string, secret: string): Login | Token =>
  username.includes('!') ? { id: username, secret } : { username, password: secret }

export const secretName = (username: string): string => (username.includes('!') ? `Secret of token ${username}` : `Password of ${username}`)

export async function askSecret(username: string, { progress, signal }: VerbContext): Promise<Login | Token> {
  progress.info(`${secretName(username)} (used for this run only, never stored):`)
  return withSecret(username, await askHidden(signal))
}

async function askHidden(signal: AbortSignal): Promise<string> {
  const { stdin } = process
  const { promise, resolve: done, reject } = Promise.withResolvers<string>()
  let typed = ''
  const read = (chunk: Buffer): void => {
    for (const char of chunk.toString()) {
      if (char === '\r' || char === '\n') return done(typed)
      if (char === '\u0003' || char === '\u0004') return reject(new Failure('cancelled', 'stopped by you', 'Run the same command again.'))
      typed = char === '\u007f' ? typed.slice(0, -1) : typed + char
    }
  }
  const end = (): void => done(typed)
  stdin.setRawMode(true)
  stdin.on('data', read).on('end', end).resume()
  try {
    return await orStopped(promise, signal)
  } finally {
    stdin.off('data', read).off('end', end).pause()
    stdin.setRawMode(false)
  }
}

/** What the site's own token would be told does not help an administrator. @param verb which they have called */
export function ofAdministrator(error: ProxmoxError, auth: Login | Token, url: string, verb: 'init' | 'setup'): Failure {
  const [who, what] = 'secret' in auth ? [auth.id, 'token'] : [auth.username, 'password']
  if (error.code === 'not-authenticated' || error.code === 'login-refused') {
    const hint =
      'secret' in auth
        ? "Check the token's id (user@realm!name) and the secret in PROXMOX_ADMIN_TOKEN."
        : 'Check the user, with its realm (--admin root@pam, …@pve), and the password.'
    return new Failure('admin-not-accepted', `Proxmox at ${url} does not accept the ${what} of the administrator ${who}`, hint, {
      cause: error,
    })
  }
  if (error.code === 'permission-denied') {
    const [purpose, after] =
      verb === 'setup'
        ? ['prepare this Proxmox', ' What was done before stays; the next run goes on there.']
        : ['see what there is on this Proxmox', '']
    return new Failure(
      'admin-not-allowed',
      `${who} is not allowed to ${purpose}: ${error.message}`,
      `Use root@pam, or a user, or a token without privilege separation, with the role Administrator on /: "npx golden ${verb} --admin …".${after}`,
      { cause: error },
    )
  }
  return error
}
