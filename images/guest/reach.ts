/**
 * Who in the network can be reached: from this machine, or as a program in one of its containers would. `node reach.js
 * HOST:PORT …` prints those that take a TCP connection; of a container no more is taken than its network.
 */
import { connect } from 'node:net'
import { join } from 'node:path'
import type { Machine, Ran } from './machine.ts'
import { node, programsFolder } from './places.ts'

/** As long as a machine of the same LAN may take; what a firewall drops is waited for so long. */
const patienceMs = 5000

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

export type Target = `${string}:${number}`

const isTarget = (word: string): word is Target => /^[0-9.]+:\d+$/.test(word)

/**
 * @param container whose network it is tried from. @default the machine's own
 * @throws Error that says why it could not be tried
 */
export async function reachable(machine: Machine, targets: readonly string[], container?: string): Promise<string[]> {
  const words = [node, join(programsFolder, 'reach.js'), ...targets.filter(isTarget)]
  const ran =
    container === undefined
      ? await machine.run(node, words.slice(1))
      : await machine.run('nsenter', ['--target', await processOf(machine, container), '--net', ...words])
  return JSON.parse(outputOf(ran)) as string[]
}

/** Its first process, whose network it is. */
async function processOf(machine: Machine, container: string): Promise<string> {
  return outputOf(await machine.run('docker', ['inspect', '--format', '{{.State.Pid}}', container])).trim()
}

function outputOf({ status, stdout, stderr, error }: Ran): string {
  if (status !== 0) throw new Error(error ?? stderr.trim())
  return stdout
}

if (import.meta.main) {
  const targets = process.argv.slice(2).filter(isTarget)
  const open = await Promise.all(
    targets.map(async (target) => {
      const [host = '', port] = target.split(':')
      return (await accepts(host, Number(port))) ? [target] : []
    }),
  )
  console.log(JSON.stringify(open.flat()))
}
