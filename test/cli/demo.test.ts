/** A demo that was kept running: told from a dead one, not swept away, ended on request. The demo itself runs in CI beside these tests. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startLab, type Lab } from '../../lab/index.ts'

const project = resolve(import.meta.dirname, '../..')
let work: string
let folder: string
let lab: Lab | undefined
beforeEach(async () => {
  work = await mkdtemp(join(tmpdir(), 'gd-'))
  folder = join(work, 'serena-golden', 'demo')
  await mkdir(folder, { recursive: true })
})
afterEach(async () => {
  await lab?.close()
  lab = undefined
  await rm(work, { recursive: true, force: true })
})

function demo(...flags: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const { promise, resolve: done } = Promise.withResolvers<{ code: number; stdout: string; stderr: string }>()
  execFile(process.execPath, [join(project, 'scripts/golden.ts'), 'demo', ...flags], { env: { ...process.env, XDG_STATE_HOME: work, CI: 'true' } }, (error, stdout, stderr) => {
    done({ code: error === null ? 0 : Number(error.code), stdout, stderr })
  })
  return promise
}

test('a running demo is not swept away by another one, and --stop ends it and removes all of it', async () => {
  const started = await startLab({ stateDir: join(folder, 'lab'), driver: 'fake' })
  lab = started
  void started.stopRequested.then(() => started.close())
  const second = await demo()
  expect(second).toMatchObject({ code: 1 })
  expect(second.stderr).toContain('error demo-running')
  expect(existsSync(join(folder, 'lab', 'connection.json'))).toBe(true)
  expect(await demo('--stop')).toMatchObject({ code: 0, stdout: expect.stringContaining('ended') })
  expect(existsSync(folder)).toBe(false)
})

test('--stop clears away what a killed demo left, and says so when there is none', async () => {
  await mkdir(join(folder, 'lab'))
  await writeFile(join(folder, 'lab', 'control.sock'), '')
  expect((await demo('--stop')).stdout).toContain('ended')
  expect(existsSync(folder)).toBe(false)
  expect((await demo('--stop')).stdout).toContain('No demo is running')
})
