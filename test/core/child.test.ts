/** How other programs are run, and what is said when they fail. */
import { describe, expect, it } from 'vitest'
import { ChildFailure, run, runForBytes, type RunOptions } from '../../core/child.ts'

const env = { PATH: process.env.PATH }
const sh = (script: string, options: Partial<RunOptions> = {}) => run('sh', ['-c', script, 'sh', 'private-argument'], { env, ...options })
const failure = (ran: Promise<unknown>): Promise<ChildFailure> =>
  ran.then(
    () => expect.fail('it did not fail'),
    (error: unknown) => {
      expect(error).toBeInstanceOf(ChildFailure)
      return error as ChildFailure
    },
  )

it('gives what was printed, byte by byte and line by line', async () => {
  expect(await sh('echo out; echo err >&2')).toEqual({ stdout: 'out\n', stderr: 'err\n' })
  const { stdout } = await runForBytes('printf', ['\\377\\000\\n'], { env })
  expect([...stdout]).toEqual([255, 0, 10])
})

it('gives the program the environment and the input that it was handed, and nothing else', async () => {
  process.env.NOT_FOR_CHILDREN = 'x'
  const { stdout } = await sh('cat; env | grep -v "^\\(PWD\\|_\\|SHLVL\\)="', { input: 'in\n', env: { ...env, ONLY: 'this' } })
  delete process.env.NOT_FOR_CHILDREN
  expect(stdout.trim().split('\n').sort()).toEqual([`ONLY=this`, `PATH=${env.PATH}`, 'in'].sort())
  expect((await sh('cat')).stdout).toBe('')
})

it('takes it for no failure when the input is not read', async () => {
  expect((await sh('exit 0', { input: 'x'.repeat(1 << 20) })).stdout).toBe('')
})

describe('a failure', () => {
  it('has what ran, how it ended and what it said last, and neither arguments nor environment', async () => {
    const ended = await failure(sh('seq 1000 >&2; exit 3', { env: { ...env, PASSWORD: 'private-variable' }, label: 'counting' }))
    expect(ended).toMatchObject({ exitCode: 3, missing: false })
    expect(ended.message).toMatch(/^counting ended with 3:\n981\n/)
    expect(ended.message).toMatch(/\n1000$/)
    expect(JSON.stringify([ended, ended.message, ended.stack, ended.cause ?? ''])).not.toMatch(/private/)
  })

  it('has what was said on standard output where there is nothing else, unless that is a secret', async () => {
    expect((await failure(sh('echo why; exit 1'))).message).toBe('sh ended with 1:\nwhy')
    const quiet = await failure(sh('echo hunter2; exit 1', { secret: true }))
    expect(JSON.stringify([quiet, quiet.message, quiet.stack, quiet.cause ?? ''])).not.toMatch(/hunter2/)
  })

  it('names the signal, a missing program, and time that has run out', async () => {
    expect((await failure(sh('kill -9 $$'))).message).toBe('sh ended with SIGKILL')
    const missing = await failure(run('no-such-program', ['private'], { env }))
    expect(missing).toMatchObject({ missing: true, message: 'no-such-program is not on PATH' })
    const late = await failure(run('sleep', ['600'], { env, timeoutMs: 200 }))
    expect(late).toMatchObject({ timedOut: true, message: 'sleep did not end in time' })
  })

  it('comes of too much output, too', async () => {
    expect((await failure(run('yes', [], { env, maxBytes: 1000 }))).message).toMatch(/^yes ended with |^yes can't be run/)
  })
})
