/** Checks that take something away and see it come back by itself. */
import type { AgentResult, Proxmox } from '../proxmox/client.ts'
import { vmAt } from '../proxmox/vm.ts'
import { eventually, expectThat, type Checks } from './checks.ts'
import { findMark, type OutsideAccess } from './access.ts'

export interface Guest {
  readonly proxmox: Proxmox
  readonly node: string
  readonly vmid: number
  readonly signal: AbortSignal
}

/** The cause stands at the end. */
const lastOf = ({ stdout, stderr }: AgentResult): string => (stdout + stderr).trim().split('\n').slice(-10).join('\n')

/** `slotctl VERB` in a guest, its JSON: for verbs that only look. */
export async function slotctl(guest: Guest, ...words: string[]): Promise<any> {
  const run = await guest.proxmox.agentExec(guest.node, guest.vmid, ['/usr/local/sbin/slotctl', ...words], {
    signal: guest.signal,
    timeoutMs: 300_000,
    repeatable: true,
  })
  try {
    return JSON.parse(run.stdout)
  } catch {
    throw new Error(`slotctl ${words.join(' ')} in VM ${guest.vmid} said (exit code ${run.exitCode}): ${lastOf(run)}`)
  }
}

/** A shell command in a guest, for taking things away. Rejects when it fails. */
export async function inGuest(guest: Guest, command: string, timeoutMs = 300_000): Promise<string> {
  const run = await guest.proxmox.agentExec(guest.node, guest.vmid, ['/bin/sh', '-c', command], { signal: guest.signal, timeoutMs })
  if (run.exitCode !== 0) throw new Error(`"${command}" in VM ${guest.vmid} ended with ${run.exitCode}: ${lastOf(run)}`)
  return run.stdout
}

/** Serena answers an MCP client, with the data of before. */
export async function backWithData(access: OutsideAccess, mark: string, signal: AbortSignal): Promise<void> {
  await eventually(() => findMark(access, mark), { timeoutMs: 900_000, everyMs: 2000, signal })
}

/** Without it Proxmox waits for a minute, in which an emulated guest hardly gets around to stopping two Serenas. */
const rebootSeconds = 300

export async function checkSurvival(checks: Checks, guest: Guest, access: OutsideAccess, mark: string): Promise<void> {
  await checks.check('dockerd restarted: Serena is back by itself, data intact', async () => {
    await inGuest(guest, 'systemctl restart docker')
    await backWithData(access, mark, guest.signal)
  })
  await checks.check('the guest agent stopped: it is back by itself', async () => {
    const invocation = (): Promise<string> => inGuest(guest, 'systemctl show --property InvocationID --value qemu-guest-agent.service')
    const before = await invocation()
    // A little later: the agent still has to answer for this command.
    await inGuest(guest, 'systemd-run --quiet --on-active=2s systemctl stop qemu-guest-agent.service')
    await eventually(async () => expectThat((await invocation()) !== before, 'it was not stopped'), {
      timeoutMs: 300_000,
      signal: guest.signal,
    })
  })
  await checks.check("nftables reloaded: Serena answers, and the guest's rules are in force", async () => {
    await inGuest(guest, 'nft -f /etc/nftables.conf')
    await inGuest(guest, 'systemctl reload-or-restart golden-firewall.service')
    expectThat(
      (await inGuest(guest, 'nft list table inet golden')).includes('policy drop'),
      'the table of the guest has no dropping policy',
    )
    await backWithData(access, mark, guest.signal)
  })
  await checks.check("all nftables rules flushed: the guest's and Docker's are back by themselves, and Serena answers", async () => {
    await inGuest(guest, 'nft flush ruleset')
    await eventually(
      async () => {
        const tables = (await inGuest(guest, 'nft list tables')).split('\n')
        for (const table of ['table inet golden', 'table ip nat']) expectThat(tables.includes(table), `${table} is not back`)
      },
      { timeoutMs: 300_000, signal: guest.signal },
    )
    await backWithData(access, mark, guest.signal)
  })
  await checks.check('VM rebooted through the API: Serena is back by itself, data intact', async (note) => {
    const booted = (await inGuest(guest, 'cat /proc/sys/kernel/random/boot_id')).trim()
    await guest.proxmox.task(await vmAt(guest.proxmox, guest.node, guest.vmid).reboot(rebootSeconds), { signal: guest.signal })
    note('rebooting')
    await eventually(
      async () => {
        expectThat((await inGuest(guest, 'cat /proc/sys/kernel/random/boot_id')).trim() !== booted, 'the VM did not reboot')
      },
      { timeoutMs: 900_000, everyMs: 2000, signal: guest.signal },
    )
    await backWithData(access, mark, guest.signal)
  })
}
