/** Brings the data of osv.dev into a folder: an archive for each ecosystem, and only what has changed there. */
import { createWriteStream } from 'node:fs'
import { rename, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { request } from 'undici'
import { Failure } from '../../core/failure.ts'
import { makeFolder } from '../../core/folders.ts'
import { WayOut } from '../../core/way-out.ts'

export interface Download {
  readonly folder: string
  /** Without releases, e.g. `Debian`. */
  readonly ecosystems: readonly string[]
  /** @default where osv.dev serves them */
  readonly from?: string
  readonly env: NodeJS.ProcessEnv
  readonly signal: AbortSignal
  readonly note: (text: string) => void
}

const osvDev = 'https://osv-vulnerabilities.storage.googleapis.com'
const timeoutMs = 60_000

/** What is there stays as it is until the new is complete. @throws Failure `osv-unreachable` */
export async function downloadOsv({ folder, ecosystems, from = osvDev, env, signal, note }: Download): Promise<void> {
  const dispatcher = new WayOut(env, { connectTimeoutMs: timeoutMs, headersTimeoutMs: timeoutMs, bodyTimeoutMs: timeoutMs })
  try {
    for (const ecosystem of ecosystems) {
      note(ecosystem)
      const target = join(folder, ecosystem, 'all.zip')
      await makeFolder(join(folder, ecosystem))
      await fetchInto(target, `${from}/${encodeURIComponent(ecosystem)}/all.zip`, dispatcher, signal)
    }
  } finally {
    await dispatcher.destroy()
  }
}

async function fetchInto(target: string, url: string, dispatcher: WayOut, signal: AbortSignal): Promise<void> {
  const there = await stat(target).catch(() => undefined)
  const partial = `${target}.${process.pid}.tmp`
  try {
    const headers = there === undefined ? {} : { 'if-modified-since': there.mtime.toUTCString() }
    const answer = await request(url, { dispatcher, headers, signal })
    if (answer.statusCode !== 200) {
      await answer.body.dump()
      if (answer.statusCode === 304) return
      throw refused(`${url} is answered with ${answer.statusCode}`)
    }
    await pipeline(answer.body, createWriteStream(partial), { signal })
    const changed = new Date(String(answer.headers['last-modified'] ?? ''))
    if (!Number.isNaN(changed.getTime())) await utimes(partial, changed, changed)
    await rename(partial, target)
  } catch (error) {
    await rm(partial, { force: true })
    const { code = '' } = error as NodeJS.ErrnoException
    // Of this computer's disk, not of the network.
    const isOfDisk = ['ENOSPC', 'EACCES', 'EROFS', 'EDQUOT', 'EPERM'].includes(code)
    if (error instanceof Failure || signal.aborted || isOfDisk) throw error
    throw refused(`${new URL(url).host} does not answer: ${error instanceof Error ? error.message || error.name : String(error)}`, error)
  }
}

const refused = (message: string, cause?: unknown): Failure =>
  new Failure(
    'osv-unreachable',
    message,
    'Check the network and HTTPS_PROXY, or fetch the archives elsewhere, and name their folder without --download.',
    { cause },
  )
