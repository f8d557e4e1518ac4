/** Bodies and queries: PVE's form parser, JSON bodies, multipart uploads. */
import { open, type FileHandle } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { ApiError } from './errors.ts'
import type { RawParams } from './check.ts'

const decode = (text: string): string => {
  const bytes = Buffer.from(
    text.replaceAll('+', ' ').replace(/%([0-9a-fA-F]{2})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16))),
    'latin1',
  )
  return bytes.toString('utf8')
}

export function addParam(params: RawParams, key: string, value: string): void {
  const before = params[key]
  params[key] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value]
}

/** PVE splits at `&` and `;`; a raw `=` inside a value cuts it off; a key that comes twice becomes a list. */
export function parseForm(text: string): RawParams {
  const params: RawParams = {}
  // Bytes, not characters: escapes and raw UTF-8 may come mixed.
  for (const pair of Buffer.from(text, 'utf8').toString('latin1').split(/[&;]/)) {
    if (pair === '') continue
    const [key = '', value = ''] = pair.split('=')
    addParam(params, decode(key), decode(value))
  }
  return params
}

export function parseJson(text: string): RawParams {
  let body: unknown
  try {
    body = text.trim() === '' ? {} : JSON.parse(text)
  } catch {
    throw new ApiError(400, 'Bad Request')
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw new ApiError(400, 'Bad Request')
  const scalar = (value: unknown): string => (value === true ? '1' : value === false ? '0' : String(value))
  return Object.fromEntries(
    Object.entries(body)
      .filter(([, value]) => value !== null)
      .map(([key, value]) => [key, Array.isArray(value) ? value.map(scalar) : scalar(value)]),
  )
}

/** Reads a whole body; 8 MiB at most, far above any form. */
export async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request) {
    size += (chunk as Buffer).length
    if (size > 8 * 1024 * 1024) throw new ApiError(413, 'for too large data')
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks).toString('utf8')
}

export interface Upload {
  readonly params: RawParams
  readonly bytes: number
}

/**
 * An upload: form fields, then one part named `filename` with a file name, which is streamed to `target`.
 * PVE wants the fields before the file. When something is wrong, the rest is read all the same: a client that is
 * still sending would get no answer.
 * @throws ApiError 501
 */
export async function readMultipart(request: AsyncIterable<Buffer>, boundary: string, target: string): Promise<Upload> {
  const params: RawParams = {}
  const delimiter = Buffer.from(`\r\n--${boundary}`)
  let buffer: Buffer = Buffer.from('\r\n')
  let file: FileHandle | undefined
  let failure: ApiError | undefined
  let bytes = 0
  let state: 'preamble' | 'headers' | 'field' | 'file' | 'end' = 'preamble'
  let field = ''
  /** Nothing more is looked at after a failure. */
  const giveUp = (message: string): void => {
    failure ??= new ApiError(501, message)
    state = 'end'
  }
  const write = async (part: Buffer): Promise<void> => {
    bytes += part.length
    // The disk may be full.
    await file?.appendFile(part).catch(() => giveUp('write to temporary file failed'))
  }
  const closeFile = async (): Promise<void> => {
    await file?.close().catch(() => giveUp('write to temporary file failed'))
    file = undefined
  }
  /** Works off what the buffer holds; false when more is needed. */
  const step = async (): Promise<boolean> => {
    if (state === 'headers') {
      if (buffer.length >= 2 && buffer.subarray(0, 2).toString() === '--') {
        state = 'end'
        return false
      }
      const end = buffer.indexOf('\r\n\r\n')
      if (end < 0) return false
      const head = buffer.subarray(0, end).toString('utf8')
      buffer = buffer.subarray(end + 4)
      field = /name="([^"]*)"/.exec(head)?.[1] ?? ''
      const name = /filename="([^"]*)"/.exec(head)?.[1]
      if (name === undefined) {
        state = 'field'
        return true
      }
      if (field !== 'filename') {
        giveUp('wrong field name for file upload')
        return false
      }
      // No path of the sender's: only the last part counts.
      addParam(params, 'filename', name.split(/[/\\]/).at(-1) ?? '')
      file = await open(target, 'w', 0o600).catch(() => undefined)
      if (file === undefined) {
        giveUp('write to temporary file failed')
        return false
      }
      state = 'file'
      return true
    }
    const end = buffer.indexOf(delimiter)
    if (end < 0) {
      const safe = buffer.length - delimiter.length
      if (state === 'file' && safe > 0) {
        await write(buffer.subarray(0, safe))
        buffer = buffer.subarray(safe)
      }
      return false
    }
    const content = buffer.subarray(0, end)
    buffer = buffer.subarray(end + delimiter.length)
    if (state === 'field') addParam(params, field, content.toString('utf8'))
    if (state === 'file') {
      await write(content)
      await closeFile()
    }
    if (failure !== undefined) return false
    state = 'headers'
    return true
  }
  try {
    for await (const chunk of request) {
      if ((state as string) === 'end') continue
      buffer = Buffer.concat([buffer, chunk])
      while (await step());
    }
  } finally {
    await closeFile()
  }
  if (failure !== undefined) throw failure
  if ((state as string) !== 'end') throw new ApiError(501, 'upload failed')
  return { params, bytes }
}
