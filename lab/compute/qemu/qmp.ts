/** The QEMU Machine Protocol: one JSON object a line, commands answered in order, events in between (QEMU's docs/interop/qmp-spec). */
import { EventEmitter } from 'node:events'
import type { Duplex } from 'node:stream'

export interface QmpEvent {
  readonly event: string
  readonly data: Readonly<Record<string, unknown>>
}

interface Pending {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

/** QEMU refused a command. */
export class QmpError extends Error {}

export class Qmp {
  readonly #stream: Duplex
  readonly #pending = new Map<number, Pending>()
  readonly #events = new EventEmitter()
  readonly #greeting: Promise<void>
  #count = 0
  #closed: Error | undefined

  /** Takes over the stream at once: events are not lost, but for those before `ready`. */
  constructor(stream: Duplex) {
    this.#stream = stream
    this.#events.setMaxListeners(0)
    let greet = () => {}
    let fail = (_: Error) => {}
    this.#greeting = new Promise((resolve, reject) => {
      greet = resolve
      fail = reject
    })
    this.#greeting.catch(() => {})
    const close = () => {
      if (this.#closed) return
      this.#closed = new Error('the machine is not running')
      fail(this.#closed)
      for (const { reject } of this.#pending.values()) reject(this.#closed)
      this.#pending.clear()
      this.#events.emit('closed')
    }
    let text = ''
    stream.setEncoding('utf8')
    stream.on('data', (chunk: string) => {
      text += chunk
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        const line = text.slice(0, end)
        text = text.slice(end + 1)
        if (line.trim() !== '') this.#take(JSON.parse(line) as Record<string, unknown>, greet)
      }
    })
    stream.on('close', close)
    stream.on('end', close)
    stream.on('error', close)
  }

  #take(message: Record<string, unknown>, greet: () => void): void {
    if ('QMP' in message) return greet()
    if (typeof message.event === 'string') {
      this.#events.emit('event', {
        event: message.event,
        data: (message.data as Record<string, unknown> | undefined) ?? {},
      } satisfies QmpEvent)
      return
    }
    const pending = this.#pending.get(message.id as number)
    this.#pending.delete(message.id as number)
    if ('error' in message) pending?.reject(new QmpError((message.error as { desc: string }).desc))
    else pending?.resolve(message.return)
  }

  /** Waits for QEMU's greeting and ends the negotiation. */
  async ready(): Promise<void> {
    await this.#greeting
    await this.execute('qmp_capabilities')
  }

  /** The `return` value of a command. Rejects with QmpError, or when the machine has ended. */
  async execute(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown> {
    if (this.#closed) throw this.#closed
    const id = ++this.#count
    return await new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject })
      this.#stream.write(`${JSON.stringify({ execute: command, ...(args ? { arguments: args } : {}), id })}\n`)
    })
  }

  /** Calls `listener` for every event until the function that is returned is called. */
  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#events.on('event', listener)
    return () => void this.#events.off('event', listener)
  }

  /** The first event that `matches`. Rejects after `timeoutMs`, or when the machine has ended. Ask before you do what causes it. */
  async waitFor(matches: (event: QmpEvent) => boolean, timeoutMs: number, what: string): Promise<QmpEvent> {
    return await new Promise((resolve, reject) => {
      const finish = (settle: () => void) => {
        clearTimeout(timer)
        off()
        this.#events.off('closed', onClosed)
        settle()
      }
      const onClosed = () => finish(() => reject(new Error('the machine is not running')))
      const timer = setTimeout(() => finish(() => reject(new Error(`${what}: no answer in ${timeoutMs / 1000} s`))), timeoutMs)
      const off = this.onEvent((event) => {
        if (matches(event)) finish(() => resolve(event))
      })
      this.#events.on('closed', onClosed)
    })
  }
}
