import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { entryFolder, lookUp, obtain, toolCache, type Entry } from '../../tools/cache.ts'
import { filesBelow, temporaryFolder } from './folder.ts'

describe('the cache folder', () => {
  it('follows XDG_CACHE_HOME if that is absolute, else HOME', () => {
    expect(toolCache({ XDG_CACHE_HOME: '/var/x', HOME: '/home/a' })).toBe('/var/x/serena-golden/tools')
    expect(toolCache({ XDG_CACHE_HOME: 'x', HOME: '/home/a' })).toBe('/home/a/.cache/serena-golden/tools')
    expect(toolCache({ HOME: '/home/a' })).toBe('/home/a/.cache/serena-golden/tools')
  })
})

describe('an entry', () => {
  it('is made once and then looked up', async () => {
    const entry = await freshEntry()
    const notes = { version: '1' }
    const make = async (folder: string): Promise<Record<string, string>> => {
      await writeFile(join(folder, 'program'), 'x')
      return notes
    }
    expect(await lookUp(entry)).toBeUndefined()
    expect(await obtain(entry, make)).toEqual(notes)
    expect(await obtain(entry, () => Promise.reject(new Error('made twice')))).toEqual(notes)
    expect(await filesBelow(entry.root)).toEqual(['thing/key/made.json', 'thing/key/program'])
  })

  it('that fails to be made leaves nothing, and the next try is free to begin', async () => {
    const entry = await freshEntry()
    const failing = obtain(entry, async (folder) => {
      await writeFile(join(folder, 'half'), 'x')
      throw new Error('disk full')
    })
    await expect(failing).rejects.toThrow('disk full')
    expect(await filesBelow(entry.root)).toEqual([])
    expect(await obtain(entry, async () => ({ version: '1' }))).toEqual({ version: '1' })
  })

  it('that two processes want at once is made by one of them', async () => {
    const entry = await freshEntry()
    const children = [startChild(entry, 'quick'), startChild(entry, 'quick')]
    const codes = await Promise.all(children.map(async (child) => (await once(child, 'exit'))[0] as number))
    expect(codes).toEqual([0, 0])
    expect(await readFile(join(entry.root, 'made-by'), 'utf8')).toMatch(/^\d+\n$/)
    expect((await filesBelow(entry.root)).filter((file) => file !== 'made-by')).toEqual(['thing/key/made.json'])
  })

  it('whose maker was killed is taken over', async () => {
    const entry = await freshEntry()
    const child = startChild(entry, 'hang')
    await once(createInterface({ input: child.stdout! }), 'line')
    expect(await filesBelow(entry.root)).toContain('thing/key.lock')
    child.kill('SIGKILL')
    await once(child, 'exit')
    expect(await obtain(entry, async () => ({ by: 'us' }))).toEqual({ by: 'us' })
    expect(await filesBelow(join(entry.root, 'thing'))).toEqual(['key/made.json'])
  })

  it("is taken over if its lock names a process that is dead, or an id that is somebody else's now", async () => {
    const dead = spawnSync('true').pid
    for (const holder of [
      { pid: dead, started: '1' },
      { pid: process.pid, started: 'another time' },
    ]) {
      const entry = await freshEntry()
      await writeLock(entry, JSON.stringify({ host: hostname(), ...holder }))
      expect(await obtain(entry, async () => ({ by: 'us' }))).toEqual({ by: 'us' })
    }
  })

  it('is taken over from another computer that has not touched the lock for minutes, and waited for before that', async () => {
    const entry = await freshEntry()
    const stop = new AbortController()
    await writeLock(entry, JSON.stringify({ host: 'a container that is gone', pid: 1, started: '1' }))
    await expect(obtain(entry, async () => ({ by: 'us' }), { signal: stop.signal, onWait: () => stop.abort() })).rejects.toThrow(/abort/i)
    const before = new Date(Date.now() - 3 * 60_000)
    await utimes(`${entryFolder(entry)}.lock`, before, before)
    expect(await obtain(entry, async () => ({ by: 'us' }))).toEqual({ by: 'us' })
  })

  it('has a lock that is touched while it is made', async () => {
    vi.useFakeTimers({ toFake: ['setInterval'] })
    onTestFinished(() => void vi.useRealTimers())
    const entry = await freshEntry()
    const lock = `${entryFolder(entry)}.lock`
    await obtain(entry, async () => {
      await utimes(lock, 0, 0)
      vi.advanceTimersByTime(30_000)
      await vi.waitFor(
        async () => {
          expect((await stat(lock)).mtimeMs).toBeGreaterThan(Date.now() - 60_000)
        },
        { timeout: 60_000 },
      )
      return { by: 'us' }
    })
  })

  it('is taken over if its lock is damaged', async () => {
    const entry = await freshEntry()
    await writeLock(entry, '{"pid":')
    expect(await obtain(entry, async () => ({ by: 'us' }))).toEqual({ by: 'us' })
  })

  it('whose maker lives is waited for, until told to stop', async () => {
    const entry = await freshEntry()
    const child = startChild(entry, 'hang')
    await once(createInterface({ input: child.stdout! }), 'line')
    const stop = new AbortController()
    const waitedFor: number[] = []
    const waiting = obtain(entry, async () => ({ by: 'us' }), {
      signal: stop.signal,
      onWait: (pid) => {
        waitedFor.push(pid)
        stop.abort()
      },
    })
    await expect(waiting).rejects.toThrow(/abort/i)
    expect(waitedFor).toEqual([child.pid])
    expect(await lookUp(entry)).toBeUndefined()
  })
})

async function freshEntry(): Promise<Entry> {
  return { root: await temporaryFolder(), name: 'thing', key: 'key' }
}

async function writeLock(entry: Entry, text: string): Promise<void> {
  const path = `${entryFolder(entry)}.lock`
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, text)
}

function startChild(entry: Entry, how: 'quick' | 'hang'): ChildProcess {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'make-entry.ts'), JSON.stringify(entry), how], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}
