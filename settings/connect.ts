/** A connection to a site's Proxmox with the project's own token. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { connect, type Endpoint, type Proxmox } from '../proxmox/client.ts'
import { readHandedIn, resolveSecret } from './resolve.ts'
import type { Site } from './site.ts'

export interface Connected {
  readonly proxmox: Proxmox
  readonly token: { readonly id: string; readonly secret: string }
  /** Absolute path of the pinned CA, if there is one. */
  readonly caFile: string | undefined
}

export interface ConnectOptions extends Pick<Endpoint, 'known' | 'say' | 'signal' | 'connections' | 'waitMs'> {
  /** The token's secret, where whoever asks has it already. @default what the site names */
  readonly secret?: string | undefined
}

/** Connects lazily. @throws Failure when the secret or the CA file is not as it has to be */
export async function connectSite(site: Site, folder: string, env: NodeJS.ProcessEnv, options: ConnectOptions): Promise<Connected> {
  const { secret: given, ...endpoint } = options
  const secret = given ?? (await resolveSecret(site.proxmox.token, 'proxmox.token', folder, env))
  const token = { id: site.proxmox.tokenId, secret }
  const caFile = pinnedCa(site, folder)
  const caPem =
    caFile === undefined
      ? undefined
      : await readHandedIn(caFile, 'pem-file', 'proxmox.caFile', 'Run "npx golden setup": it fetches it again.')
  return { token, caFile, proxmox: connect({ url: site.proxmox.url, auth: token, ...endpoint, ...(caPem === undefined ? {} : { caPem }) }) }
}

/** Without a pinned CA the system's are used: right for hosts with a public certificate. */
export function pinnedCa(site: Site, folder: string): string | undefined {
  const path = resolve(folder, site.proxmox.caFile)
  return existsSync(path) ? path : undefined
}
