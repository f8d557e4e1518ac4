/** What a slot that does not serve says of itself: the last lines of its units and of the containers that do not run. */
import type { Proxmox } from '../proxmox/client.ts'
import { guestOf, isOfGuest } from './guest.ts'

const linesOfUnits = 10
const linesOfContainer = 8
/** More than anybody reads at once. */
const most = 24

/** Never throws for what a guest does not say; an API that does not answer is another matter. */
export async function complaintsOf(proxmox: Proxmox, node: string, vmid: number, signal?: AbortSignal): Promise<readonly string[]> {
  const options = { timeoutMs: 30_000, repeatable: true, ...(signal === undefined ? {} : { signal }) }
  const said = async (command: readonly [string, ...string[]]): Promise<string[]> => {
    try {
      const { exitCode, stdout, stderr } = await proxmox.agentExec(node, vmid, command, options)
      return exitCode === 0 ? `${stdout}\n${stderr}`.split('\n').filter((line) => line.trim() !== '') : []
    } catch (error) {
      if (isOfGuest(error)) return []
      throw error
    }
  }
  const status = await guestOf(proxmox, node, vmid, signal).status()
  const silent = Object.entries(status?.services ?? {}).flatMap(([name, { state }]) =>
    state === 'running' || state === 'absent' ? [] : name,
  )
  const lines = await said([
    '/usr/bin/journalctl',
    '--boot',
    '--quiet',
    '--no-pager',
    '--output=cat',
    '--priority=warning',
    '--unit=golden-*',
    `--lines=${linesOfUnits}`,
  ])
  for (const name of silent)
    lines.push(...(await said(['/usr/bin/docker', 'logs', '--tail', String(linesOfContainer), name])).map((line) => `${name}: ${line}`))
  return lines.slice(-most)
}

/** Below a message. */
export const quoted = (lines: readonly string[]): string =>
  lines.length === 0 ? '' : `\n${lines.map((line) => `  │ ${line.slice(0, 200)}`).join('\n')}`
