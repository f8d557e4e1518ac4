/** Asks a container over HTTP whether it works. */
import type { Machine, Question, Reply } from './machine.ts'

/** A request to what the URL names. */
function to(url: string): Pick<Question, 'to' | 'path'> {
  const { hostname, port, pathname, search } = new URL(url)
  return { to: { host: hostname, port: Number(port || 80) }, path: pathname + search }
}

/** True when `url` (behind `socket`, where there is one) answers with a status below 500 within `timeoutMs`. */
export async function answers(machine: Machine, url: string, timeoutMs = 5000, socket?: string): Promise<boolean> {
  const at = to(url)
  const question = { ...at, ...(socket === undefined ? {} : { to: { socket } }), timeoutMs, until: '' }
  return machine.ask(question).then(
    ({ status }) => status < 500,
    () => false,
  )
}

/** An answer that is none of what was asked for. */
export class BadStatus extends Error {
  readonly status: number
  constructor({ status, body }: Reply) {
    super(`status ${status}: ${body.trim()}`)
    this.status = status
  }
}

/** Posts JSON; an error says what came instead of a status below 300. */
export async function post(machine: Machine, url: string, body: string, timeoutMs = 10_000): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const reply = await machine.ask({ ...to(url), method: 'POST', headers, body, timeoutMs })
  if (reply.status >= 300) throw new BadStatus(reply)
}

/** The body of an answer with status 200, or an error that says what came instead. */
export async function fetchText(machine: Machine, url: string, timeoutMs = 30_000): Promise<string> {
  const reply = await machine.ask({ ...to(url), timeoutMs })
  if (reply.status !== 200) throw new BadStatus(reply)
  return reply.body
}
