/** What most verbs begin with: the site, and a connection to its Proxmox with the project's own token. */
import { isPinned, withLockedBase } from '../images/base-image.ts'
import { findLock } from '../images/lock.ts'
import type { Progress } from '../core/progress.ts'
import { connectSite, type Connected } from '../settings/connect.ts'
import { loadSite, siteFolder } from '../settings/load.ts'
import type { Site } from '../settings/site.ts'

export interface OpenSite {
  readonly site: Site
  /** Absolute path of the site folder. */
  readonly folder: string
}

export interface OpenProxmox extends OpenSite, Connected {}

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
  const connected = await connectSite(site, folder, env, { secret: handed, known: hook, say: progress.info, signal })
  return { site, folder, ...connected }
}
