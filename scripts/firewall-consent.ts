/** Nobody's datacenter firewall goes on before somebody has seen what that closes, and said yes to it. */
import type { FirewallQuestion } from '../proxmox/datacenter-firewall.ts'
import { Failure } from '../core/failure.ts'
import { confirm } from './confirm.ts'
import type { VerbContext } from './verb.ts'

/** @throws Failure `firewall-not-confirmed`, `caller-outside-admin`, `not-confirmed`, `cancelled` */
export async function agreeToFirewall(
  { lines, mayLockOut }: FirewallQuestion,
  { flags, progress }: Pick<VerbContext, 'flags' | 'progress'>,
  isTTY = process.stdin.isTTY,
): Promise<void> {
  const list = lines.map((line) => `  - ${line}`).join('\n')
  if (flags.yes === true || !isTTY) {
    // Whoever can't see this can't be asked whether they are sure.
    if (mayLockOut)
      throw new Failure(
        'caller-outside-admin',
        `turning the datacenter firewall on may lock you out:\n${list}`,
        'Add the network that you come from to network.admin in site.ts, or run it on a terminal without --yes. Nothing was changed.',
      )
    if (flags.yes === true) return progress.info(`turning the datacenter firewall on, as --yes says:\n${list}`)
    throw new Failure(
      'firewall-not-confirmed',
      `nobody is here to agree to what turning the datacenter firewall on does:\n${list}`,
      'Once you know that nothing of this is in the way, add --yes. Nothing was changed.',
    )
  }
  progress.info(`What turning the datacenter firewall on does:\n${list}`)
  await confirm('Turn it on? Type yes: ', 'yes', 'Nothing was changed.')
}
