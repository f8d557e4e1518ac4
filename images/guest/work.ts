/**
 * A client's whole work with Serena, through nginx and with a user's password: a session, its tools, and a symbol that each
 * language server finds in a file written for it. It changes the project: for machines that are there to be tried.
 */
import type { SelftestCheck } from '../contract/selftest.ts'
import type { Seed } from '../contract/seed.ts'
import { nameOf } from './front.ts'
import type { Machine, Reply } from './machine.ts'

export interface Worker {
  readonly user: string
  readonly password: string
  readonly project: string
}

/** A language server that nobody has asked yet reads what it knows of its language first: minutes on a slow machine. */
const patienceMs = 300_000

/** A file for each language server of the image (images/language-servers), and what is to be found in it. */
const samples = [
  {
    server: 'Pyright',
    file: 'golden_check.py',
    text: 'class Greeter:\n    def greet(self) -> str:\n        return "golden-python"\n',
    finds: 'golden-python',
  },
  {
    server: 'typescript-language-server',
    file: 'golden_check.ts',
    text: 'export class Greeter {\n  greet(): string {\n    return "golden-typescript"\n  }\n}\n',
    finds: 'golden-typescript',
  },
] as const

/** Of all that Serena offers, what every client counts on. */
const expectedTools = ['activate_project', 'create_text_file', 'find_symbol', 'read_file']

interface Answer {
  readonly id?: number
  readonly result?: {
    readonly tools?: readonly { readonly name: string }[]
    readonly content?: readonly { readonly text?: string }[]
    readonly isError?: boolean
  }
  readonly error?: { readonly message?: string }
}

/** The answer to a request in the body of a reply, which is JSON or a stream of events with it. Pure. */
export function answerIn(body: string, id: number): Answer | undefined {
  for (const line of body.split('\n')) {
    const text = line.startsWith('data:') ? line.slice(5) : line
    if (!text.trimStart().startsWith('{')) continue
    const answer = parsed(text)
    if (answer?.id === id) return answer
  }
  return undefined
}

function parsed(text: string): Answer | undefined {
  try {
    return JSON.parse(text) as Answer
  } catch {
    return undefined
  }
}

class Session {
  readonly #machine: Machine
  readonly #host: string
  readonly #headers: Record<string, string>
  #last = 0

  constructor(machine: Machine, host: string, { user, password }: Worker) {
    this.#machine = machine
    this.#host = host
    this.#headers = {
      host,
      authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
    }
  }

  #send(method: 'POST' | 'DELETE', body?: object): Promise<Reply> {
    return this.#machine.ask({
      to: { host: '127.0.0.1', port: 443 },
      tls: nameOf(this.#host),
      method,
      path: '/mcp',
      headers: this.#headers,
      timeoutMs: patienceMs,
      ...(body === undefined ? {} : { body: JSON.stringify({ jsonrpc: '2.0', ...body }) }),
    })
  }

  async request(method: string, params: object): Promise<NonNullable<Answer['result']>> {
    const id = ++this.#last
    const reply = await this.#send('POST', { id, method, params })
    const answer = answerIn(reply.body, id)
    if (answer?.result === undefined)
      throw new Error(answer?.error?.message ?? `${method} is answered with ${reply.status} ${reply.body.slice(0, 200).trim()}`)
    const session = reply.headers['mcp-session-id']
    if (session !== undefined) this.#headers['mcp-session-id'] = String(session)
    return answer.result
  }

  async notify(method: string): Promise<void> {
    const { status } = await this.#send('POST', { method })
    if (status >= 300) throw new Error(`${method} is answered with ${status}`)
  }

  /** @returns what the tool says. @throws Error where it says that it failed */
  async call(name: string, args: object): Promise<string> {
    const { content = [], isError } = await this.request('tools/call', { name, arguments: args })
    const text = content.map((part) => part.text ?? '').join('')
    if (isError === true) throw new Error(`${name}: ${text.slice(0, 300)}`)
    return text
  }

  async end(): Promise<void> {
    const { status } = await this.#send('DELETE')
    if (status >= 300) throw new Error(`the end of the session is answered with ${status}`)
  }
}

/** Over streamable HTTP. */
export async function work(machine: Machine, seed: Seed, worker: Worker): Promise<SelftestCheck[]> {
  const checks: SelftestCheck[] = []
  const session = new Session(machine, seed.public.host, worker)
  const attempt = async (name: string, use: () => Promise<void>): Promise<boolean> => {
    const detail = await use().then(
      () => undefined,
      (error: Error) => error.message,
    )
    checks.push(detail === undefined ? { part: 'tools', name, ok: true } : { part: 'tools', name, ok: false, detail })
    return detail === undefined
  }
  const opened = await attempt(`${worker.user} opens a session`, async () => {
    await session.request('initialize', {
      protocolVersion: '2025-06-18',
      capabilities: {},
      clientInfo: { name: 'golden-check', version: '1' },
    })
    await session.notify('notifications/initialized')
  })
  if (!opened) return checks
  await attempt('Serena offers its tools', async () => {
    const names = ((await session.request('tools/list', {})).tools ?? []).map(({ name }) => name)
    const missing = expectedTools.filter((name) => !names.includes(name))
    if (missing.length > 0) throw new Error(`it offers ${names.length} tools, without ${missing.join(', ')}`)
  })
  const project = await attempt(`project ${worker.project} is activated`, async () => {
    await session.call('activate_project', { project: worker.project, session: 'golden-check' })
  })
  for (const { server, file, text, finds } of project ? samples : [])
    await attempt(`${server} finds a symbol in a file that was written`, async () => {
      await session.call('create_text_file', { relative_path: file, content: text })
      const found = await session.call('find_symbol', { name_path_pattern: 'Greeter/greet', relative_path: file, include_body: true })
      if (!found.includes(finds)) throw new Error(`find_symbol: ${found.slice(0, 300)}`)
    })
  await attempt('the session ends', () => session.end())
  return checks
}
