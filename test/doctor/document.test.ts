/** docs/doctor.md: its table is the code's, and the helper that it shows does what it says. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { expect, it } from 'vitest'
import { askOutside } from '../../doctor/ask-outside.ts'
import { linesTable } from '../../doctor/document.ts'
import { firstLooks } from '../../doctor/first.ts'

const page = readFileSync(resolve(import.meta.dirname, '../../docs/doctor.md'), 'utf8')

it('has a row for each line, as the code has it (linesTable in doctor/document.ts makes them)', () => {
  expect(page).toContain(`\n${linesTable()}\n`)
})

it('names the verbs that begin with a part of it', () => {
  for (const verb of Object.keys(firstLooks)) expect(page).toContain(`\`${verb}\``)
})

async function listen(): Promise<{ server: Server; port: number }> {
  const server = createServer((socket) => socket.end()).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, port: (server.address() as AddressInfo).port }
}

it('shows a helper that tells whether a port is open, of one name and its ports alone', async () => {
  const [open, closed, own] = [await listen(), await listen(), await listen()]
  closed.server.close()
  own.server.close()
  const code = /```js\n([\s\S]+?)```/.exec(page)?.[1] ?? ''
  const changed = code
    .replace("'serena.example.org'", "'127.0.0.1'")
    .replace('[443]', `[${open.port}, ${closed.port}]`)
    .replace("listen(8080, '127.0.0.1')", `listen(${own.port}, '127.0.0.1', () => console.log('listens'))`)
  const folder = await mkdtemp(join(tmpdir(), 'golden-helper-'))
  await writeFile(join(folder, 'helper.mjs'), changed)
  const child = spawn(process.execPath, [join(folder, 'helper.mjs')], { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    await once(child.stdout, 'data')
    const ask = (host: string, port: number) =>
      askOutside({ helper: `http://127.0.0.1:${own.port}/`, host, port, env: {}, signal: new AbortController().signal })
    expect(await ask('127.0.0.1', open.port)).toEqual({ open: true, from: '127.0.0.1' })
    expect(await ask('127.0.0.1', closed.port)).toEqual({ open: false, from: '127.0.0.1' })
    await expect(ask('127.0.0.1', 22)).rejects.toThrow('403')
    await expect(ask('somebody.example.org', open.port)).rejects.toThrow('403')
  } finally {
    child.kill()
    await once(child, 'exit')
    open.server.close()
    await rm(folder, { recursive: true })
  }
})
