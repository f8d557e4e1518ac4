/**
 * Network namespaces that need no cleaning up: each is held by one small process, nothing is mounted
 * or named on the host, and the kernel takes a namespace with its links away with its last process.
 * The holders die with this process, however it ends (prctl(2), PR_SET_PDEATHSIG).
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { run } from './command.ts'

/** Put before a command: it is killed when the process that starts it dies. */
export const dieWithParent: readonly string[] = ['setpriv', '--pdeathsig', 'KILL', '--']

export interface Namespace {
  readonly pid: number
  /** For programs that take a namespace as a file. */
  readonly path: string
  /** Put before a command, it runs in the namespace. The command replaces nsenter: same process id. */
  readonly enter: readonly string[]
  /** Runs `ip` commands, one per line, in the namespace. */
  ip(lines: readonly string[]): Promise<void>
  /** Applies an nft script as one transaction. */
  nft(script: string): Promise<void>
  /** Sets kernel parameters of the namespace, by path below /proc/sys/net. */
  sysctl(values: Readonly<Record<string, string>>): Promise<void>
  /** No IPv6 in the namespace, on kernels that have it at all. */
  ip6Off(): Promise<void>
  close(): Promise<void>
}

export async function createNamespace(): Promise<Namespace> {
  const holder = spawn('unshare', ['--net', '--', ...dieWithParent, 'sh', '-c', 'echo ready; exec cat'], {
    detached: true, // a Ctrl-C in the terminal must not end it before its machines
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let errors = ''
  holder.stderr.setEncoding('utf8').on('data', (chunk: string) => (errors += chunk))
  await new Promise<void>((resolve, reject) => {
    holder.once('error', reject)
    holder.once('close', () =>
      reject(new Error(`can't make a network namespace: ${errors.trim() || 'unshare failed'} (the lab with real guests needs root)`)),
    )
    holder.stdout.once('data', () => resolve())
  })
  const pid = holder.pid!
  const path = `/proc/${pid}/ns/net`
  const enter = ['nsenter', `--net=${path}`, '--']
  const namespace: Namespace = {
    pid,
    path,
    enter,
    ip: async (lines) => void (await run([...enter, 'ip', '-batch', '-'], { input: `${lines.join('\n')}\n` })),
    nft: async (script) => void (await run([...enter, 'nft', '-f', '-'], { input: script })),
    sysctl: async (values) => {
      const script = Object.entries(values).map(([name, value]) => `echo ${value} > /proc/sys/net/${name}`)
      await run([...enter, 'sh', '-ec', script.join('\n')])
    },
    ip6Off: async () => {
      const file = '/proc/sys/net/ipv6/conf/all/disable_ipv6'
      await run([...enter, 'sh', '-ec', `if [ -e ${file} ]; then echo 1 > ${file}; fi`])
    },
    close: () => endProcess(holder),
  }
  try {
    await namespace.ip(['link set lo up'])
    return namespace
  } catch (error) {
    await namespace.close()
    throw error
  }
}

/** Kills a process of ours and waits until it is gone. */
export async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}
