/** The right to a state folder: one lab at a time, from before it reads anything until nothing of it is left. */
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readdirSync, realpathSync, rmSync } from 'node:fs'
import { createServer, connect } from 'node:net'
import { join } from 'node:path'
import { LabFailure } from '../failure.ts'

export interface Claim {
  /** Gives the folder back. May be called twice. */
  release(): Promise<void>
}

export const controlSocketOf = (stateDir: string): string => join(stateDir, 'control.sock')
export const connectionFileOf = (stateDir: string): string => join(stateDir, 'connection.json')

/** The longest path a Unix socket may have (unix(7)). */
const maxSocketPath = 107

/**
 * Makes the folder if need be, its owner's only, and takes away what says that a lab is ready: one that was killed
 * has left it there.
 * @throws LabFailure `lab-running`, `state-folder`
 */
export async function claimFolder(stateDir: string): Promise<Claim> {
  const socket = controlSocketOf(stateDir)
  if (Buffer.byteLength(socket) > maxSocketPath) {
    throw new LabFailure(
      'state-folder',
      `the state folder's path is too long for a Unix socket in it (${socket}: ${Buffer.byteLength(socket)} bytes, ${maxSocketPath} at most)`,
      'Choose a shorter one with --state.',
    )
  }
  try {
    ownFolder(stateDir)
  } catch (error) {
    throw new LabFailure(
      'state-folder',
      `the state folder can't be used: ${(error as Error).message}`,
      'Choose a folder that you may write to with --state.',
      { cause: error },
    )
  }
  const release = await hold(realpathSync(stateDir))
  if (release === undefined || (await answers(socket))) {
    await release?.()
    throw new LabFailure(
      'lab-running',
      `a lab is running with the state folder ${stateDir} already`,
      'Stop that one first (Ctrl-C there), or choose another folder with --state.',
    )
  }
  rmSync(connectionFileOf(stateDir), { force: true })
  return { release }
}

/** A folder of somebody else's that is named by mistake keeps its mode. */
function ownFolder(stateDir: string): void {
  mkdirSync(stateDir, { recursive: true, mode: 0o700 })
  if (existsSync(join(stateDir, 'secrets.json')) || readdirSync(stateDir).length === 0) chmodSync(stateDir, 0o700)
}

/**
 * A name in Linux's abstract socket namespace: two can't have it, and it is gone with the process, however that ends.
 * Elsewhere only the control socket tells.
 * @returns how to let go of it; nothing if somebody else has it
 */
async function hold(folder: string): Promise<(() => Promise<void>) | undefined> {
  if (process.platform !== 'linux') return async () => undefined
  const server = createServer((socket) => socket.destroy())
  const { promise, resolve, reject } = Promise.withResolvers<boolean>()
  server.once('error', (error: NodeJS.ErrnoException) => (error.code === 'EADDRINUSE' ? resolve(false) : reject(error)))
  server.listen(`\0serena-golden-lab-${createHash('sha256').update(folder).digest('hex').slice(0, 32)}`, () => resolve(true))
  if (!(await promise)) return undefined
  server.unref()
  return () => new Promise((done) => void server.close(() => done()))
}

/** Whether a lab answers on this socket. A file that a killed one left behind does not count. */
function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socket, () => {
      probe.destroy()
      resolve(true)
    })
    probe.on('error', () => resolve(false))
  })
}
