/**
 * `node through-socks.ts PROXY-PORT HOST PORT`: joins standard input and output with a TCP connection that a SOCKS5
 * proxy on loopback makes (RFC 1928). For ssh's ProxyCommand: in the lab's Debian root there is no program for it.
 */
import { connect } from 'node:net'
import { pipeline } from 'node:stream/promises'

const [proxyPort, host = '', port] = process.argv.slice(2)
const socket = connect(Number(proxyPort), '127.0.0.1')
let buffered = Buffer.alloc(0)

/** The next `count` bytes. */
async function read(count: number): Promise<Buffer> {
  while (buffered.length < count) {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
    const ended = (): void => reject(new Error('the proxy hung up'))
    socket.once('data', resolve).once('error', reject).once('close', ended)
    buffered = Buffer.concat([buffered, await promise])
    socket.off('error', reject).off('close', ended)
  }
  const bytes = buffered.subarray(0, count)
  buffered = buffered.subarray(count)
  return bytes
}

socket.write(Buffer.from([5, 1, 0]))
await read(2)
const name = Buffer.from(host)
const number = Number(port)
socket.write(Buffer.concat([Buffer.from([5, 1, 0, 3, name.length]), name, Buffer.from([number >> 8, number & 255])]))
const [, code] = await read(10)
if (code !== 0) throw new Error(`the proxy can't reach ${host}:${port} (code ${code})`)
process.stdout.write(buffered)
await Promise.all([pipeline(process.stdin, socket), pipeline(socket, process.stdout)])
