/** The external programs that a verb needs, with progress, and the environment in which they run. */
import type { Progress } from '../core/progress.ts'
import type { Site } from '../settings/site.ts'
import { toolEnvironment, type Program } from '../tools/index.ts'
import { plainLines } from '../tools/progress.ts'
import { wantedPins } from '../tools/wanted.ts'

/** For whom: the engine and the versions that the site asks for, and the folder that keeps which provider it has had. */
export interface ForSite {
  readonly site: Pick<Site, 'engine' | 'programs'>
  readonly folder: string | undefined
}

/**
 * Makes sure of what is asked for: Packer with its plugin, the engine with its provider. Fetches or builds what is missing.
 * @returns variables for a child process (PATH, PACKER_PLUGIN_PATH, TF_CLI_CONFIG_FILE, …), without any secret
 */
export async function programEnvironment(
  { site, folder }: ForSite,
  programs: readonly Program[],
  progress: Progress,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  // Go asks the system there and ignores SSL_CERT_FILE (crypto/x509); we can't see what the keychain trusts.
  if (process.platform === 'darwin')
    progress.info(
      'on macOS Packer and the provider trust what the keychain trusts: if "npx golden setup" pinned a certificate, it has to be added there (docs/operations.md)',
    )
  const show = plainLines((line) => progress.info(line))
  // What is there already is not news.
  return toolEnvironment({
    engine: site.engine,
    pins: wantedPins(site.programs),
    site: folder,
    programs,
    signal,
    report: (event) => {
      if (event.type !== 'ready' || event.elapsedMs > 2000) show(event)
    },
  })
}
