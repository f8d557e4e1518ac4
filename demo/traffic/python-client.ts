/** The official Python SDK, in a process of its own (python-client.py): each call is a line to it, each answer one back. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { lastLinesOf } from '../../core/child.ts'
import { childEnvironment } from '../../core/environment.ts'
import { expectAnswer, requestTimeoutMs, withoutPauseMs, type OpenClient, type TrafficClient, type TrafficTarget } from './client.ts'

export interface PythonTarget extends TrafficTarget {
  /** Python of an environment that has `mcp`. */
  readonly python: string
  /** The same as `caPem`: Python reads it from a file. */
  readonly caFile: string
}

const goodbyeMs = 30_000

interface Answer {
  readonly text?: string
  readonly error?: string
  readonly session?: string | null
}

export function pythonClient(target: PythonTarget, name: string): TrafficClient {
  return { name, pauseMs: withoutPauseMs, open: () => start(target) }
}

async function start({ python, url, user, password, caFile, call }: PythonTarget): Promise<OpenClient> {
  const child = spawn(python, [join(import.meta.dirname, 'python-client.py')], {
    env: childEnvironment(process.env),
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    said = (said + part).slice(-10_000)
  })
  // Whoever writes to it learns that it has gone from the answer that does not come.
  child.stdin.on('error', () => {})
  const ended = once(child, 'close')
  ended.catch(() => {})
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  let session: string | undefined
  let isBusy = false
  const hear = async (): Promise<string> => {
    isBusy = true
    const { value, done } = await lines.next()
    isBusy = false
    if (done === true) {
      await ended
      throw new Error(`the Python client ended:\n${lastLinesOf(said)}`)
    }
    const answer = JSON.parse(value) as Answer
    session = answer.session ?? session
    if (answer.text === undefined) throw new Error(answer.error ?? 'the Python client says nothing')
    return answer.text
  }
  const send = (line: object): void => {
    child.stdin.write(`${JSON.stringify(line)}\n`)
  }
  const close = async (): Promise<void> => {
    child.stdin.end()
    if (isBusy) child.kill()
    // It says goodbye to its session, and nobody may be there to hear it.
    const timer = setTimeout(() => child.kill('SIGKILL'), goodbyeMs)
    await ended
    clearTimeout(timer)
  }
  send({ url, user, password, caFile, timeout: requestTimeoutMs / 1000 })
  try {
    await hear()
  } catch (error) {
    await close()
    throw error
  }
  return {
    session: () => session,
    async call() {
      send({ tool: call.tool, arguments: call.arguments })
      expectAnswer(call, await hear())
    },
    close,
  }
}
