/** The QEMU guest agent's protocol over the virtio-serial channel (QEMU's docs/interop/qemu-ga-ref). */
import type { Duplex } from 'node:stream'
import { AgentError, AgentUnavailable } from '../driver.ts'

const newline = 10
const delimiter = 0xff
const syncTimeoutMs = 5_000

type Reply = { readonly return: unknown } | { readonly error: { readonly class: string; readonly desc: string } }

interface Waiting {
  readonly matches: (reply: Reply) => boolean
  readonly resolve: (reply: Reply) => void
  readonly reject: (error: Error) => void
}

export class Agent {
  readonly #stream: Duplex
  #received = Buffer.alloc(0)
  #waiting: Waiting | undefined
  /** The guest has the channel open. Without it QEMU would keep what we send until some agent starts. */
  #open = false
  /** No answer to an earlier command can be under way. */
  #inStep = false
  #turn: Promise<unknown> = Promise.resolve()

  constructor(stream: Duplex) {
    this.#stream = stream
    stream.on('data', (chunk: Buffer) => this.#take(chunk))
    stream.on('error', () => this.setOpen(false))
    stream.on('close', () => this.setOpen(false))
  }

  /** To be called with each VSERPORT_CHANGE event of the channel. */
  setOpen(open: boolean): void {
    this.#open = open
    this.#inStep = false
    this.#received = Buffer.alloc(0)
    if (!open) this.#waiting?.reject(new AgentUnavailable('the guest agent is not running'))
  }

  get open(): boolean {
    return this.#open
  }

  /** One command after the other: the agent answers in order and without ids. */
  async execute(command: string, args: Readonly<Record<string, unknown>> | undefined, timeoutMs: number): Promise<unknown> {
    const mine = this.#turn.then(() => this.#execute(command, args, timeoutMs))
    this.#turn = mine.catch(() => {})
    return await mine
  }

  async #execute(command: string, args: Readonly<Record<string, unknown>> | undefined, timeoutMs: number): Promise<unknown> {
    if (!this.#inStep) await this.#sync(Math.min(timeoutMs, syncTimeoutMs))
    const reply = await this.#ask({ execute: command, ...(args ? { arguments: args } : {}) }, Buffer.alloc(0), () => true, timeoutMs)
    if ('error' in reply) throw new AgentError(reply.error.class, reply.error.desc)
    return reply.return
  }

  /** Throws away whatever is left of an earlier conversation, on both sides (guest-sync-delimited). */
  async #sync(timeoutMs: number): Promise<void> {
    const id = Math.floor(Math.random() * 0x7fffffff)
    const message = { execute: 'guest-sync-delimited', arguments: { id } }
    await this.#ask(message, Buffer.from([delimiter]), (reply) => 'return' in reply && reply.return === id, timeoutMs)
    this.#inStep = true
  }

  async #ask(message: object, prefix: Buffer, matches: Waiting['matches'], timeoutMs: number): Promise<Reply> {
    if (!this.#open) throw new AgentUnavailable('the guest agent is not running')
    let timer: NodeJS.Timeout | undefined
    try {
      return await new Promise<Reply>((resolve, reject) => {
        this.#waiting = { matches, resolve, reject }
        timer = setTimeout(() => reject(new AgentUnavailable(`the guest agent did not answer in ${timeoutMs / 1000} s`)), timeoutMs)
        this.#stream.write(Buffer.concat([prefix, Buffer.from(`${JSON.stringify(message)}\n`)]))
      })
    } catch (error) {
      this.#inStep = false
      throw error
    } finally {
      clearTimeout(timer)
      this.#waiting = undefined
    }
  }

  #take(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk])
    for (let end = this.#received.indexOf(newline); end >= 0; end = this.#received.indexOf(newline)) {
      const line = this.#received.subarray(0, end)
      this.#received = this.#received.subarray(end + 1)
      const reply = parse(line.subarray(line.lastIndexOf(delimiter) + 1))
      if (reply && this.#waiting?.matches(reply)) this.#waiting.resolve(reply)
    }
  }
}

/** Undefined for the rest of an answer whose beginning is lost. */
function parse(line: Buffer): Reply | undefined {
  try {
    return JSON.parse(line.toString('utf8')) as Reply
  } catch {
    return undefined
  }
}
