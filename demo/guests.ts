/** What the VMs that run look like at the moment a check fails: with the lab all of it is gone, and so is the cause. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import type { Proxmox } from '../proxmox/client.ts'
import { vmAt, vmsOf } from '../proxmox/vm.ts'
import { duration } from '../scripts/render.ts'

/** The end of a serial console's log as a person would see it: no colours, no blank lines, of a line that was redrawn its last state. */
export function consoleTail(log: string, lines: number): string[] {
  return stripVTControlCharacters(log)
    .split('\n')
    .map(
      (line) =>
        line
          .split('\r')
          .findLast((drawn) => drawn.trim() !== '')
          ?.trimEnd() ?? '',
    )
    .filter((line) => line !== '')
    .slice(-lines)
}

/** What a guest whose agent answers is asked. */
const question = 'systemctl list-jobs --no-legend; systemctl list-units --failed --plain --no-legend; slotctl status'
const answerTimeoutMs = 20_000
const consoleLines = 12

/**
 * Lines for people: of each VM that runs how long and how busy it has been, what its agent says and the end of its console.
 * @param labFolder the lab's state folder, in which the consoles' logs are
 */
export async function describeGuests(proxmox: Proxmox, node: string, labFolder: string): Promise<string[]> {
  const vms = await vmsOf(proxmox, node)
  const lines: string[] = []
  for (const { vmid, name } of vms.filter((vm) => vm.status === 'running').sort((one, other) => one.vmid - other.vmid)) {
    const agent = await proxmox.agentExec(node, vmid, ['/bin/sh', '-c', question], { timeoutMs: answerTimeoutMs }).then(
      ({ stdout, stderr }) => (stdout + stderr).trim(),
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    )
    // The lab's figure is the time since it was last asked, which was above.
    const { uptime = 0, cpu = 0, cpus, qmpstatus } = await vmAt(proxmox, node, vmid).status()
    const log = await readFile(join(labFolder, 'serial', `${vmid}.log`), 'utf8').catch(() => '')
    lines.push(
      `VM ${vmid} (${name}), ${qmpstatus} for ${duration(uptime * 1000)}, ${cpu.toFixed(1)} of ${cpus} processors busy`,
      ...agent.split('\n').map((line) => `  agent   │ ${line}`),
      ...consoleTail(log, consoleLines).map((line) => `  console │ ${line}`),
    )
  }
  return lines
}
