/**
 * `node through-socks.ts PROXY-PORT HOST PORT`: joins standard input and output with a TCP connection that a SOCKS5
 * proxy on loopback makes. For ssh's ProxyCommand: in the lab's Debian root there is no program for it.
 */
import { pipeline } from 'node:stream/promises'
import { connectThrough } from '../core/socks.ts'

const [proxyPort, host = '', port] = process.argv.slice(2)
const socket = await connectThrough({ host: '127.0.0.1', port: Number(proxyPort) }, host, Number(port))
await Promise.all([pipeline(process.stdin, socket), pipeline(socket, process.stdout)])
