/** Brings a file onto a storage. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { isLost } from '../core/failure.ts'
import { settleTasks, type TaskReader } from './tasks.ts'
import type { Wire } from './wire.ts'

export interface UploadOptions {
  readonly node: string
  readonly storage: string
  readonly content: 'iso' | 'import'
  readonly filename: string
  /** Bytes, or the path of a file on this computer. */
  readonly data: Uint8Array | string
  readonly onProgress?: (fraction: number) => void
  readonly signal?: AbortSignal
}

/** How often a file is sent whose arrival nobody confirms. */
const uploadTries = 3

/** As `Proxmox.upload`. */
export async function upload(wire: Wire & TaskReader, options: UploadOptions): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      const upid = await send(wire, options)
      return await wire.task(upid, { stop: true, ...(options.signal ? { signal: options.signal } : {}) })
    } catch (error) {
      if (!isLost(error) || tries === uploadTries || options.signal?.aborted) throw error
      // What has arrived writes to the same file. The same once more is what it should be, whichever ends last; but not both at a time.
      await settleTasks(wire, options.node, ({ type }) => type === 'imgcopy', options.signal)
    }
  }
}

/** @returns the task that puts the file in its place */
async function send(wire: Wire, options: UploadOptions): Promise<string> {
  const { node, storage, content, filename, data } = options
  const boundary = `----golden-${createHash('sha256').update(`${filename}${Date.now()}`).digest('hex').slice(0, 32)}`
  const size = typeof data === 'string' ? (await stat(data)).size : data.byteLength
  const checksum = createHash('sha256')
  if (typeof data === 'string') await pipeline(createReadStream(data), checksum)
  else checksum.update(data)
  // PVE parses the fields in this order, the file last (PVE::APIServer::AnyEvent).
  const field = (name: string, value: string): string =>
    `--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`
  const digest = checksum.digest('hex')
  const head = Buffer.from(
    field('content', content) +
      field('checksum-algorithm', 'sha256') +
      field('checksum', digest) +
      `--${boundary}\r\nContent-Disposition: form-data; name="filename"; filename="${filename}"\r\nContent-Type: application/octet-stream\r\n\r\n`,
  )
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`)
  // Once everything is on its way only the answer tells the task that has to be ended: from then on it is waited for.
  const sending = new AbortController()
  const abort = (): void => {
    sending.abort()
  }
  if (options.signal?.aborted) abort()
  options.signal?.addEventListener('abort', abort)
  const body = (): Readable =>
    Readable.from(
      (async function* () {
        let sent = 0
        yield head
        for await (const chunk of (typeof data === 'string'
          ? createReadStream(data, { highWaterMark: 1 << 20 })
          : [data]) as AsyncIterable<Uint8Array>) {
          yield chunk
          sent += chunk.byteLength
          options.onProgress?.(size === 0 ? 1 : sent / size)
        }
        options.signal?.removeEventListener('abort', abort)
        yield tail
      })(),
    )
  try {
    return await wire.call<string>({
      method: 'POST',
      path: `/nodes/${node}/storage/${storage}/upload`,
      stream: { type: `multipart/form-data; boundary=${boundary}`, length: head.length + size + tail.length, body },
      timeoutMs: 3_600_000,
      signal: sending.signal,
    })
  } finally {
    options.signal?.removeEventListener('abort', abort)
  }
}
