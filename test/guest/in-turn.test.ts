/** What changes a slot is done one after another, whoever has asked for it and has gone since. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { inTurn } from '../../images/guest/in-turn.ts'
import { thisMachine, type Machine } from '../../images/guest/machine.ts'
import { claimFile, handoverFile, imageRecordFile, seedFolder, turnFile } from '../../images/guest/places.ts'
import { slotctl } from '../../images/guest/slotctl.ts'
import { newSuccession, succeed } from '../../images/guest/succeed.ts'
import { Filesystem } from '../../lab/compute/fake/filesystem.ts'
import { Locks } from '../../lab/compute/fake/locks.ts'
import { modelOf } from '../../lab/compute/fake/programs.ts'
import type { Run } from '../../lab/compute/fake/shell.ts'
import { ROOT, Vfs } from '../../lab/compute/fake/vfs.ts'
import { image, seeds } from './seed.ts'

const folder = mkdtempSync(join(tmpdir(), 'golden-turn-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A program that takes the lock, says so, and keeps it until it is killed. */
async function holder(path: string): Promise<ChildProcess> {
  const module = join(import.meta.dirname, '../../images/guest/machine.ts')
  const script = `import { thisMachine } from '${module}'
await thisMachine.lock('${path}')
thisMachine.files.write('${path}', 'another one')
thisMachine.say('has it')
setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout!, 'data')
  return child
}

describe("the kernel's lock", () => {
  it('is had by one at a time, and again once it is released', async () => {
    const path = join(folder, 'one')
    const release = await thisMachine.lock(path)
    expect(await thisMachine.lock(path)).toBeUndefined()
    expect(await thisMachine.lock(path, { waitMs: 50 })).toBeUndefined()
    release?.()
    const second = await thisMachine.lock(path)
    expect(second).toBeDefined()
    second?.()
  })

  it('is not left behind by who is killed: whoever waits has it at once', async () => {
    const path = join(folder, 'two')
    const child = await holder(path)
    let waited = false
    const here: Machine = { ...thisMachine, lock: (_path, options) => thisMachine.lock(path, options) }
    const files = { ...thisMachine.files, exists: () => true, read: () => thisMachine.files.read(path), write: () => {} }
    const turn = inTurn({ ...here, files }, 'me', async () => 'mine', {
      waitMs: 60_000,
      onWait(by) {
        waited = true
        expect(by).toBe('another one')
        child.kill('SIGKILL')
      },
    })
    expect(await turn).toEqual({ came: true, result: 'mine' })
    expect(waited).toBe(true)
  }, 30_000)
})

describe('that of a fake guest', () => {
  const never = new AbortController().signal
  it('is the same', async () => {
    const locks = new Locks()
    const release = await locks.take('a', 0, () => {}, never)
    expect(await locks.take('a', 0, () => {}, never)).toBeUndefined()
    expect(await locks.take('a', 1, () => {}, never)).toBeUndefined()
    const other = await locks.take('b', 0, () => {}, never)
    expect(other).toBeDefined()
    const order: string[] = []
    const waiting = locks
      .take('a', 60_000, () => order.push('waits'), never)
      .then((mine) => {
        order.push('has it')
        return mine
      })
    release?.()
    // A second time is nobody's loss.
    release?.()
    const mine = await waiting
    expect(order).toEqual(['waits', 'has it'])
    release?.()
    expect(await locks.take('a', 0, () => {}, never)).toBeUndefined()
    mine?.()
  })

  it('is waited for by many, of whom each gets it once', async () => {
    const locks = new Locks()
    let inside = 0
    const results = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const release = await locks.take('a', 60_000, () => {}, never)
        expect(++inside).toBe(1)
        await new Promise(setImmediate)
        inside -= 1
        release?.()
        return release !== undefined
      }),
    )
    expect(results).toEqual(results.map(() => true))
  })

  it('goes with the program that has it, however that ends', async () => {
    const system = new Filesystem('tmpfs')
    const guest = { locks: new Locks(), vfs: new Vfs(system, 'none'), spec: { name: 'x', vmid: 1 } }
    const run = (signal: AbortSignal): Run => ({ guest, signal, as: ROOT, cwd: '/', env: {} }) as unknown as Run
    const power = new AbortController()
    const take = modelOf(async (_, machine) => {
      await machine.lock('/lock')
      throw new Error('no more')
    })
    const hold = modelOf(async (_, machine) => {
      await machine.lock('/lock', { waitMs: 1000 })
      power.abort()
      await machine.pause(100_000)
      return 0
    })
    const look = modelOf(async (_, machine) => ((await machine.lock('/lock')) === undefined ? 1 : 0))
    expect(await take([], run(never))).toMatchObject({ exitCode: 1 })
    expect(await hold([], run(power.signal))).toMatchObject({ exitCode: 143 })
    expect(await look([], run(never))).toMatchObject({ exitCode: 0 })
  })
})

/** A slot whose programs share files, a lock and a service address, and whose every change is written down. */
function slot() {
  const locks = new Locks()
  const all = new Map([
    [`${seedFolder}/seed.json`, JSON.stringify(seeds.serena)],
    [imageRecordFile, JSON.stringify(image)],
    ['/proc/self/mountinfo', ''],
  ])
  const changes: string[] = []
  const gate = { state: 'open', busy: 0, oldestMs: 0 }
  let address = true
  let ticks = 0
  const later = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, ticks++ % 3))
  /** @param who a program of its own */
  const machine = (who: string): Machine & { readonly said: string[]; readonly complained: string[] } => {
    const said: string[] = []
    const complained: string[] = []
    return {
      ...thisMachine,
      said,
      complained,
      files: {
        ...thisMachine.files,
        exists: (path) => all.has(path),
        read: (path) => all.get(path) ?? '',
        write: (path, content) => void all.set(path, content),
        rename: (from, to) => void all.set(to, all.get(from) ?? ''),
        remove: (path) => void all.delete(path),
        space: () => ({ bsize: 4096, blocks: 1e7, bfree: 1e7, bavail: 1e7, files: 0, ffree: 0 }),
      },
      lock: (path, { waitMs = 0, onWait = () => {} } = {}) => locks.take(path, waitMs, onWait, new AbortController().signal),
      async run(program, args) {
        const looks = ['ss', 'pgrep', 'blkid'].includes(program) || args.includes('is-active')
        if (!looks) changes.push(who)
        await later()
        if (!looks) changes.push(who)
        if (program === 'ip' && args.includes('del') && args.includes('eth0')) address = false
        if (program === 'ip' && args.includes('add') && args.includes('eth0')) address = true
        return { status: program === 'pgrep' ? 1 : 0, stdout: '', stderr: '' }
      },
      async ask({ to, path, method, body }) {
        if ('socket' in to || path === '/peer/owner') throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
        if (method === 'PUT') {
          changes.push(who)
          if (path === '/handover') gate.state = (JSON.parse(body ?? '') as { state: string }).state
        }
        await later()
        if (method === 'PUT') changes.push(who)
        return { status: 200, headers: {}, body: path.endsWith('/carry') ? '{"schema":1}' : JSON.stringify(gate) }
      },
      addresses: (card) => (card === 'eth0' && address ? [seeds.serena.service] : []),
      pause: later,
      say: (line) => void said.push(line),
      complain: (line) => void complained.push(line),
    }
  }
  return { all, changes, gate, machine }
}

describe('in a slot', () => {
  const verbs = [
    ['let-go', '1'],
    ['yield'],
    ['drain', '1'],
    ['forward'],
    ['take-over'],
    ['state', 'before'],
    ['state', 'now'],
    ['activate'],
    ['format'],
    ['watch'],
  ]

  it('whatever is asked for at the same time, one does not change anything while another one does', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...verbs), { minLength: 2, maxLength: 6 }), fc.boolean(), async (asked, marked) => {
        const { all, changes, machine } = slot()
        if (marked) all.set(handoverFile, '{"state":"left","since":0}')
        else all.set(claimFile, '')
        await Promise.all(
          asked.map(async (words, index) => {
            const who = `${index} ${words.join(' ')}`
            if (words[0] === 'watch') await succeed(machine(who), seeds.serena, true, newSuccession(), async () => {})
            else await slotctl(machine(who), words)
          }),
        )
        const turns = changes.filter((who, at) => who !== changes[at - 1])
        expect(turns).toEqual([...new Set(turns)])
      }),
      { numRuns: 40 },
    )
  })

  it('who waits says so, and for whom; who only looks does not wait; golden-watch goes on with the rest of its work', async () => {
    const { all, gate, machine } = slot()
    all.set('/proc/self/mountinfo', '1 1 8:16 / /srv/golden rw - ext4 /dev/sdb rw')
    gate.busy = 1
    gate.oldestMs = 60_000
    const first = machine('first')
    let waits = 0
    const ended: string[] = []
    const patient: Machine = {
      ...first,
      async pause() {
        waits += 1
        await new Promise(setImmediate)
      },
      uptime: () => (gate.busy === 0 ? 1e9 : 0),
      run: (program, args) => {
        if (program === 'systemctl' && args.includes('golden-active.target')) all.set('/proc/self/mountinfo', '')
        return first.run(program, args)
      },
    }
    const letGo = slotctl(patient, ['let-go', '600']).then((code) => ended.push(`let-go ${code}`))
    while (waits === 0) await new Promise(setImmediate)
    const second = machine('second')
    const forward = slotctl(second, ['forward']).then((code) => ended.push(`forward ${code}`))
    const looks = machine('looks')
    expect(await slotctl(looks, ['status'])).toBe(0)
    const watch = machine('watch')
    all.set(handoverFile, '{"state":"left","since":0}')
    const memory = newSuccession()
    for (let round = 0; round < 3; round++) expect(await succeed(watch, seeds.serena, false, memory, async () => {})).toBe(true)
    expect(watch.said).toEqual(['the service address waits: slotctl let-go is at work'])
    expect(ended).toEqual([])
    expect(second.complained).toEqual(['slotctl forward waits: slotctl let-go is at work'])
    gate.busy = 0
    await Promise.all([letGo, forward])
    expect(ended).toEqual(['let-go 0', 'forward 0'])
    expect(all.get(turnFile)).toBe('slotctl forward')
  })

  it('without nginx nobody has to be waited for', async () => {
    const { all, changes, machine } = slot()
    all.set('/proc/self/mountinfo', '1 1 8:16 / /srv/golden rw - ext4 /dev/sdb rw')
    const alone = machine('alone')
    const without: Machine = {
      ...alone,
      ask: async () => {
        throw Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:8099'), { code: 'ECONNREFUSED' })
      },
      run: (program, args) => {
        if (args.includes('golden-active.target')) all.set('/proc/self/mountinfo', '')
        return alone.run(program, args)
      },
    }
    expect(await slotctl(without, ['let-go', '600'])).toBe(0)
    expect(JSON.parse(alone.said[0] ?? '')).toMatchObject({ drained: true, requests: 0 })
    expect(changes.length).toBeGreaterThan(0)
  })

  it('one that does not end is named, and nothing is done', async () => {
    const { changes, machine } = slot()
    const hangs = machine('hangs')
    void inTurn(hangs, 'golden-watch', () => new Promise(() => {}))
    const second: Machine & { said: string[] } = {
      ...machine('second'),
      lock: async (path, options) => {
        options?.onWait?.()
        return hangs.lock(path)
      },
    }
    expect(await slotctl(second, ['yield'])).toBe(1)
    expect(JSON.parse(second.said[0] ?? '')).toMatchObject({ error: { code: 'busy', message: expect.stringContaining('golden-watch') } })
    expect(changes).toEqual([])
  })
})
