import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { silent } from '../../core/progress.ts'
import { claimHeld, claimSite, claimSiteForHook, type ClaimSiteOptions } from '../../rollout/claim.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'golden-claim-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const never = new AbortController().signal
const options = (signal = never, longestMs = 0): ClaimSiteOptions => ({ folder, progress: silent, signal, longestMs })

/** A run that goes on until it is told to end. */
function running(what: string): { begun: Promise<void>; end(): Promise<void> } {
  const begun = Promise.withResolvers<void>()
  const end = Promise.withResolvers<void>()
  const all = claimSite(options(), what, () => {
    begun.resolve()
    return end.promise
  })
  return {
    begun: begun.promise,
    end: () => {
      end.resolve()
      return all
    },
  }
}

it('while one run is at it, another is refused at once and says why; afterwards it goes on, also when the first one failed', async () => {
  const first = running('deploy')
  await first.begun
  await expect(claimSite(options(), 'destroy', async () => {})).rejects.toMatchObject({
    code: 'deploy-in-progress',
    message: expect.stringMatching(/"golden destroy" has to wait.*process \d+/),
  })
  await first.end()
  await expect(claimSite(options(), 'destroy', () => Promise.reject(new Error('broken')))).rejects.toThrow('broken')
  expect(await claimSite(options(), 'deploy', async () => 'done')).toBe('done')
  expect(await readdir(join(folder, 'state'))).toEqual([])
})

it('a hook goes on within the run that started it, and after another one', async () => {
  const first = running('deploy')
  await first.begun
  expect(await claimSiteForHook(options(), claimHeld, async () => 'within')).toBe('within')
  let ended = false
  const later = claimSiteForHook(options(), {}, async () => ended)
  ended = true
  await first.end()
  expect(await later).toBe(true)
})

it('a hook that waits can be stopped', async () => {
  const first = running('deploy')
  await first.begun
  const stop = new AbortController()
  const later = claimSiteForHook(options(stop.signal), {}, async () => 'never')
  stop.abort()
  await expect(later).rejects.toThrow()
  await first.end()
})

it('after a run was killed, the next one waits for the engines that it left at work', async () => {
  const engine = spawn('sleep', ['600'])
  const ended = spawn('true')
  await once(ended, 'close')
  try {
    const program = `
      import { claimSite } from ${JSON.stringify(join(import.meta.dirname, '../../rollout/claim.ts'))}
      await claimSite({ folder: ${JSON.stringify(folder)} }, 'deploy', async (claim) => {
        await Promise.all([claim.engineBegins(${engine.pid}), claim.engineBegins(${ended.pid}), claim.engineBegins(process.pid)])
        await claim.engineEnded(process.pid)
        process.kill(process.pid, 'SIGKILL')
      })`
    expect(() => execFileSync(process.execPath, ['--input-type=module-typescript', '-e', program], { stdio: 'ignore' })).toThrow()
    for (let times = 0; times < 2; times++) {
      await expect(claimSite(options(), 'deploy', async () => {})).rejects.toMatchObject({
        code: 'deploy-in-progress',
        message: expect.stringContaining(`process ${engine.pid}`),
      })
    }
    const said: string[] = []
    const progress = { ...silent, step: <T>(title: string, work: (note: () => void) => Promise<T>) => (said.push(title), work(() => {})) }
    const later = claimSite({ ...options(never, 60_000), progress }, 'deploy', async () => 'done')
    await expect.poll(() => said, { timeout: 60_000 }).toEqual([expect.stringContaining(`process ${engine.pid}`)])
    engine.kill('SIGKILL')
    expect(await later).toBe('done')
  } finally {
    engine.kill('SIGKILL')
  }
})
