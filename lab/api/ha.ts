/** Which VMs are managed by HA (PVE::HA::Config). Nothing is done with them: there is one node only. */
import type { Call, Context, Handlers } from './context.ts'
import { fail } from './errors.ts'

/** `100` and `vm:100` are the same. */
const sidOf = (call: Call): string => (/^\d+$/.test(call.params.sid ?? '') ? `vm:${call.params.sid}` : (call.params.sid as string))

export const haState = (context: Context, vmid: number): string | undefined => context.state.ha.value[`vm:${vmid}`]?.state

export function forgetHa(context: Context, vmid: number): void {
  delete context.state.ha.value[`vm:${vmid}`]
  context.state.ha.save()
}

const shown = (sid: string, state: string): Record<string, unknown> => ({ sid, type: 'vm', state, digest: '0'.repeat(40) })

export const haHandlers: Handlers = {
  'GET /cluster/ha/resources': (call) => Object.entries(call.context.state.ha.value).map(([sid, { state }]) => shown(sid, state)),
  'GET /cluster/ha/resources/{sid}': (call) => {
    const sid = sidOf(call)
    return shown(sid, (call.context.state.ha.value[sid] ?? fail(`no such resource '${sid}'`)).state)
  },
  'POST /cluster/ha/resources': (call) => {
    const sid = sidOf(call)
    const { ha, vms } = call.context.state
    if (ha.value[sid] !== undefined) fail(`resource ID '${sid}' already defined`)
    if (!vms.has(Number(sid.replace(/^vm:/, '')))) fail(`Parameter verification failed. unable to find VM '${sid}'`)
    ha.value[sid] = { state: call.params.state ?? 'started' }
    ha.save()
    return null
  },
  'DELETE /cluster/ha/resources/{sid}': (call) => {
    const sid = sidOf(call)
    const { ha } = call.context.state
    if (ha.value[sid] === undefined) fail(`cannot delete service '${sid}', not HA managed!`)
    delete ha.value[sid]
    ha.save()
    return null
  },
}
