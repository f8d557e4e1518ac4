/** The LAN's way out: slirp4netns(1), a TCP/IP stack in user space, so nothing on the host is routed or masqueraded. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { dieWithParent, type Namespace } from './namespaces.ts'

/** Resolves when the link `device` is up in the namespace, with its address and a default route. */
export async function startSlirp(namespace: Namespace, device: string, cidr: string): Promise<ChildProcess> {
  const [program, ...args] = [
    ...dieWithParent,
    'slirp4netns',
    '--configure',
    '--mtu=1500',
    '--disable-host-loopback',
    `--cidr=${cidr}`,
    '--ready-fd=3',
    '--netns-type=path',
    namespace.path,
    device,
  ]
  const child = spawn(program!, args, { detached: true, stdio: ['ignore', 'ignore', 'pipe', 'pipe'] })
  let errors = ''
  const stderr = child.stderr as Readable
  stderr.setEncoding('utf8').on('data', (chunk: string) => (errors = (errors + chunk).slice(-2000)))
  const ended = once(child, 'close').then(() => Promise.reject(new Error(`slirp4netns failed: ${errors.trim().split('\n').at(-1)}`)))
  ended.catch(() => {})
  await Promise.race([once(child.stdio[3] as Readable, 'data'), ended])
  return child
}
