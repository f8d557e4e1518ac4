/** What a person hands in beside the site file, passwords and a certificate of their own, checked before anything begins. */
import { resolve } from 'node:path'
import { Failure } from '../core/failure.ts'
import { acmeSecrets, readAcmeFiles, type AcmeFiles } from './handed-in-acme.ts'
import { checkOwnCertificate, type CertifiedKey } from './own-certificate.ts'
import { readHandedIn, resolveSecret } from './resolve.ts'
import type { SecretRef } from './secret.ts'
import { acmeOf, ownCertificateOf, type Site, type SiteProblem } from './site.ts'

export interface HandedIn {
  readonly users: readonly { readonly name: string; readonly password: string }[]
  /** With a `public.certificate` of one's own. */
  readonly publicTls?: CertifiedKey
  /** With an ACME server's. */
  readonly acme?: AcmeFiles
}

/** A problem that is a Failure of its own keeps it: alone it is told as that. */
export interface HandedInProblem extends SiteProblem {
  readonly failure?: Failure
}

export interface Look {
  readonly site: Site
  readonly folder: string
  readonly env: NodeJS.ProcessEnv
  /** What runs programs (fromCommand) or is not here (a variable, a file) is left for whoever needs it. @default false */
  readonly onlyWhatIsHere?: boolean
  /** Run the programs that secrets come from. @default true, unless only what is here counts */
  readonly askPrograms?: boolean
  readonly now?: Date
}

/** Everything of the role `serena`, and all that is wrong with it. */
export async function lookAtHandedIn({
  site,
  folder,
  env,
  onlyWhatIsHere = false,
  askPrograms = !onlyWhatIsHere,
  now = new Date(),
}: Look): Promise<{ readonly found: HandedIn; readonly problems: readonly HandedInProblem[] }> {
  const problems: HandedInProblem[] = []
  const attempt = async (path: string, ref: SecretRef | undefined, read: () => Promise<string>): Promise<string | undefined> => {
    if (!askPrograms && ref?.kind === 'command') return undefined
    try {
      return await read()
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure
      if (!onlyWhatIsHere || failure.code !== 'secret-unavailable')
        problems.push({ path, message: failure.message.replace(`${path} = `, ''), failure })
      return undefined
    }
  }
  const users: { name: string; password: string }[] = []
  for (const [index, { name, password: ref }] of site.serena.users.entries()) {
    const path = `serena.users.${index}.password`
    const password = await attempt(path, ref, () => resolveSecret(ref, path, folder, env))
    if (password !== undefined) users.push({ name, password })
  }
  const wanted = acmeOf(site.public)
  if (wanted !== undefined) {
    const problem = (path: string, message: string): void => void problems.push({ path, message })
    const acme = await readAcmeFiles(wanted, { folder, env, attempt, problem })
    return { found: { users, acme }, problems }
  }
  const own = ownCertificateOf(site.public)
  if (own === undefined) return { found: { users }, problems }
  const chainPath = 'public.certificate.chainFile'
  const chain = await attempt(chainPath, undefined, () =>
    readHandedIn(resolve(folder, own.chainFile), 'pem', `${chainPath} = '${own.chainFile}'`, 'Put the certificate with its chain there.'),
  )
  const key = await attempt('public.certificate.key', own.key, () => resolveSecret(own.key, 'public.certificate.key', folder, env, 'pem'))
  const checked = checkOwnCertificate(chain, key, site.public.host, now)
  return {
    found: { users, ...(checked.pair === undefined ? {} : { publicTls: checked.pair }) },
    problems: [...problems, ...checked.problems],
  }
}

/** @throws Failure, when there is any problem: its own where it is alone; else all at once, as `handed-in-unfit` or as what all of them are */
export function refuseHandedIn(problems: readonly HandedInProblem[]): void {
  const [first] = problems
  if (first === undefined) return
  const hint = 'Nothing was changed in Proxmox. Mend it, then run the same command again.'
  const parts = problems.map(({ path, message, failure }) => ({
    code: failure?.code ?? 'handed-in-unfit',
    message,
    hint: failure?.hint ?? hint,
    path,
  }))
  if (problems.length === 1 && first.failure !== undefined) {
    const { code, message, hint: own } = first.failure
    throw new Failure(code, message, own, { cause: first.failure, parts })
  }
  const list = problems.map(({ path, message }) => `  ${path}: ${message}`).join('\n')
  const alike = problems.every(({ failure }) => failure !== undefined && failure.code === first.failure?.code) ? first.failure : undefined
  throw new Failure(alike?.code ?? 'handed-in-unfit', `what site.ts names can't be used as it is:\n${list}`, alike?.hint ?? hint, { parts })
}

/** Where the secrets of the role `serena` come from: whoever reads them needs what they need. */
export function handedInSecrets(site: Site): SecretRef[] {
  const [acme, own] = [acmeOf(site.public), ownCertificateOf(site.public)]
  return [
    ...site.serena.users.map(({ password }) => password),
    ...(own === undefined ? [] : [own.key]),
    ...(acme === undefined ? [] : acmeSecrets(acme)),
  ]
}
