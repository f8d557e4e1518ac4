/** What the containers of a slot, and golden-auth, answer in a fake guest: as much as the guest's own programs ask. */
import { X509Certificate } from 'node:crypto'
import { probeUser } from '../images/guest/authenticator.ts'
import type { Carry, Handover, HandoverState } from '../images/guest/keeper-control.ts'
import { parseUsers, verifyPassword } from '../images/guest/password.ts'
import { authSocket, ownerFile, probeFile, run } from '../images/guest/places.ts'
import { probeLabels } from '../images/guest/loki-probe.ts'
import { movingBody, startingBody } from '../images/guest/refusals.ts'
import { readSlot } from '../images/guest/slot.ts'
import { takes } from './guest-network.ts'
import type { GuestAnswer, GuestContents, GuestFiles, GuestInside, GuestQuestion } from '../lab/compute/fake/programs.ts'

const says = (status: number, body = '', headers: Record<string, string> = {}): GuestAnswer => ({ status, headers, body })

/** Loki finds the line that it is asked for, as if an agent had brought it, and a line of each stream that is asked for by its whole name. */
function loki({ path }: GuestQuestion): GuestAnswer {
  const { pathname, searchParams } = new URL(path, 'http://loki')
  if (pathname === '/ready') return says(200, 'ready\n')
  if (pathname === '/loki/api/v1/push') return says(204)
  const query = searchParams.get('query') ?? ''
  const [, named, line = 'a line'] = /^\{([^{}]*)\}(?: \|= "(.*)")?$/.exec(query) ?? []
  const labels = Object.fromEntries([...(named ?? '').matchAll(/(\w+)="([^"]*)"/g)].map(([, key, value]) => [key, value]))
  const stream = labels.job === probeLabels.job ? probeLabels : labels
  const result = named === undefined ? [] : [{ stream, values: [[searchParams.get('start'), line]] }]
  return says(200, JSON.stringify({ status: 'success', data: { resultType: 'streams', result } }))
}

/** What its tools answer: what was written is found again. */
const toolNames = ['activate_project', 'create_text_file', 'find_symbol', 'initial_instructions', 'read_file']
const writtenFile = `${run}/modelled-serena.json`

function tool(name: string, args: Readonly<Record<string, string>>, files: GuestFiles): string | undefined {
  const written = (files.exists(writtenFile) ? JSON.parse(files.read(writtenFile)) : {}) as Record<string, string>
  const path = args.relative_path ?? ''
  if (name === 'create_text_file') files.write(writtenFile, JSON.stringify({ ...written, [path]: args.content }))
  return name === 'find_symbol' || name === 'read_file' ? written[path] : toolNames.includes(name) ? 'OK' : undefined
}

function mcp(body: string, files: GuestFiles): GuestAnswer {
  const {
    id,
    method,
    params = {},
  } = JSON.parse(body) as {
    readonly id?: number
    readonly method?: string
    readonly params?: { readonly name?: string; readonly arguments?: Readonly<Record<string, string>>; readonly protocolVersion?: string }
  }
  const answered = (result: object, headers: Record<string, string> = {}): GuestAnswer =>
    says(200, `event: message\ndata: ${JSON.stringify({ jsonrpc: '2.0', id, result })}\n\n`, {
      'content-type': 'text/event-stream',
      ...headers,
    })
  switch (method) {
    case 'initialize':
      return answered(
        { protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'Serena', version: '0' } },
        { 'mcp-session-id': '1' },
      )
    case 'tools/list':
      return answered({ tools: toolNames.map((name) => ({ name, inputSchema: { type: 'object' } })) })
    case 'tools/call': {
      const text = tool(params.name ?? '', params.arguments ?? {}, files)
      return answered({ content: [{ type: 'text', text: text ?? 'no such tool, or nothing found' }], isError: text === undefined })
    }
    default:
      return says(method?.startsWith('notifications/') ? 202 : 400)
  }
}

function serena({ method = 'GET', path, headers, body = '' }: GuestQuestion, files: GuestFiles): GuestAnswer {
  if (path === '/sse') return says(200, 'event: endpoint\ndata: /messages/?session_id=1\n\n')
  if (path === '/mcp' && method === 'DELETE') return says(200)
  if (path === '/mcp' && method === 'POST') return mcp(body, files)
  // Of a stream for what the server says by itself, which the specification leaves open, there is no model.
  if (path === '/mcp' && method === 'GET' && headers?.accept?.includes('text/event-stream')) return says(405)
  return says(path === '/mcp' || path.startsWith('/messages/') ? 400 : 404)
}

/** What its session keeper and its gate remember, for as long as the guest is on. */
const gateFile = `${run}/modelled-gate.json`
interface Gate {
  readonly state: HandoverState
  readonly carry: Carry
  /** Clients over SSE; nobody connects to a model, but a test may say that somebody has. */
  readonly sse?: number
}
const gateOf = (files: GuestFiles): Gate =>
  files.exists(gateFile) ? (JSON.parse(files.read(gateFile)) as Gate) : { state: 'open', carry: { schema: 1 } }

/** For the guest itself alone: what becomes of its clients, of whom there are none, and whose data disk the peer says it is. */
function control({ path, method = 'GET', body = '' }: GuestQuestion, files: GuestFiles, peer: () => GuestInside | undefined): GuestAnswer {
  const gate = gateOf(files)
  // Seeds of earlier versions have no key for it.
  const hasPeer = files.exists(`${run}/nginx/tls/peer.pem`)
  const tell = (what: object): GuestAnswer => says(200, `${JSON.stringify(what)}\n`)
  const keep = (changed: Partial<Gate>): void => files.write(gateFile, JSON.stringify({ ...gate, ...changed }))
  switch (path) {
    case '/activity':
      return says(200, 'Reading: 0 Writing: 1 Waiting: 0\n')
    case '/handover': {
      const wanted = method === 'PUT' ? (JSON.parse(body) as Pick<Gate, 'state'>) : undefined
      if (wanted?.state === 'forward' && !hasPeer) return says(409)
      if (wanted) keep(wanted)
      const nothing = { busy: 0, oldestMs: 0, forwarding: 0, parked: 0, parkedBytes: 0, refused: 0, sse: gate.sse ?? 0, sessions: 0 }
      return tell({ state: gateOf(files).state, ...nothing } satisfies Handover)
    }
    case '/handover/carry':
      if (method === 'PUT') keep({ carry: JSON.parse(body) as Carry })
      return tell(gateOf(files).carry)
    case '/peer/owner': {
      if (!hasPeer) return says(404)
      const there = peer()
      if (!there?.running.has('nginx_proxy')) return says(502)
      return says(200, there.files.exists(ownerFile) ? there.files.read(ownerFile) : '{}\n')
    }
    default:
      return says(path === '/health' ? 200 : 404)
  }
}

/** Whom golden-auth lets in: the health check of this boot, and users by their passwords. What has been compared once is not again. */
const compared = new Map<string, Promise<boolean>>()

async function isKnown(authorization: string, realm: 'serena' | 'loki', files: GuestFiles): Promise<boolean> {
  const [user = '', password = ''] = Buffer.from(authorization.replace(/^Basic /, ''), 'base64')
    .toString()
    .split(/:(.*)/s)
  if (user === '') return false
  if (user === probeUser) return files.exists(probeFile) && password === files.read(probeFile) && password !== ''
  const list = `${run}/auth/${realm}`
  const text = files.exists(list) ? files.read(list) : ''
  const known = parseUsers(text).get(user)
  if (known === undefined) return false
  const key = `${text}\n${authorization}`
  const verdict = compared.get(key) ?? verifyPassword(Buffer.from(password), known)
  compared.set(key, verdict)
  return verdict
}

/** nginx over TLS: passwords, and what is behind them. */
async function behindPassword(
  { headers }: GuestQuestion,
  realm: 'serena' | 'loki',
  files: GuestFiles,
  behind: (() => GuestAnswer) | undefined,
): Promise<GuestAnswer> {
  if (!(await isKnown(headers?.authorization ?? '', realm, files))) return says(401)
  return behind?.() ?? says(503, startingBody)
}

async function nginx(
  question: GuestQuestion,
  port: number,
  { files, running }: GuestInside,
  beyond: (address: string, port: number) => GuestInside | undefined,
): Promise<GuestAnswer | undefined> {
  const slot = readSlot(files)
  if (slot === undefined) return undefined
  const { seed } = slot
  const { path } = question
  const shown = (name: string): Pick<GuestAnswer, 'certificate'> => ({
    certificate: new X509Certificate(files.read(`${run}/nginx/tls/${name}.pem`)),
  })
  if (port === 8099) return control(question, files, () => beyond(seed.peer, 443))
  const isOpen = gateOf(files).state === 'open'
  if (port === 80 && seed.roles.includes('serena')) return question.headers?.host === seed.public.host ? says(301) : undefined
  if (port === 443 && seed.roles.includes('serena')) {
    const server = path === '/mcp' ? 'serena_mcp' : 'serena_mcp_sse'
    const behind =
      running.has(server) && (isOpen || (path === '/mcp' && question.method === 'GET')) ? () => serena(question, files) : undefined
    return {
      ...(path.startsWith('/.well-known/oauth') ? says(404) : await behindPassword(question, 'serena', files, behind)),
      ...shown('public'),
    }
  }
  if (port === seed.logging?.port && seed.roles.includes('logging')) {
    const behind = !isOpen ? () => says(503, movingBody) : running.has('loki') ? () => loki(question) : undefined
    return {
      ...(path !== '/loki/api/v1/push'
        ? says(404)
        : question.method === 'POST'
          ? await behindPassword(question, 'loki', files, behind)
          : says(405)),
      ...shown('logging'),
    }
  }
  return undefined
}

export const answer: NonNullable<GuestContents['answer']> = (question, files, running, beyond) => {
  const { to, path } = question
  if ('socket' in to) return to.socket === authSocket ? says(204) : undefined
  if (question.method === 'CONNECT') {
    const there = beyond(to.host, to.port)
    return there !== undefined && takes(there, question.headers?.from ?? '', to.host, to.port) ? says(200) : undefined
  }
  const has = (...names: string[]): boolean => names.some((name) => running.has(name))
  switch (to.port) {
    case 9121:
      return has('serena_mcp', 'serena_mcp_sse') ? says(404) : undefined
    case 3100:
      return has('loki') ? loki(question) : undefined
    case 3000:
      return has('grafana') ? says(200, '{"database":"ok"}') : undefined
    case 9080:
      return has('otelcol', 'promtail') ? says(200, path === '/metrics' ? '' : 'ready\n') : undefined
    default:
      return has('nginx_proxy') ? nginx(question, to.port, { files, running }, beyond) : undefined
  }
}
