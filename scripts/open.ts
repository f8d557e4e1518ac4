/** What most verbs begin with: the site, and a connection to its Proxmox with the project's own token. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { isPinned, withLockedBase } from '../images/base-image.ts'
import { findLock } from '../images/lock.ts'
import { connect, type Proxmox } from '../proxmox/client.ts'
import type { Progress } from '../core/progress.ts'
import { loadSite, siteFolder } from '../settings/load.ts'
import { readHandedIn, resolveSecret } from '../settings/resolve.ts'
import type { Site } from '../settings/site.ts'

export interface OpenSite {
  readonly site: Site
  /** Absolute path of the site folder. */
  readonly folder: string
}

export interface OpenProxmox extends OpenSite {
  readonly proxmox: Proxmox
  readonly token: { readonly id: string; readonly secret: string }
  /** Absolute path of the pinned CA, if there is one. */
  readonly caFile: string | undefined
}

export async function openSite(env: NodeJS.ProcessEnv): Promise<OpenSite> {
  const folder = siteFolder(env)
  const site = await loadSite(folder)
  return { folder, site: isPinned(site) ? site : withLockedBase(site, await findLock(folder)) }
}

/** Who hears that the API is away, and may end the wait for it. */
export interface Waiting {
  readonly progress: Progress
  readonly signal: AbortSignal
}

/**
 * @param hook the engine calls: the API has answered just now, and the token is in its environment. How the site names the
 * token may want more of the caller's environment than the engine has
 * @throws Failure when the site, the secret or the CA file is not as it has to be; connects lazily
 */
export async function openProxmox(env: NodeJS.ProcessEnv, { progress, signal }: Waiting, hook = false): Promise<OpenProxmox> {
  const { site, folder } = await openSite(env)
  const handed =
    hook && env.PROXMOX_VE_API_TOKEN?.startsWith(`${site.proxmox.tokenId}=`)
      ? env.PROXMOX_VE_API_TOKEN.slice(site.proxmox.tokenId.length + 1)
      : undefined
  const secret = handed ?? (await resolveSecret(site.proxmox.token, 'proxmox.token', folder, env))
  const token = { id: site.proxmox.tokenId, secret }
  const caFile = pinnedCa(site, folder)
  const caPem =
    caFile === undefined
      ? undefined
      : await readHandedIn(caFile, 'pem-file', 'proxmox.caFile', 'Run "npx golden setup": it fetches it again.')
  return {
    site,
    folder,
    token,
    caFile,
    proxmox: connect({
      url: site.proxmox.url,
      auth: token,
      known: hook,
      say: progress.info,
      signal,
      ...(caPem === undefined ? {} : { caPem }),
    }),
  }
}

/** Without a pinned CA the system's are used: right for hosts with a public certificate. */
export function pinnedCa(site: Site, folder: string): string | undefined {
  const path = resolve(folder, site.proxmox.caFile)
  return existsSync(path) ? path : undefined
}
