/** The HTTPS side of the API: PVE's wire format around the handlers. */
import { createServer, type Server } from 'node:https'
import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { authenticate } from './authenticate.ts'
import { createCaller, type Caller } from './caller.ts'
import { checkParams, type RawParams } from './check.ts'
import type { Call, Context } from './context.ts'
import { ApiError, taskErrorText } from './errors.ts'
import type { Fault, FaultOrder } from './faults.ts'
import { parseForm, parseJson, readBody, readMultipart } from './form.ts'
import { checkPermission } from './permission-check.ts'
import { PlainText } from './plain-text.ts'
import { findRoute } from './routes.ts'

export interface ServerOptions {
  readonly key: string
  readonly cert: string
  readonly port: number
  /** PVE lets a failed authentication wait 3 s. */
  readonly authDelayMs: number
}

export interface ApiServer {
  readonly port: number
  /** For connections from now on. */
  present(certificate: { readonly key: string; readonly cert: string }): void
  close(): Promise<void>
}

interface Answer {
  readonly status: number
  readonly reason: string
  readonly body: string | undefined
  readonly contentType?: string
}

const verbs = new Set(['GET', 'POST', 'PUT', 'DELETE'])
const openPaths = new Set(['GET /access/domains', 'GET /access/ticket', 'POST /access/ticket'])

export async function startApiServer(context: Context, options: ServerOptions): Promise<ApiServer> {
  const sockets = new Set<Duplex>()
  let port = options.port
  let back: NodeJS.Timeout | undefined
  const hangUp = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  const leave = (ms: number): void => {
    server.close()
    hangUp()
    clearTimeout(back)
    back = setTimeout(() => server.listen(port, '127.0.0.1'), ms)
  }
  const server: Server = createServer(
    { key: options.key, cert: options.cert, minVersion: 'TLSv1.2', keepAliveTimeout: 5000 },
    (request, response) => {
      void serve(context, options, leave, request, response).catch((error: unknown) => {
        context.log(`api: ${request.method ?? ''} ${request.url ?? ''}: ${String(error)}`)
        response.destroy()
      })
    },
  )
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
  port = (server.address() as AddressInfo).port
  return {
    port,
    present: ({ key, cert }) => server.setSecureContext({ key, cert }),
    close: async () => {
      clearTimeout(back)
      // Also when it does not listen at the moment.
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      hangUp()
      await closed
    },
  }
}

async function serve(
  context: Context,
  options: ServerOptions,
  leave: (ms: number) => void,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const verb = request.method ?? 'GET'
  const [rawPath = '', ...query] = (request.url ?? '/').split('?')
  const found = /^\/api2\/(json|extjs)(\/.*)?$/.exec(rawPath)
  const extjs = found?.[1] === 'extjs'
  const path = decodePath(found?.[2] ?? '/')
  const fault = found === null ? undefined : context.faults.forRequest(verb, path)
  let answer: Answer
  try {
    if (fault !== undefined && (await beforeFault(fault, leave, request))) return
    if (found === null) throw new ApiError(404, `no such file '${rawPath}'`)
    const { data, attributes } = await handle(context, verb, path, query.join('?'), request)
    answer =
      data instanceof PlainText
        ? { status: 200, reason: 'OK', body: data.text, contentType: 'text/plain' }
        : { status: 200, reason: 'OK', body: JSON.stringify({ data: data ?? null, ...attributes, ...(extjs ? { success: 1 } : {}) }) }
  } catch (error) {
    const failure = error instanceof ApiError ? error : new ApiError(500, error instanceof Error ? error.message : taskErrorText(error))
    if (failure.status === 401) await sleep(options.authDelayMs)
    answer = failed(failure, extjs)
  }
  if (fault?.drop === 'after') return drop(fault, leave, request)
  if (fault?.drop === 'idle') response.on('finish', () => drop(fault, leave, request))
  send(response, answer, verb)
}

function drop({ awayMs }: FaultOrder, leave: (ms: number) => void, { socket }: IncomingMessage): void {
  socket.destroy()
  if (awayMs !== undefined) leave(awayMs)
}

/** True when the connection has been dropped. @throws the ordered error */
async function beforeFault(fault: Fault, leave: (ms: number) => void, request: IncomingMessage): Promise<boolean> {
  await fault.wait()
  if (fault.drop === 'before') {
    drop(fault, leave, request)
    return true
  }
  if (fault.status !== undefined) {
    request.resume()
    throw new ApiError(fault.status, fault.reason ?? 'ordered fault')
  }
  return false
}

function decodePath(path: string): string {
  try {
    return path.split('/').map(decodeURIComponent).join('/')
  } catch {
    return path
  }
}

async function handle(
  context: Context,
  verb: string,
  path: string,
  query: string,
  request: IncomingMessage,
): Promise<{ data: unknown; attributes: Record<string, unknown> }> {
  if (!verbs.has(verb)) throw new ApiError(501, `method '${verb}' not available`)
  const clean = path.replace(/\/+$/, '') || '/'
  const caller = identify(context, verb, clean, request)
  const { raw, upload } = await readParams(context, verb, clean, query, request)
  try {
    const route = findRoute(verb, clean)
    if (route === undefined) throw new ApiError(501, `Method '${verb} ${clean}' not implemented`)
    const given: RawParams = { ...raw, ...route.pathParams }
    checkPermission(context.state, route.method.check, caller, given)
    if (route.pathParams.node !== undefined && route.pathParams.node !== context.node && route.pathParams.node !== 'localhost') {
      throw new ApiError(
        500,
        `hostname lookup '${route.pathParams.node}' failed - failed to get address info for: ${route.pathParams.node}: Name or service not known`,
      )
    }
    const { values, lists } = checkParams(route.method.params, given)
    const attributes: Record<string, unknown> = {}
    const call: Call = { context, caller, params: values, lists, attributes, ...(upload === undefined ? {} : { upload }) }
    return { data: await route.handler(call), attributes }
  } finally {
    // A handler that wants the file has moved it away.
    if (upload !== undefined) await rm(upload.path, { force: true })
  }
}

function identify(context: Context, verb: string, path: string, request: IncomingMessage): Caller {
  if (openPaths.has(`${verb} ${path}`)) return createCaller(context.state, 'nobody')
  return authenticate(
    context.state,
    {
      authorization: request.headers.authorization,
      cookie: request.headers.cookie,
      csrf: request.headers.csrfpreventiontoken as string | undefined,
    },
    verb,
  )
}

async function readParams(
  context: Context,
  verb: string,
  path: string,
  query: string,
  request: IncomingMessage,
): Promise<{ raw: RawParams; upload?: { path: string; bytes: number } }> {
  const length = Number(request.headers['content-length'] ?? 0)
  const hasBody = length > 0 || request.headers['transfer-encoding'] !== undefined
  if (verb !== 'POST' && verb !== 'PUT') {
    if (hasBody) throw new ApiError(501, `Unexpected content for method '${verb}'`)
    return { raw: parseForm(query) }
  }
  // A query beside a body is not looked at.
  if (!hasBody) return { raw: {} }
  const type = request.headers['content-type'] ?? ''
  const kind = type.split(';')[0]?.trim().toLowerCase() ?? ''
  if (kind === 'multipart/form-data' && verb === 'POST' && /^\/nodes\/[^/]+\/storage\/[^/]+\/upload$/.test(path)) {
    const boundary = /boundary="?([^";]+)"?/.exec(type)?.[1] ?? ''
    const target = join(context.uploadFolder, `pveupload-${randomBytes(16).toString('hex')}`)
    try {
      const { params, bytes } = await readMultipart(request, boundary, target)
      return { raw: params, upload: { path: target, bytes } }
    } catch (error) {
      await rm(target, { force: true })
      throw error
    }
  }
  if (kind === 'application/json') return { raw: parseJson(await readBody(request)) }
  if (kind === '' || kind === 'application/x-www-form-urlencoded') return { raw: parseForm(await readBody(request)) }
  throw new ApiError(506, `upload 'Content-Type '${kind}' not implemented`)
}

function failed(failure: ApiError, extjs: boolean): Answer {
  const reason = failure.message.split('\n')[0] ?? ''
  if (!failure.body) return { status: failure.status, reason, body: undefined }
  const message = failure.status === 501 ? failure.message : `${failure.message.replace(/\n+$/, '')}\n`
  const errors = failure.errors === undefined ? {} : { errors: failure.errors }
  return extjs
    ? { status: 200, reason: 'OK', body: JSON.stringify({ success: 0, status: failure.status, message, data: null, ...errors }) }
    : { status: failure.status, reason, body: JSON.stringify({ data: null, message, ...errors }) }
}

function send(response: ServerResponse, answer: Answer, verb: string): void {
  if (response.destroyed) return
  // A reason phrase is bytes: UTF-8 goes out as such, control characters do not.
  response.statusMessage = Buffer.from(answer.reason, 'utf8')
    .toString('latin1')
    .replace(/[^\t\x20-\x7e\x80-\xff]/g, ' ')
  response.statusCode = answer.status
  response.setHeader('Cache-Control', 'max-age=0')
  response.setHeader('Pragma', 'no-cache')
  response.setHeader('Server', 'pve-api-daemon/3.0')
  if (answer.status >= 400) response.setHeader('Connection', 'close')
  if (answer.body === undefined || verb === 'HEAD') {
    response.setHeader('Content-Length', 0)
    response.end()
    return
  }
  const body = Buffer.from(answer.body, 'utf8')
  response.setHeader('Content-Type', answer.contentType ?? 'application/json;charset=UTF-8')
  response.setHeader('Content-Length', body.length)
  response.end(body)
}
