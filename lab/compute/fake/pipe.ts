/** A connection inside this process: two ends, what goes in at one comes out at the other. */
import { Duplex } from 'node:stream'

class End extends Duplex {
  peer: End | undefined
  #waiting: (() => void) | undefined

  override _read(): void {
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.()
  }

  // Never within the caller's turn: a protocol's answer must not arrive while its question is still being written.
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    setImmediate(() => {
      const { peer } = this
      if (!peer || peer.destroyed || peer.readableEnded) return done()
      if (peer.push(chunk)) done()
      else peer.#waiting = done
    })
  }

  override _final(done: (error?: Error | null) => void): void {
    setImmediate(() => {
      if (this.peer && !this.peer.destroyed) this.peer.push(null)
      done()
    })
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const peer = this.peer
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.()
    // As with a closed socket: the other side reads its end, and can't write any more.
    setImmediate(() => {
      if (peer && !peer.destroyed) peer.destroy()
    })
    done(error)
  }
}

export function pipe(): [Duplex, Duplex] {
  const near = new End({ allowHalfOpen: true })
  const far = new End({ allowHalfOpen: true })
  near.peer = far
  far.peer = near
  return [near, far]
}
