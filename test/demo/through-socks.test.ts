import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Listener } from '../../lab/entrance/listen.ts'
import { startSocksProxy } from '../../lab/entrance/socks.ts'

let echo: Server
let proxy: Listener
beforeAll(async () => {
  // Greets first, as sshd does, and ends when the other side does.
  echo = createServer({ allowHalfOpen: true }, (socket) => {
    socket.write('hello\n')
    socket.pipe(socket)
  }).listen(0, '127.0.0.1')
  await once(echo, 'listening')
  proxy = await startSocksProxy(async (host, port) => {
    if (host !== 'known.example') throw Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    await once(socket, 'connect')
    return socket
  })
})
afterAll(async () => {
  await proxy.close()
  echo.close()
})

const portOf = (server: Server): number => (server.address() as { port: number }).port

function run(host: string, input: string): Promise<{ failed: boolean; stdout: string; stderr: string }> {
  return new Promise((done) => {
    const child = execFile(
      process.execPath,
      [join(import.meta.dirname, '../../demo/through-socks.ts'), String(proxy.port), host, String(portOf(echo))],
      (error, stdout, stderr) => done({ failed: error !== null, stdout, stderr }),
    )
    child.stdin?.end(input)
  })
}

it('what goes in comes out at the other end, and back, to the last byte', async () => {
  const text = 'x'.repeat(300_000)
  expect(await run('known.example', text)).toMatchObject({ failed: false, stdout: `hello\n${text}` })
})

it("what the proxy can't reach is an error", async () => {
  expect(await run('unknown.example', '')).toMatchObject({ failed: true, stderr: expect.stringContaining("can't reach unknown.example") })
})
