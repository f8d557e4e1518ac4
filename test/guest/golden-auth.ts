/** golden-auth beside a test's nginx, and the hashes that it reads. */
import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes, scryptSync } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync } from 'node:fs'
import { join } from 'node:path'

/** A line as the rollout makes it, but cheap. */
export function cheapHash(user: string, password: string): string {
  const salt = randomBytes(16)
  const base64 = (value: Buffer): string => value.toString('base64').replaceAll('=', '')
  return `${user}:$scrypt$ln=4,r=8,p=1$${base64(salt)}$${base64(scryptSync(password, salt, 32, { N: 16, r: 8, p: 1 }))}\n`
}

/** With the socket where systemd has it. It ends with this program, however that ends. @param golden the slot's `/run/golden` */
export async function startAuth(golden: string): Promise<ChildProcess> {
  const socket = join(golden, 'nginx', 'auth.sock')
  const auth = [process.execPath, join(import.meta.dirname, 'nginx-auth.ts'), join(golden, 'auth'), socket]
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...auth], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  chmodSync(socket, 0o666)
  return child
}
