/**
 * Who in the network can be reached: from this machine, or as a program in one of its containers would. `node reach.js
 * [--udp] HOST:PORT …` prints those that take a TCP connection, and sends each a datagram besides; of a container no more is
 * taken than its network.
 */
import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { Seed } from '../contract/seed.ts'
import { containerNetworks } from '../../settings/containers.ts'
import { nic } from './address.ts'
import type { Machine, Ran } from './machine.ts'
import { node, programsFolder, run } from './places.ts'

/** As long as a machine of the same LAN may take; what a firewall drops is waited for so long. */
const patienceMs = 5000

export interface Reached {
  /** Those that took a TCP connection. */
  readonly reached: readonly string[]
  /** Of a container: how many packets of it have left the machine, but for what it asks the name servers. Nobody has to answer for that. */
  readonly left?: number
}

/**
 * @param targets `HOST:PORT`
 * @param container whose network it is tried from. @default the machine's own
 * @throws Error that says why it could not be tried
 */
export async function reach(machine: Machine, seed: Seed, targets: readonly string[], container?: string): Promise<Reached> {
  const program = [node, join(programsFolder, 'reach.js')] as const
  if (container === undefined) return { reached: parsed(await machine.run(node, [program[1], ...targets])) }
  // Of its first process: whose network that is.
  const pid = outputOf(await machine.run('docker', ['inspect', '--format', '{{.State.Pid}}', container])).trim()
  const { files } = machine
  const table = `${run}/${counting}.nft`
  files.write(table, countingTable(seed))
  try {
    outputOf(await machine.run('nft', ['-f', table]))
    const reached = parsed(await machine.run('nsenter', ['--target', pid, '--net', ...program, '--udp', ...targets]))
    const counted = outputOf(await machine.run('nft', ['list', 'table', 'inet', counting]))
    return { reached, left: Number(/packets (\d+)/.exec(counted)?.[1] ?? NaN) }
  } finally {
    files.remove(table)
    await machine.run('nft', ['delete', 'table', 'inet', counting])
  }
}

const counting = 'golden_reach'

/** Counts what of the containers leaves the machine, behind all that could hold it back, and holds nothing back itself. */
export const countingTable = ({ containers, nameservers }: Pick<Seed, 'containers' | 'nameservers'>): string => `table inet ${counting} {
  counter left { packets 0 bytes 0 }
  chain out {
    type filter hook postrouting priority filter; policy accept;
${nameservers.length === 0 ? '' : `    oifname "${nic}" ip daddr { ${nameservers.join(', ')} } meta l4proto { tcp, udp } th dport 53 accept\n`}    oifname "${nic}" ip saddr ${containerNetworks(containers).all} counter name left
  }
}
`

const parsed = (ran: Ran): string[] => JSON.parse(outputOf(ran)) as string[]

function outputOf({ status, stdout, stderr, error }: Ran): string {
  if (status !== 0) throw new Error(error ?? stderr.trim())
  return stdout
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: patienceMs })
    const end = (accepted: boolean) => (): void => {
      socket.destroy()
      resolve(accepted)
    }
    socket.once('connect', end(true)).once('error', end(false)).once('timeout', end(false))
  })
}

/** Whether it goes anywhere is seen by who counts. */
function send(host: string, port: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4')
    const end = (): void => void socket.close(() => resolve())
    socket.once('error', end)
    socket.send('x', port, host, end)
  })
}

if (import.meta.main) {
  const words = process.argv.slice(2)
  const targets = words.flatMap((word) => {
    const [, host, port] = /^([0-9.]+):(\d{1,5})$/.exec(word) ?? []
    return host === undefined ? [] : [{ word, host, port: Number(port) }]
  })
  if (words.includes('--udp')) await Promise.all(targets.map(({ host, port }) => send(host, port)))
  const open = await Promise.all(targets.map(async ({ word, host, port }) => ((await accepts(host, port)) ? [word] : [])))
  console.log(JSON.stringify(open.flat()))
}
