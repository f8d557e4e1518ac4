/** Clients that call without pause until they are told to stop. */
import { setTimeout as delay } from 'node:timers/promises'
import { CallRecord } from './call.ts'
import type { OpenClient, TrafficClient } from './client.ts'

export interface Traffic {
  readonly record: CallRecord
  /**
   * Resolves when each client has made a call, from its begin to its end, good or bad, since this was asked: only then
   * it is known that none still waits. Resolves as well when all has stopped.
   */
  round(): Promise<void>
  /** From now on nobody calls sooner after an answer than so many milliseconds; 0: as each client does by itself. */
  breathe(ms: number): void
  /** Lets what is being called end, and closes all. May be called twice. */
  stop(): Promise<void>
}

/** Whoever could not connect tries again, like a person would. */
const afterFailureMs = 1000

/** @param signal stops it at once: calls in progress are given up, and nobody asks how they went */
export function startTraffic(clients: readonly TrafficClient[], signal: AbortSignal): Traffic {
  const record = new CallRecord()
  const stopping = new AbortController()
  const stop = AbortSignal.any([signal, stopping.signal])
  let breath = 0
  const all = Promise.all(clients.map((client) => loop(client, record, stop, signal, () => breath)))
  return {
    record,
    async round() {
      const asked = Date.now()
      const missing = new Set(clients.map(({ name }) => name))
      const { promise, resolve } = Promise.withResolvers<void>()
      record.onEnd(({ client, began }) => {
        if (began >= asked) missing.delete(client)
        if (missing.size === 0) resolve()
      })
      await Promise.race([promise, all])
    },
    breathe(ms) {
      breath = ms
    },
    async stop() {
      stopping.abort()
      await all
    },
  }
}

async function loop(
  client: TrafficClient,
  record: CallRecord,
  stop: AbortSignal,
  giveUp: AbortSignal,
  breath: () => number,
): Promise<void> {
  let open: OpenClient | undefined
  const session = (): string | undefined => open?.session()
  const rest = (ms: number): Promise<void> => delay(ms, undefined, { signal: stop }).catch(() => {})
  const once = async (): Promise<void> => {
    // Connecting is part of a call for whoever waits for it.
    open ??= await client.open()
    await open.call()
  }
  const close = async (): Promise<void> => {
    await open?.close().catch(() => {})
    open = undefined
  }
  giveUp.addEventListener('abort', () => void open?.close().catch(() => {}), { once: true })
  while (!stop.aborted) {
    if (await record.measure(client.name, session, once)) {
      await rest(Math.max(client.pauseMs, breath()))
      continue
    }
    // What a client holds after a failure is of no use to a person either.
    await close()
    await rest(afterFailureMs)
  }
  await close()
}
