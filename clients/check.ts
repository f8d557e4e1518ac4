/** What a client does, from this computer, step by step: the first that fails is told with why, and what mends it. */
import { randomBytes } from 'node:crypto'
import { lanNotes, type Access } from './deployed.ts'
import { lookAtCertificate, trustedPems, type Trust } from './look-at-certificate.ts'
import { connectMcp, type McpConnection, type McpTool } from './mcp.ts'
import { findName, reachPort } from './reach.ts'
import { failed, ok, skipped, warned, wordsOf, type Outcome, type Step, type StepName } from './step.ts'
import { pathOf, publicUrl, type Transport } from './url.ts'
import { ask } from './web.ts'

export interface Checked {
  readonly access: Access
  readonly trust: Trust
  readonly user: string
  readonly password: string
  /** What is known of the password beforehand: that the VM was given another one. */
  readonly stale?: string
}

export interface CheckOptions {
  /** How long one answer may take. @default 60000 */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
  /** Hears of each as it ends. */
  readonly onStep?: (step: Step) => void
}

const knockMs = 10_000
/** A tool of Serena that only tells something, and needs no active project as most do: a fresh session has none. */
const harmless = 'initial_instructions'

/** @returns the steps that were taken, in order; the last is the one that makes the rest pointless, if there is one */
export async function checkClient(checked: Checked, { timeoutMs = 60_000, signal, onStep }: CheckOptions = {}): Promise<Step[]> {
  const { access, trust } = checked
  const { host, httpsPort, httpPort } = access.public
  const group = access.deployed?.group ?? 'serena'
  const advice = lanNotes(access).join(' ')
  const service = access.service ?? 'the service address'
  const transport: Transport = access.transports.includes('streamable-http') ? 'streamable-http' : 'sse'
  const steps: Step[] = []
  const take = async (name: StepName, work: () => Promise<Outcome>): Promise<boolean> => {
    signal?.throwIfAborted()
    const began = performance.now()
    const step = { name, ...(await work()), ms: Math.round(performance.now() - began) }
    steps.push(step)
    onStep?.(step)
    return step.state !== 'failed'
  }
  if (!(await take('name', () => findName(host, advice)))) return steps
  if (!(await take('connection', () => reachPort(host, httpsPort, service, advice, Math.min(timeoutMs, knockMs))))) return steps
  if (!(await take('certificate', () => lookAtCertificate({ host, port: httpsPort, trust, group, timeoutMs })))) return steps
  await take('plain HTTP', () => redirect(host, httpPort, publicUrl(access, pathOf(transport)), pathOf(transport), service))
  if (!(await take('wrong password', () => refused(checked, transport, timeoutMs)))) return steps
  let connection: McpConnection | undefined
  try {
    const entered = await enter(checked, transport, timeoutMs)
    connection = 'connection' in entered ? entered.connection : undefined
    if (!(await take('password', async () => entered.password))) return steps
    if (!(await take('initialize', async () => entered.initialize)) || connection === undefined) return steps
    const open = connection
    let tools: readonly McpTool[] = []
    const list = async (): Promise<Outcome> => {
      tools = await open.listTools()
      return tools.length === 0
        ? failed('Serena offers no tools', 'Look at its log: "npx golden status" tells where logs are.')
        : ok(`${tools.length} tools`)
    }
    if (!(await take('tools', () => orFailed(list)))) return steps
    await take('call', () => orFailed(() => callOne(open, tools)))
  } finally {
    await connection?.close().catch(() => {})
  }
  if (transport === 'sse' || !access.transports.includes('sse')) return steps
  await take('sse', () =>
    orFailed(async () => {
      const sse = await connectMcp(targetOf(checked, 'sse'), { timeoutMs })
      try {
        return ok(`a session over SSE, ${(await sse.listTools()).length} tools`)
      } finally {
        await sse.close().catch(() => {})
      }
    }),
  )
  return steps
}

/** Whether a client gets in. */
export const getsIn = (steps: readonly Step[]): boolean => steps.every(({ state }) => state !== 'failed')

const targetOf = ({ access, trust, user, password }: Checked, transport: Transport) => ({
  url: publicUrl(access, pathOf(transport)),
  transport,
  user,
  password,
  caPem: trustedPems(trust),
})

async function redirect(host: string, port: number, wanted: string, path: string, service: string): Promise<Outcome> {
  try {
    const { status, headers } = await ask(`http://${host}${port === 80 ? '' : `:${port}`}${path}`, { timeoutMs: knockMs })
    if (status === 301 && headers.location === wanted) return ok(`sends clients to ${wanted}`)
    const where = headers.location === undefined ? '' : ` to ${String(headers.location)}`
    return warned(
      `port ${port} answers with ${status}${where}, and not with 301 to ${wanted}`,
      `Another server has that port: have the router forward it to ${service}, or close it. Clients do not need it.`,
    )
  } catch (error) {
    return skipped(`nothing answers on port ${port} (${wordsOf(error)}); clients do not need it`)
  }
}

/** A password that is nobody's. */
async function refused(checked: Checked, transport: Transport, timeoutMs: number): Promise<Outcome> {
  try {
    const connection = await connectMcp(targetOf({ ...checked, password: randomBytes(12).toString('hex') }, transport), { timeoutMs })
    await connection.close().catch(() => {})
  } catch (error) {
    return statusOf(error) === 401 ? ok('is refused with 401') : explain(error)
  }
  return failed('anybody is let in, whatever the password', 'Close the port now: what answers there asks for no password.')
}

type Entered =
  | { readonly password: Outcome; readonly initialize: Outcome; readonly connection: McpConnection }
  | { readonly password: Outcome; readonly initialize: Outcome }

/** One request tells of both: the password is looked at first. */
async function enter(checked: Checked, transport: Transport, timeoutMs: number): Promise<Entered> {
  try {
    const connection = await connectMcp(targetOf(checked, transport), { timeoutMs })
    const server = connection.server()
    return {
      password: ok(`${checked.user} is let in`),
      initialize: ok(`${server?.name ?? 'a server'} ${server?.version ?? ''}`.trim()),
      connection,
    }
  } catch (error) {
    const status = statusOf(error)
    if (status !== 401)
      return {
        password: status === undefined || status === 429 ? skipped('not seen: there is no answer to it') : ok(`${checked.user} is let in`),
        initialize: explain(error),
      }
    const why = `the password of ${checked.user} is refused (401)`
    const mend = checked.access.deployed === undefined ? 'golden deploy' : `golden rollout ${checked.access.deployed.group}`
    return {
      password:
        checked.stale === undefined
          ? failed(why, `The VM has another one: put the former one back where serena.users says, or "npx ${mend}".`)
          : failed(why, checked.stale),
      initialize: skipped('without a password'),
    }
  }
}

async function callOne(connection: McpConnection, tools: readonly McpTool[]): Promise<Outcome> {
  const callable = tools.filter(({ required }) => required.length === 0)
  const tool = (callable.find(({ name }) => name === harmless) ?? callable.find(({ readOnly }) => readOnly))?.name
  if (tool === undefined) return skipped('there is no tool that only tells something')
  const text = await connection.call(tool, {})
  return ok(`${tool} answers, ${text.length} characters`)
}

async function orFailed(work: () => Promise<Outcome>): Promise<Outcome> {
  try {
    return await work()
  } catch (error) {
    return explain(error)
  }
}

/** HTTP's, if it came to one: the SDK has it as the error's code, where MCP's own codes are below zero. */
function statusOf(error: unknown): number | undefined {
  const code = (error as { code?: unknown }).code
  return typeof code === 'number' && code >= 400 && code < 600 ? code : undefined
}

function explain(error: unknown): Outcome {
  const status = statusOf(error)
  if (status !== undefined) return failed(`the server answers with ${status}`, mendStatus(status))
  return failed(wordsOf(error), 'See by "npx golden status" how the services are.')
}

function mendStatus(status: number): string {
  if (status === 404) return 'What runs does not have this transport (serena.transports), or another server answers there.'
  if (status === 429) return 'Too many requests from one address: wait a minute.'
  if (status >= 500) return 'Serena is not there yet, or a rollout is under way: see "npx golden status", and try again.'
  return 'Another server answers there, or a proxy is in between: see where the port is forwarded to.'
}
