import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { writeWhole } from '../../core/write-whole.ts'
import { readConfig, replaceConfig } from '../../clients/config-file.ts'
import { writeSecret } from '../../settings/secrets/files.ts'

let folder: string
let file: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'golden-whole-'))
  file = join(folder, 'file')
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777

it('replaces what is there, and leaves nothing beside it', async () => {
  await writeFile(file, 'old')
  await writeWhole(file, 'new')
  expect(await readFile(file, 'utf8')).toBe('new')
  expect(await readdir(folder)).toEqual(['file'])
})

it('is never read in part, however many write', async () => {
  const texts = Array.from({ length: 8 }, (_, n) => String(n).repeat(200_000))
  await writeWhole(file, texts[0] ?? '')
  const writing = Promise.all(texts.map((text) => writeWhole(file, text)))
  let done = false
  writing.finally(() => {
    done = true
  })
  while (!done) expect(texts).toContain(await readFile(file, 'utf8'))
  await writing
  expect(await readdir(folder)).toEqual(['file'])
})

it('keeps the old one when the new one is refused at the last moment', async () => {
  await writeFile(file, 'old')
  const refused = new Error('no')
  await expect(writeWhole(file, 'new', { beforeReplacing: () => Promise.reject(refused) })).rejects.toBe(refused)
  expect(await readFile(file, 'utf8')).toBe('old')
  expect(await readdir(folder)).toEqual(['file'])
})

it('takes the mode that it is given, and exactly that one where the umask has no say', async () => {
  const before = process.umask(0o077)
  try {
    await writeWhole(file, '', { mode: 0o644 })
    expect(await modeOf(file)).toBe(0o600)
    await writeWhole(file, '', { mode: 0o644, exactly: true })
    expect(await modeOf(file)).toBe(0o644)
  } finally {
    process.umask(before)
  }
})

it('removes what a killed process has left of it, and nothing of one that is still writing, or of another file', async () => {
  const others = ['file.tmp', 'file2.00000000-1-00000000.00000000.tmp', 'file.00000000-1-00000000.00000000.tmp']
  for (const name of others) await writeFile(join(folder, name), '')
  const module = join(import.meta.dirname, '../../core/write-whole.ts')
  const script = `const { writeWhole } = await import(${JSON.stringify(module)})
    await writeWhole(${JSON.stringify(file)}, 'half', { beforeReplacing: () => { console.log('written'); return new Promise(() => setInterval(() => {}, 1000)) } })`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  await writeWhole(file, 'meanwhile')
  expect(await readdir(folder)).toHaveLength(others.length + 2)
  child.kill('SIGKILL')
  await once(child, 'exit')
  await writeWhole(file, 'new')
  expect((await readdir(folder)).toSorted()).toEqual(['file', ...others].toSorted())
})

it('a secret is written although a killed process of the same id has left its half', async () => {
  await writeFile(`${file}.${process.pid}.tmp`, 'half')
  await writeSecret(file, 'whole')
  expect(await readFile(file, 'utf8')).toBe('whole')
  expect(await modeOf(file)).toBe(0o600)
})

it("a client's file that the client has written meanwhile is left as it wrote it", async () => {
  await writeFile(file, 'read')
  const read = await readConfig(file)
  await writeFile(file, 'changed by the client')
  await expect(replaceConfig(read, 'ours', { secret: true, now: new Date() })).rejects.toMatchObject({ code: 'client-file-busy' })
  expect(await readFile(file, 'utf8')).toBe('changed by the client')
  expect(await readdir(folder)).toEqual(['file'])
})
