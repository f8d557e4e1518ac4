/** Two byte streams, each one's data to the other. */
import type { Duplex } from 'node:stream'

export interface Closable {
  close(): Promise<void>
}

/** An end on one side ends the other side's writing only; an error or a close ends both. */
export function join(a: Duplex, b: Duplex): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.pipe(to)
    from.on('error', () => to.destroy())
    from.on('close', () => {
      // A half-closed stream has ended before it closes; whatever else closes early takes the other along.
      if (!from.readableEnded || !from.writableFinished) to.destroy()
    })
  }
}
