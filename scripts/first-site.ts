/** The first `site.ts`, from what a Proxmox host tells its administrator and what is answered: at questions, or by flags alone. */
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { Failure } from '../core/failure.ts'
import { makeFolder } from '../core/folders.ts'
import { connect, ProxmoxError, type Proxmox } from '../proxmox/client.ts'
import { lookAtHost, type HostSeen } from '../proxmox/survey.ts'
import { usualToken } from '../settings/first/propose.ts'
import { siteText } from '../settings/first/site-text.ts'
import { problemWith, readProxmox } from '../settings/first/words.ts'
import { administrator, administratorProblem, ofAdministrator, secretName, usualAdministrator, withSecret } from './administrator.ts'
import { readFirstFlags } from './first-flags.ts'
import { Interview, missingFailure, type FirstTools } from './interview.ts'
import type { Prompts } from './prompts.ts'
import { meet, pin, type Trust } from './trust.ts'
import { orStopped } from '../core/or-stopped.ts'
import type { VerbContext } from './verb.ts'

export interface FirstSite {
  /** Absolute paths. */
  readonly made: readonly string[]
  /** Who has looked, for the next verb. */
  readonly admin: string
}

/**
 * Writes `site.ts`, and pins what signed the host's certificate. Until then nothing is written, and in Proxmox nothing is ever
 * changed.
 * @throws Failure `usage`, with all that is missing where nobody can be asked; those of `meet`, `administrator`, `propose`;
 * `cancelled`
 */
export async function firstSite(folder: string, context: VerbContext, tools: FirstTools): Promise<FirstSite> {
  const flags = readFirstFlags(context)
  if (tools.prompts === undefined) requireLogin(flags.url, context)
  const { url, trust } = await meetHost(flags.url, context, tools)
  const { admin, username, host } = await logIn(url, trust, context, tools)
  try {
    const given = { ...flags.given }
    const found = await new Interview({
      context,
      tools,
      admin,
      folder,
      given,
      settings: flags.settings,
      url,
      from: trust.from,
      host,
    }).hold()
    const file = join(folder, 'site.ts')
    await makeFolder(folder, 0o700)
    await writeFile(file, siteText(found.input), { flag: 'wx' })
    await pin(admin, found.site, folder, trust, context)
    const caFile = resolve(folder, found.site.proxmox.caFile)
    return { made: [file, ...(existsSync(caFile) ? [caFile] : [])], admin: username }
  } catch (error) {
    throw error instanceof ProxmoxError ? ofAdministrator(error, withSecret(username, ''), url, 'init') : error
  } finally {
    admin.close()
  }
}

/** All at once, before anything is begun. */
function requireLogin(url: string | undefined, { flags, env }: VerbContext): void {
  const isToken = typeof flags.admin === 'string' && flags.admin.includes('!')
  const secret = isToken ? 'PROXMOX_ADMIN_TOKEN' : 'PROXMOX_ADMIN_PASSWORD'
  const missing = [...(url === undefined ? ['--host'] : []), ...(env[secret] ? [] : [secret])]
  if (missing.length > 0) throw missingFailure(missing)
}

/** What another answer may mend. */
const wrongHost: ReadonlySet<string> = new Set(['proxmox-unreachable', 'certificate-name'])
const mostTries = 3

async function meetHost(given: string | undefined, context: VerbContext, { prompts }: FirstTools): Promise<{ url: string; trust: Trust }> {
  for (let tries = 1; ; tries++) {
    const check = (text: string): string | undefined => problemWith(readProxmox, text)
    const url = given ?? readProxmox((await prompts?.text('Proxmox: name or address of the host', { check })) ?? '')
    try {
      const agree = prompts && (() => agreeToFingerprint(prompts))
      return { url, trust: await meet(url, undefined, context, { verb: 'init', agree }) }
    } catch (failure) {
      if (given !== undefined || tries === mostTries || !(failure instanceof Failure) || !wrongHost.has(failure.code)) throw failure
      context.progress.warn(`${failure.message}. ${failure.hint}`)
    }
  }
}

/** Enter alone does not do: it is what everything else rests on. */
const agreeToFingerprint = async (prompts: Prompts): Promise<boolean> =>
  (await prompts.text('Is it the same there? Type yes:', {})).toLowerCase() === 'yes'

async function logIn(
  url: string,
  trust: Trust,
  { flags, env, progress, signal }: VerbContext,
  { prompts }: FirstTools,
): Promise<{ admin: Proxmox; username: string; host: HostSeen }> {
  for (let tries = 1; ; tries++) {
    const username =
      typeof flags.admin === 'string'
        ? flags.admin
        : ((await prompts?.text("Administrator, to look around (USER@REALM, or a token's id)", {
            usual: usualAdministrator,
            check: administratorProblem,
          })) ?? usualAdministrator)
    const admitted = administrator(username, env, prompts !== undefined)
    const auth =
      typeof admitted === 'string'
        ? withSecret(username, (await prompts?.secret(`${secretName(username)} (never stored)`)) ?? '')
        : admitted
    const admin = connect({ url, auth, say: progress.info, signal, ...(trust.caPem === undefined ? {} : { caPem: trust.caPem }) })
    try {
      return { admin, username, host: await progress.step(`look at ${url}`, () => orStopped(lookAtHost(admin, [usualToken]), signal)) }
    } catch (error) {
      admin.close()
      const failure = error instanceof ProxmoxError ? ofAdministrator(error, auth, url, 'init') : error
      const isMistyped = failure instanceof Failure && failure.code === 'admin-not-accepted' && typeof admitted === 'string'
      if (!isMistyped || tries === mostTries) throw failure
      progress.warn(`${failure.message}. ${failure.hint}`)
    }
  }
}
