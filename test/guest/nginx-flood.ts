/**
 * Somebody sends wrong passwords at a rate, from one address; somebody else works on. Run as a program this is the first
 * of the two: what it takes to send must not slow the other one down. Arguments: seconds, requests a second.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { request } from 'node:https'
import { setTimeout as pause } from 'node:timers/promises'

export interface FloodOutcome {
  /** Milliseconds of each request of the one with the right password, before and during. */
  readonly quiet: number[]
  readonly flooded: number[]
  readonly good: (number | string)[]
  /** What the other one got, by status. */
  readonly bad: Record<string, number>
}

function call(from: string, credentials: string): Promise<number | string> {
  return new Promise((resolve) => {
    const sent = request({
      host: '127.0.0.1',
      port: 443,
      localAddress: from,
      servername: 'serena.example.org',
      path: '/mcp',
      method: 'POST',
      auth: credentials,
      headers: { host: 'serena.example.org' },
      rejectUnauthorized: false,
      agent: false,
    })
    sent.on('response', (answer) => answer.resume().on('end', () => resolve(answer.statusCode ?? 0)))
    sent.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    sent.end('{}')
  })
}

export async function flood({ seconds, rate }: { seconds: number; rate: number }): Promise<FloodOutcome> {
  const good: (number | string)[] = []
  const timed = async (): Promise<number> => {
    const began = performance.now()
    good.push(await call('127.0.0.2', 'me:right'))
    return performance.now() - began
  }
  await timed() // the password is worked out
  const quiet: number[] = []
  const quietUntil = performance.now() + seconds * 1000
  while (quiet.length < 10 || performance.now() < quietUntil) {
    quiet.push(await timed())
    await pause(50) // below what nginx lets one address ask
  }
  const attacker = spawn(process.execPath, [import.meta.filename, String(seconds), String(rate)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(attacker, 'exit')
  let bad = ''
  attacker.stdout.setEncoding('utf8').on('data', (part: string) => (bad += part))
  await once(attacker.stdout, 'data')
  const flooded: number[] = []
  while (attacker.exitCode === null) {
    flooded.push(await timed())
    await pause(50) // below what nginx lets one address ask
  }
  await ended
  return { quiet, flooded, good, bad: JSON.parse(bad) as Record<string, number> }
}

if (import.meta.main) {
  const [seconds = 1, rate = 1] = process.argv.slice(2).map(Number)
  const bad: Record<string, number> = {}
  const sent: Promise<void>[] = []
  process.stdout.write(' ') // it begins
  // By number: a busy machine sends less in a time than what makes the difference.
  for (let at = 0; at < seconds * rate; at++) {
    sent.push(
      call('127.0.1.1', `me:wrong${at}`).then((status) => {
        bad[status] = (bad[status] ?? 0) + 1
      }),
    )
    await pause(1000 / rate) // the rate is what is tested
  }
  await Promise.all(sent)
  process.stdout.write(JSON.stringify(bad))
}
