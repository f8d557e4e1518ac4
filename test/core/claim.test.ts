import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { claimFile } from '../../core/claim.ts'

let folder: string
let file: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'golden-claim-'))
  file = join(folder, 'state', 'claim.json')
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const busy = { code: 'bake-in-progress', message: 'somebody is at it' } as const
const claim = (note: unknown = 'mine', seen: (left: unknown) => void = () => {}) =>
  claimFile(file, {
    busy,
    note: (left) => {
      seen(left)
      return note
    },
  })

/** A process that claims the file and is killed. */
const killed = (note: string): void => {
  const program = `
    import { claimFile } from ${JSON.stringify(join(import.meta.dirname, '../../core/claim.ts'))}
    await claimFile(${JSON.stringify(file)}, { busy: ${JSON.stringify(busy)}, note: () => ${JSON.stringify(note)} })
    process.kill(process.pid, 'SIGKILL')`
  expect(() => execFileSync(process.execPath, ['--input-type=module-typescript', '-e', program], { stdio: 'ignore' })).toThrow()
  expect(existsSync(file)).toBe(true)
}

/** How many of several that want it at the same moment get it. */
const winners = async (count: number): Promise<number> => {
  const outcomes = await Promise.allSettled(Array.from({ length: count }, () => claim()))
  for (const one of outcomes)
    if (one.status === 'rejected') expect(one.reason).toMatchObject({ ...busy, message: `somebody is at it (process ${process.pid})` })
  return outcomes.filter((one) => one.status === 'fulfilled').length
}

it('of several at the same moment one gets it, and the next one after it has ended', async () => {
  expect(await winners(8)).toBe(1)
  await rm(file)
  const { release } = await claim()
  expect(await winners(2)).toBe(0)
  await release()
  expect(await winners(1)).toBe(1)
  expect(await readdir(join(folder, 'state'))).toEqual(['claim.json'])
})

it('what a killed process held is taken over once, with its note', async () => {
  killed('theirs')
  expect(await winners(8)).toBe(1)
  await rm(file)
  killed('theirs')
  const left: unknown[] = []
  await claim('mine', (note) => left.push(note))
  expect(left).toEqual(['theirs'])
  expect(await readdir(join(folder, 'state'))).toEqual(['claim.json'])
})

it("a PID that is another process's by now holds nothing", async () => {
  await claim()
  const content = JSON.parse(await readFile(file, 'utf8'))
  content.holder.started = 'another boot 1'
  await writeFile(file, JSON.stringify(content))
  expect(await winners(1)).toBe(1)
})

it('a process on another computer is not presumed dead', async () => {
  await claim()
  const content = JSON.parse(await readFile(file, 'utf8'))
  content.holder.host = 'elsewhere'
  await writeFile(file, JSON.stringify(content))
  await expect(claim()).rejects.toMatchObject({
    code: busy.code,
    message: expect.stringContaining('on elsewhere'),
    hint: expect.stringContaining(file),
  })
})

it('a file that was cut short holds nothing', async () => {
  await (await claim()).release(true)
  await writeFile(file, '{"holder":{"id":')
  expect(await winners(1)).toBe(1)
})

it('a note can be left behind on purpose', async () => {
  const first = await claim('one')
  await first.note('two')
  await first.release(true)
  const left: unknown[] = []
  await (await claim('three', (note) => left.push(note))).release()
  expect(left).toEqual(['two'])
  expect(existsSync(file)).toBe(false)
})

it('who waits gets it after the other one', async () => {
  const order: string[] = []
  const first = await claim()
  const second = claimFile(file, { busy, note: () => 'second', wait: new AbortController().signal }).then((got) => {
    order.push('second')
    return got
  })
  order.push('first ends')
  await first.release()
  await (await second).release()
  expect(order).toEqual(['first ends', 'second'])
  const third = await claim()
  await expect(claimFile(file, { busy, note: () => '', wait: AbortSignal.timeout(50) })).rejects.toMatchObject({ code: busy.code })
  await third.release()
})
