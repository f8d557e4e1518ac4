/** tasks of the node: list, status, log, stop. */
import type { TaskRecord } from '../state/types.ts'
import type { Call, Handlers } from './context.ts'
import { parameterError } from './errors.ts'
import { splitList } from './formats.ts'
import { PlainText } from './plain-text.ts'

const upidPattern =
  /^UPID:([a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?):([0-9A-Fa-f]{8}):([0-9A-Fa-f]{8,9}):([0-9A-Fa-f]{8}):([^:\s]+):([^:\s]*):([^:\s]+):$/

/** The user of a UPID may be a token. */
function owner(user: string): { user: string; tokenid?: string } {
  const [userid = '', tokenid] = user.split('!')
  return tokenid === undefined ? { user: userid } : { user: userid, tokenid }
}

/** The named task, its user checked. @throws 400 for a bad UPID, 403 for another's without `privilege` */
function find(call: Call, privilege: string): TaskRecord | undefined {
  const upid = call.params.upid as string
  const parsed = upidPattern.exec(upid)
  if (parsed === null) throw parameterError({ upid: 'unable to parse worker upid' })
  const user = parsed[7] as string
  const own = user === call.caller.authId || user.split('!')[0] === call.caller.authId
  if (!own) call.caller.require(`/nodes/${call.context.node}`, privilege)
  return call.context.tasks.find(upid)
}

const noSuchTask = () => parameterError({ upid: 'no such task' })

const common = (call: Call, task: TaskRecord): Record<string, unknown> => ({
  upid: task.upid,
  node: call.context.node,
  pid: task.pid,
  pstart: task.pstart,
  starttime: task.starttime,
  type: task.type,
  id: task.id,
})

function status(call: Call): unknown {
  const task = find(call, 'Sys.Audit')
  if (task === undefined) throw noSuchTask()
  return {
    ...common(call, task),
    ...owner(task.user),
    ...(task.status === undefined ? { status: 'running' } : { status: 'stopped', exitstatus: task.status }),
  }
}

function log(call: Call): unknown {
  const task = find(call, 'Sys.Audit')
  const lines = task === undefined ? ['unable to open file - No such file or directory'] : task.log
  if (call.params.download === '1') return new PlainText(lines.map((line) => `${line}\n`).join(''))
  const start = Number(call.params.start ?? 0)
  const limit = Number(call.params.limit ?? 50)
  const shown = lines.length === 0 ? ['no content'] : lines
  call.attributes.total = shown.length
  return shown.map((text, index) => ({ n: index + 1, t: text })).slice(start, limit === 0 ? undefined : start + limit)
}

const wantedStatus: Readonly<Record<string, (status: string) => boolean>> = {
  ok: (status) => status === 'OK',
  warning: (status) => status.startsWith('WARNINGS'),
  unknown: (status) => status === 'unexpected status',
  error: (status) => status !== 'OK' && !status.startsWith('WARNINGS'),
}

function list(call: Call): unknown {
  const { params, caller, context } = call
  const audit = caller.has(`/nodes/${context.node}`, 'Sys.Audit')
  const source = params.source ?? 'archive'
  const kinds = params.statusfilter === undefined ? undefined : splitList(params.statusfilter)
  const chosen = context.tasks.list().filter((task) => {
    const running = task.status === undefined
    if (source !== 'all' && running !== (source === 'active')) return false
    if (!audit && task.user !== caller.authId && task.user.split('!')[0] !== caller.authId) return false
    if (params.vmid !== undefined && task.id !== params.vmid) return false
    if (params.typefilter !== undefined && task.type !== params.typefilter) return false
    if (params.userfilter !== undefined && !task.user.includes(params.userfilter)) return false
    if (params.since !== undefined && task.starttime < Number(params.since)) return false
    if (params.until !== undefined && task.starttime > Number(params.until)) return false
    if (params.errors === '1' && (running || task.status === 'OK')) return false
    return kinds === undefined || running || kinds.some((kind) => wantedStatus[kind]?.(task.status as string))
  })
  if (chosen.length > 0) call.attributes.total = chosen.length
  const start = Number(params.start ?? 0)
  return chosen
    .slice(start, start + Number(params.limit ?? 50))
    .map((task) =>
      task.status === undefined
        ? { ...common(call, task), user: task.user, status: 'RUNNING', saved: '0' }
        : { ...common(call, task), ...owner(task.user), status: task.status, endtime: task.endtime },
    )
}

export const taskHandlers: Handlers = {
  'GET /nodes/{node}/tasks': list,
  'GET /nodes/{node}/tasks/{upid}': () => [{ name: 'log' }, { name: 'status' }],
  'GET /nodes/{node}/tasks/{upid}/status': status,
  'GET /nodes/{node}/tasks/{upid}/log': log,
  'DELETE /nodes/{node}/tasks/{upid}': (call) => {
    const task = find(call, 'Sys.Modify')
    if (task === undefined) throw noSuchTask()
    call.context.tasks.stop(task.upid)
    return null
  },
  'GET /cluster/tasks': (call) => {
    const audit = call.caller.has('/', 'Sys.Audit')
    return call.context.tasks
      .list()
      .filter((task) => audit || task.user.split('!')[0] === call.caller.userid)
      .slice(0, 50)
      .map((task) => ({
        ...common(call, task),
        ...owner(task.user),
        saved: task.status === undefined ? '0' : '1',
        ...(task.status === undefined ? {} : { status: task.status, endtime: task.endtime }),
      }))
  },
}
