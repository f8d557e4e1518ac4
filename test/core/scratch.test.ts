import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { inScratch } from '../../core/scratch.ts'

let parent: string
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'golden-test-scratch-'))
  vi.stubEnv('TMPDIR', parent)
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await rm(parent, { recursive: true, force: true })
})

it('is there for its use, for its owner alone, and gone afterwards, however that ends', async () => {
  let was = ''
  const used = inScratch(async (folder) => {
    was = folder
    await writeFile(join(folder, 'file'), 'x')
    throw new Error('no')
  })
  await expect(used).rejects.toThrow('no')
  expect([was.startsWith(parent), existsSync(was)]).toEqual([true, false])
  expect(await inScratch(async () => 5)).toBe(5)
  expect(await readdir(parent)).toEqual([])
})

it('takes away what a killed process has left, and nothing of one that runs', async () => {
  const program = `import { inScratch } from ${JSON.stringify(join(import.meta.dirname, '../../core/scratch.ts'))}
await inScratch(async (folder) => { console.log(folder); await new Promise((done) => setTimeout(done, 60_000)) })`
  const start = async () => {
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
    return { child, line }
  }
  const [killed, running] = [await start(), await start()]
  killed.child.kill('SIGKILL')
  await once(killed.child, 'exit')
  await mkdir(join(parent, 'golden-scratch-00000000-1-ofanother'))
  await inScratch(async () => {})
  expect([existsSync(killed.line), existsSync(running.line)]).toEqual([false, true])
  expect(existsSync(join(parent, 'golden-scratch-00000000-1-ofanother'))).toBe(true)
  running.child.kill('SIGKILL')
  await once(running.child, 'exit')
})
