/** In a network namespace of its own, with a neighbour in another: asks the LAN, and prints what it has found. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { askNeighbours, whoHas } from '../../core/neighbours.ts'
import { realLan } from '../../scripts/ask-lan.ts'

const holder = spawn('setpriv', ['--pdeathsig', 'KILL', 'unshare', '--net', '--', 'sh', '-c', 'echo; exec sleep infinity'], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
await once(holder.stdout, 'data')
const ip = (...args: string[]): Buffer => execFileSync('ip', args)
const there = (...args: string[]): Buffer => execFileSync('nsenter', [`--net=/proc/${holder.pid}/ns/net`, '--', ...args])
ip('link', 'set', 'lo', 'up')
ip('link', 'add', 'wire', 'type', 'veth', 'peer', 'name', 'wire', 'netns', String(holder.pid))
ip('address', 'add', '10.9.0.1/24', 'dev', 'wire')
ip('link', 'set', 'wire', 'up')
for (const address of ['10.9.0.2', '10.9.0.7']) there('ip', 'address', 'add', `${address}/24`, 'dev', 'wire')
const mac = '52:54:00:12:34:5A'
there('ip', 'link', 'set', 'wire', 'address', mac)
there('ip', 'link', 'set', 'wire', 'up')
// Whoever answers nothing else answers this.
there('sh', '-c', 'echo 1 > /proc/sys/net/ipv4/icmp_echo_ignore_all')
const { signal } = new AbortController()
const asked = ['10.9.0.1', '10.9.0.2', '10.9.0.3', '10.9.0.7', '10.9.0.200', '10.8.0.2']
const found = Object.fromEntries(await askNeighbours(asked, { signal }))
const doctors = [await whoHas('10.9.0.2', signal), await whoHas('10.9.0.4', signal)]
process.stdout.write(JSON.stringify({ mac, own: realLan.own(), found, doctors }))
holder.kill('SIGKILL')
