import type { Duplex } from 'node:stream'

/**
 * Carries everything between two connections, each direction's end by itself; when one breaks, the other is broken too.
 * Both must allow half-open connections.
 */
export function pair(a: Duplex, b: Duplex): void {
  for (const [one, other] of [
    [a, b],
    [b, a],
  ] as const) {
    one.on('error', () => other.destroy())
    one.on('close', () => {
      // After a clean end `pipe` has ended the other, which may still be busy writing.
      if (!one.readableEnded || !one.writableFinished) other.destroy()
    })
    one.pipe(other)
  }
}
