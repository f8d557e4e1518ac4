/** agent/*: commands to the QEMU guest agent. */
import { agentQueries } from './agent-queries.ts'
import { AgentError, AgentUnavailable } from '../../compute/driver.ts'
import { vmidOf, type Call, type Handlers } from '../context.ts'
import { ApiError, fail } from '../errors.ts'
import { agentEnabled } from './machine.ts'
import { loadVm } from './config.ts'

/** One command's `return` value. @throws 500 with PVE's messages */
async function command(call: Call, name: string, args?: Record<string, unknown>, timeoutMs?: number): Promise<unknown> {
  const vmid = vmidOf(call)
  const vm = loadVm(call.context, vmid)
  if (vm.value.config.agent === undefined) fail('No QEMU guest agent configured')
  const running = call.context.running.get(vmid) ?? fail(`VM ${vmid} is not running`)
  if (!agentEnabled(vm.value.config)) fail('QEMU guest agent is not running')
  const note = (answer: { result: unknown } | { error: string }): void =>
    call.context.recorder?.agent({ vmid, asker: call.caller.authId }, name, args ?? {}, answer)
  try {
    const result = await running.machine.agent(name, args, timeoutMs)
    note({ result })
    return result
  } catch (error) {
    // An agent that does not answer has not been asked anything.
    if (error instanceof AgentError) note({ error: error.message })
    if (error instanceof AgentUnavailable) throw new ApiError(500, 'QEMU guest agent is not running')
    if (error instanceof AgentError) throw new ApiError(500, `Agent error: ${error.message}`)
    throw error
  }
}

async function exec(call: Call): Promise<unknown> {
  const [path = '', ...args] = call.lists.command ?? []
  const input = call.params['input-data']
  const result = (await command(call, 'guest-exec', {
    path,
    arg: args,
    'capture-output': true,
    ...(input === undefined ? {} : { 'input-data': Buffer.from(input).toString('base64') }),
  })) as { pid: number }
  return { pid: result.pid }
}

async function execStatus(call: Call): Promise<unknown> {
  const status = (await command(call, 'guest-exec-status', { pid: Number(call.params.pid) })) as Record<string, unknown>
  const flag = (value: unknown): number => (value ? 1 : 0)
  const text = (value: unknown): string => Buffer.from(String(value), 'base64').toString('utf8')
  return {
    exited: flag(status.exited),
    ...(status.exitcode === undefined ? {} : { exitcode: status.exitcode }),
    ...(status.signal === undefined ? {} : { signal: status.signal }),
    ...(status['out-data'] === undefined ? {} : { 'out-data': text(status['out-data']) }),
    ...(status['err-data'] === undefined ? {} : { 'err-data': text(status['err-data']) }),
    ...(status['out-truncated'] === undefined ? {} : { 'out-truncated': flag(status['out-truncated']) }),
    ...(status['err-truncated'] === undefined ? {} : { 'err-truncated': flag(status['err-truncated']) }),
  }
}

const chunkBytes = 1024 * 1024

async function readFile(call: Call): Promise<unknown> {
  const limit = Number(call.params.count ?? 16 * 1024 * 1024)
  const handle = await command(call, 'guest-file-open', { path: call.params.file, mode: 'rb' })
  const parts: Buffer[] = []
  let size = 0
  let eof = false
  try {
    if (call.params.offset !== undefined) await command(call, 'guest-file-seek', { handle, offset: Number(call.params.offset), whence: 0 })
    while (!eof && size < limit) {
      const part = (await command(call, 'guest-file-read', { handle, count: Math.min(chunkBytes, limit - size) })) as {
        count: number
        'buf-b64': string
        eof: boolean
      }
      parts.push(Buffer.from(part['buf-b64'], 'base64'))
      size += part.count
      eof = part.eof
    }
  } finally {
    await command(call, 'guest-file-close', { handle })
  }
  const bytes = Buffer.concat(parts)
  const content = call.params.decode === '0' ? bytes.toString('base64') : bytes.toString('utf8')
  return { content, 'bytes-read': bytes.length, ...(eof ? {} : { truncated: 1 }) }
}

async function writeFile(call: Call): Promise<null> {
  const handle = await command(call, 'guest-file-open', { path: call.params.file, mode: 'wb' })
  const content = call.params.content as string
  try {
    // `encode=0`: the sender has encoded it already.
    const encoded = call.params.encode === '0' ? content : Buffer.from(content, 'utf8').toString('base64')
    await command(call, 'guest-file-write', { handle, 'buf-b64': encoded })
    await command(call, 'guest-file-flush', { handle })
  } finally {
    await command(call, 'guest-file-close', { handle })
  }
  return null
}

const at = '/nodes/{node}/qemu/{vmid}/agent'
const wrapped =
  (name: string) =>
  async (call: Call): Promise<unknown> => ({ result: await command(call, `guest-${name}`) })

export const agentHandlers: Handlers = {
  [`GET ${at}`]: () =>
    [...agentQueries, 'ping', 'exec', 'exec-status', 'file-read', 'file-write', 'fstrim', 'shutdown'].sort().map((name) => ({ name })),
  ...Object.fromEntries(agentQueries.map((name) => [`GET ${at}/${name}`, wrapped(name)])),
  [`POST ${at}/ping`]: wrapped('ping'),
  [`POST ${at}/exec`]: exec,
  [`GET ${at}/exec-status`]: execStatus,
  [`GET ${at}/file-read`]: readFile,
  [`POST ${at}/file-write`]: writeFile,
  [`POST ${at}/fstrim`]: async (call) => ({ result: await command(call, 'guest-fstrim', {}, 60000) }),
  [`POST ${at}/shutdown`]: async (call) => ({ result: await command(call, 'guest-shutdown') }),
}
