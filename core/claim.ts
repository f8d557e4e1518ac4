/** A file that says which process is at what only one may be at, and what that process noted for the next one. */
import { randomBytes } from 'node:crypto'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { makeFolder } from './folders.ts'
import { Failure } from './failure.ts'
import type { FailureCode } from './failures.ts'
import { identityOf, isRunning, type ProcessIdentity } from './process-identity.ts'
import { writeWhole } from './write-whole.ts'

export interface Holder extends ProcessIdentity {
  readonly id: string
}

export interface Claim {
  /** Replaces the note. */
  note(note: unknown): Promise<void>
  /** @param keep leave the note behind, for whoever comes next. @default false */
  release(keep?: boolean): Promise<void>
}

export interface ClaimOptions {
  /** The first note, given the one that was left behind: by a process that is gone, or kept at release. */
  readonly note: (left: unknown) => unknown
  /** What to say while somebody else is at it. */
  readonly busy: { readonly code: FailureCode; readonly message: string }
  /** Wait for the other one, until this is aborted; by a timeout: then refuse. @default refuse at once */
  readonly wait?: AbortSignal
  /** Between two looks while waiting, in milliseconds. @default 500 */
  readonly pauseMs?: number
}

interface Content {
  /** Null: nobody, only a note is left. */
  readonly holder: Holder | null
  readonly note: unknown
}

/**
 * @param file absolute; its folder is made if need be
 * @throws Failure with the given code while another process holds it; one on another computer counts as running
 */
export async function claimFile(file: string, { note, busy, wait, pauseMs = 500 }: ClaimOptions): Promise<Claim> {
  await makeFolder(dirname(file), 0o700)
  const holder: Holder = { id: randomBytes(8).toString('hex'), ...(await identityOf(process.pid)) }
  for (;;) {
    const before = await read(file)
    if (before?.holder != null && (await isRunning(before.holder))) {
      if (wait === undefined || isOver(wait)) throw busyFailure(file, before.holder, busy)
      await delay(pauseMs, undefined, { signal: wait }).catch((error: unknown) => {
        if (!isOver(wait)) throw error
      })
      continue
    }
    const content: Content = { holder, note: note(before?.note) }
    if (before === undefined ? await create(file, content) : await takeOver(file, before.text, content)) return held(file, holder)
  }
}

/** Whether a signal of AbortSignal.timeout() has come. */
const isOver = ({ reason }: AbortSignal): boolean => reason instanceof DOMException && reason.name === 'TimeoutError'

function held(file: string, holder: Holder): Claim {
  let last: unknown
  return {
    async note(note) {
      last = note
      await replace(file, { holder, note })
    },
    async release(keep = false) {
      if (keep) await replace(file, { holder: null, note: last ?? (await read(file))?.note })
      else await rm(file, { force: true })
    },
  }
}

function busyFailure(file: string, { pid, host }: Holder, { code, message }: ClaimOptions['busy']): Failure {
  return host === hostname()
    ? new Failure(code, `${message} (process ${pid})`, 'Wait for it to end, or stop it with Ctrl-C there.')
    : new Failure(
        code,
        `${message} (process ${pid} on ${host})`,
        `Wait for it to end. If that computer certainly is not at it any more, delete ${file}.`,
      )
}

const render = (content: Content): string => `${JSON.stringify(content)}\n`

/** @returns false if the file is there already */
async function create(file: string, content: Content): Promise<boolean> {
  try {
    await writeFile(file, render(content), { mode: 0o600, flag: 'wx' })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

async function replace(file: string, content: Content): Promise<void> {
  await writeWhole(file, render(content), { mode: 0o600 })
}

/**
 * Replaces what a process left that is gone. Of several that want to, one at a time compares and replaces.
 * @returns false if somebody else was quicker
 */
async function takeOver(file: string, before: string, content: Content): Promise<boolean> {
  const guard = `${file}.takeover`
  if (!(await create(guard, content))) {
    const other = await read(guard)
    if (other !== undefined && (other.holder === null || !(await isRunning(other.holder)))) await rm(guard, { force: true })
    await delay(10)
    return false
  }
  try {
    if ((await read(file))?.text !== before) return false
    await replace(file, content)
    return true
  } finally {
    await rm(guard, { force: true })
  }
}

async function read(file: string): Promise<(Content & { readonly text: string }) | undefined> {
  for (let tries = 0; ; tries++) {
    let text: string
    try {
      text = await readFile(file, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
    const content = parse(text)
    if (content !== undefined) return { ...content, text }
    // Somebody is just writing it; or it was cut short by whatever killed its holder.
    if (tries === 20) return { holder: null, note: undefined, text }
    await delay(20)
  }
}

function parse(text: string): Content | undefined {
  try {
    const { holder, note } = JSON.parse(text) as { holder?: Partial<Holder> | null; note?: unknown }
    const whole =
      holder === null ||
      (typeof holder?.id === 'string' &&
        typeof holder.pid === 'number' &&
        typeof holder.host === 'string' &&
        typeof holder.started === 'string')
    return whole ? { holder: holder as Holder | null, note } : undefined
  } catch {
    return undefined
  }
}
