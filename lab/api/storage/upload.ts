/** Files that come in: uploads, and downloads from a URL. */
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream, existsSync, mkdirSync } from 'node:fs'
import { readdir, rename, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { Readable } from 'node:stream'
import { Agent, fetch } from 'undici'
import { task, type Call, type Context, type Handlers } from '../context.ts'
import { fail, parameterError } from '../errors.ts'
import { fileKinds, kindFolder, usableStorage, type FileKind } from './volumes.ts'

const rules: Readonly<Record<string, { readonly extension: RegExp; readonly complaint: string }>> = {
  iso: { extension: /\.(iso|img)$/i, complaint: 'wrong file extension' },
  import: { extension: /\.(qcow2|raw|vmdk|ova)$/i, complaint: 'invalid filename or wrong extension' },
  vztmpl: { extension: /\.tar\.(gz|xz|zst)$/i, complaint: 'wrong file extension' },
}

/** The name under which the file is kept: no folder, no white space. @throws 400 for a wrong extension */
function fileName(content: string, given: string): string {
  const name = basename(given.replaceAll('\\', '/')).replace(/[^\w.-]/g, '_')
  const rule = rules[content]
  if (rule === undefined) throw parameterError({ content: `upload content type '${content}' not allowed` })
  if (!rule.extension.test(name)) throw parameterError({ filename: rule.complaint })
  return name
}

function targetOf(call: Call): { path: string; name: string; storage: string } {
  const { storage = '', content = '', filename = '' } = call.params
  const config = usableStorage(call.context, storage)
  const name = fileName(content, filename)
  if (!config.content.includes(content)) fail(`storage '${storage}' does not support '${content}' content`)
  const folder = kindFolder(call.context, storage, content as FileKind)
  mkdirSync(folder, { recursive: true })
  return { path: join(folder, name), name, storage }
}

async function verify(path: string, params: Readonly<Record<string, string>>, log: (line: string) => void): Promise<void> {
  const { checksum, 'checksum-algorithm': algorithm } = params
  if (checksum === undefined || algorithm === undefined) return
  const hash = createHash(algorithm)
  await pipeline(createReadStream(path), hash)
  const actual = hash.digest('hex')
  if (actual !== checksum.toLowerCase()) fail(`checksum mismatch: got '${actual}' != expect '${checksum}'`)
  log('calculating checksum... OK, checksum verified')
}

async function upload(call: Call): Promise<unknown> {
  const { upload: file } = call
  if (file === undefined) return fail('missing temporary file name')
  const target = targetOf(call)
  // Taken out of the way at once: the server removes what is left when the request ends.
  const waiting = `${target.path}.${basename(file.path)}`
  await rename(file.path, waiting)
  return task(
    call,
    'imgcopy',
    '',
    async ({ log }) => {
      try {
        log(`starting file import from: ${file.path}`)
        await verify(waiting, call.params, log)
        await rename(waiting, target.path)
        log('finished file import successfully')
      } finally {
        await rm(waiting, { force: true })
      }
    },
    () => rm(waiting, { force: true }),
  )
}

const strict = new Agent()
const lax = new Agent({ connect: { rejectUnauthorized: false } })
const request = (params: Readonly<Record<string, string>>, options: { method: string; signal?: AbortSignal }) =>
  fetch(params.url as string, { dispatcher: params['verify-certificates'] === '0' ? lax : strict, ...options })

function download(call: Call): unknown {
  const target = targetOf(call)
  if (existsSync(target.path)) fail(`refusing to override existing file '${target.path}'`)
  return task(call, 'download', target.name, async ({ log, signal }) => {
    const temporary = `${target.path}.tmp.${process.pid}`
    try {
      log(`downloading ${call.params.url} to ${target.path}`)
      const response = await request(call.params, { method: 'GET', signal })
      if (!response.ok || response.body === null) fail(`download failed: ${response.status} ${response.statusText}`)
      await pipeline(
        Readable.fromWeb(response.body as Parameters<typeof Readable.fromWeb>[0]),
        createWriteStream(temporary, { mode: 0o600 }),
      )
      await verify(temporary, call.params, log)
      await rename(temporary, target.path)
      log(`download of '${call.params.url}' to '${target.path}' finished`)
    } finally {
      await rm(temporary, { force: true })
    }
  })
}

async function queryUrl(call: Call): Promise<unknown> {
  const response = await request(call.params, { method: 'HEAD' }).catch((error: unknown) => fail(`500 ${causeOf(error)}`))
  if (!response.ok) fail(`${response.status} ${response.statusText}`)
  const disposition = /filename="?([^";]+)"?/.exec(response.headers.get('content-disposition') ?? '')?.[1]
  const name = disposition ?? basename(new URL(response.url).pathname)
  const size = response.headers.get('content-length')
  const type = response.headers.get('content-type')?.split(';')[0]
  return {
    ...(name === '' ? {} : { filename: name }),
    ...(size === null ? {} : { size: Number(size) }),
    ...(type === undefined ? {} : { mimetype: type }),
  }
}

const causeOf = (error: unknown): string =>
  error instanceof Error ? (error.cause instanceof Error ? error.cause.message : error.message) : String(error)

export const uploadHandlers: Handlers = {
  'POST /nodes/{node}/storage/{storage}/upload': upload,
  'POST /nodes/{node}/storage/{storage}/download-url': download,
  'GET /nodes/{node}/query-url-metadata': queryUrl,
}

/** Names of uploads that wait for their task, and of downloads that are not complete. */
const unfinished = /\.(pveupload-[0-9a-f]{32}|tmp\.\d+)$/

/** Forgets half-finished files of a lab that was killed. */
export async function dropUnfinishedUploads(context: Context): Promise<void> {
  await rm(context.uploadFolder, { recursive: true, force: true })
  mkdirSync(context.uploadFolder, { recursive: true, mode: 0o700 })
  for (const storage of Object.keys(context.state.storages.value)) {
    for (const kind of fileKinds) {
      const folder = kindFolder(context, storage, kind)
      for (const name of await readdir(folder)) if (unfinished.test(name)) await rm(join(folder, name), { force: true })
    }
  }
}
