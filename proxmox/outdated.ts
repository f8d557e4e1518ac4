/** Whether Proxmox refused a change because what it rests on has changed since it was looked at. */
import { ProxmoxError } from './client.ts'

/**
 * A `digest` that is another one by now, or a lock that somebody has taken since: nothing was changed, and whoever asked
 * has to look again. The words are those of PVE::API2::Qemu, PVE::Tools::assert_if_modified and
 * PVE::AbstractConfig::check_lock; the misspelt one is Proxmox's.
 */
export const isOutdated = (error: unknown): boolean =>
  error instanceof ProxmoxError && /checksum mis+match|detected modified configuration|VM is locked|can't lock file/i.test(error.message)
