/** Start, stop and what lies between. */
import { rmSync } from 'node:fs'
import { task, vmidOf, type Call, type Context, type Handlers, type RunningVm } from '../context.ts'
import { fail, parameterError } from '../errors.ts'
import { volumeExists } from '../storage/volumes.ts'
import { applyAll } from './apply.ts'
import { refreshCloudinit } from './cloudinit.ts'
import { isTemplate, loadVm, requireUnlocked } from './config.ts'
import { parseDrive } from './drive.ts'
import { machineSpec, nicSpec } from './machine.ts'
import { driveSlots } from './options.ts'

/** PVE waits so long for a guest that is to switch itself off. */
const shutdownSeconds = 60

/** Starts it; the caller holds no lock. @throws what the task then ends with */
export async function startVm(context: Context, vmid: number): Promise<void> {
  await context.locks.withVm(vmid, async () => {
    const vm = loadVm(context, vmid)
    requireUnlocked(vm)
    if (isTemplate(vm)) fail("you can't start a vm if it's a template")
    if (context.running.has(vmid)) fail(`VM ${vmid} already running`)
    await applyAll(context, vm)
    const { config } = vm.value
    for (const slot of driveSlots.filter((name) => config[name] !== undefined)) {
      const { file } = parseDrive(slot, config[slot] as string)
      if (file !== 'none' && file !== 'cdrom' && !volumeExists(context, file)) fail(`volume '${file}' does not exist`)
    }
    for (const [key, value] of Object.entries(config)) {
      const bridge = /^net\d+$/.test(key) ? nicSpec(key, value).bridge : ''
      if (bridge !== '' && bridge !== context.bridge) fail(`bridge '${bridge}' does not exist`)
    }
    refreshCloudinit(context, vmid, config)
    const spec = machineSpec(context, vmid, config)
    const machine = await context.driver.start(spec)
    const running: RunningVm = { machine, startedAt: Date.now(), paused: false, serialLog: spec.serialLog }
    context.running.set(vmid, running)
    void machine.exited.then((exit) => {
      if (context.running.get(vmid) === running) context.running.delete(vmid)
      if (exit.reason === 'crashed') context.log(`VM ${vmid} ended unexpectedly: ${exit.detail}`)
      rmSync(spec.runDir, { recursive: true, force: true })
    })
  })
}

/** Waits until it has ended and its pending changes are in force. */
async function ended(context: Context, vmid: number, running: RunningVm): Promise<void> {
  await running.machine.exited
  context.running.delete(vmid)
  const vm = context.state.vms.get(vmid)
  if (vm !== undefined) await applyAll(context, vm)
}

async function stopVm(context: Context, vmid: number): Promise<void> {
  await context.locks.withVm(vmid, async () => {
    requireUnlocked(loadVm(context, vmid))
    const running = context.running.get(vmid)
    if (running === undefined) return
    await running.machine.stop()
    await ended(context, vmid, running)
  })
}

async function shutdownVm(
  context: Context,
  vmid: number,
  options: { seconds: number; force: boolean; signal: AbortSignal },
): Promise<void> {
  await context.locks.withVm(vmid, async () => {
    requireUnlocked(loadVm(context, vmid))
    const running = context.running.get(vmid)
    if (running === undefined) return
    if (running.paused) fail(`VM is paused - cannot shutdown`)
    await running.machine.shutdown()
    const { promise: late, resolve, reject } = Promise.withResolvers<'late'>()
    const timer = setTimeout(() => resolve('late'), options.seconds * 1000)
    options.signal.addEventListener('abort', () => reject(new Error('received interrupt')), { once: true })
    try {
      const first = await Promise.race([running.machine.exited.then(() => 'ended' as const), late])
      if (first === 'late') {
        if (!options.force) fail('VM quit/powerdown failed - got timeout')
        await running.machine.stop()
      }
    } finally {
      clearTimeout(timer)
    }
    await ended(context, vmid, running)
  })
}

/** @throws 500 unless it runs */
export const requireRunning = (context: Context, vmid: number): RunningVm => context.running.get(vmid) ?? fail(`VM ${vmid} not running`)

function requireOrdinary(call: Call): void {
  for (const name of ['skiplock', 'keepActive', 'stateuri', 'migratedfrom', 'nocheck']) {
    if (call.params[name] !== undefined && !call.caller.isRoot) throw parameterError({ [name]: 'Only root may use this option.' })
  }
}

function start(call: Call): unknown {
  requireOrdinary(call)
  return task(call, 'qmstart', vmidOf(call), () => startVm(call.context, vmidOf(call)))
}

function stop(call: Call): unknown {
  requireOrdinary(call)
  const { context } = call
  const vmid = vmidOf(call)
  if (call.params['overrule-shutdown'] === '1') {
    for (const other of context.tasks.running())
      if (other.type === 'qmshutdown' && other.id === String(vmid)) context.tasks.stop(other.upid)
  }
  return task(call, 'qmstop', vmid, () => stopVm(context, vmid))
}

function shutdown(call: Call): unknown {
  requireOrdinary(call)
  const vmid = vmidOf(call)
  const running = call.context.running.get(vmid)
  if (running?.paused) {
    if (call.params.forceStop !== '1') fail('VM is paused - cannot shutdown')
    return task(call, 'qmstop', vmid, () => stopVm(call.context, vmid))
  }
  const options = { seconds: Number(call.params.timeout ?? shutdownSeconds), force: call.params.forceStop === '1' }
  return task(call, 'qmshutdown', vmid, ({ signal }) => shutdownVm(call.context, vmid, { ...options, signal }))
}

function reboot(call: Call): unknown {
  const vmid = vmidOf(call)
  loadVm(call.context, vmid)
  requireRunning(call.context, vmid)
  const seconds = Number(call.params.timeout ?? shutdownSeconds)
  return task(call, 'qmreboot', vmid, async ({ signal }) => {
    await shutdownVm(call.context, vmid, { seconds, force: false, signal })
    await startVm(call.context, vmid)
  })
}

const whileRunning =
  (type: string, work: (running: RunningVm) => Promise<void>) =>
  (call: Call): unknown => {
    requireOrdinary(call)
    const { context } = call
    const vmid = vmidOf(call)
    loadVm(context, vmid)
    requireRunning(context, vmid)
    return task(call, type, vmid, () =>
      context.locks.withVm(vmid, async () => {
        requireUnlocked(loadVm(context, vmid))
        await work(requireRunning(context, vmid))
      }),
    )
  }

async function sendKey(call: Call): Promise<null> {
  const vmid = vmidOf(call)
  loadVm(call.context, vmid)
  const running = call.context.running.get(vmid) ?? fail(`VM ${vmid} not running`)
  const key = call.params.key as string
  await running.machine.sendKey(key).catch((error: unknown) => {
    throw parameterError({ key: error instanceof Error ? error.message : String(error) })
  })
  return null
}

const at = '/nodes/{node}/qemu/{vmid}'
export const powerHandlers: Handlers = {
  [`GET ${at}/status`]: () => ['current', 'start', 'stop', 'reset', 'shutdown', 'suspend', 'reboot'].map((subdir) => ({ subdir })),
  [`POST ${at}/status/start`]: start,
  [`POST ${at}/status/stop`]: stop,
  [`POST ${at}/status/shutdown`]: shutdown,
  [`POST ${at}/status/reboot`]: reboot,
  [`POST ${at}/status/reset`]: whileRunning('qmreset', (running) => running.machine.reset()),
  [`POST ${at}/status/suspend`]: whileRunning('qmpause', async (running) => {
    await running.machine.suspend()
    running.paused = true
  }),
  [`POST ${at}/status/resume`]: whileRunning('qmresume', async (running) => {
    await running.machine.resume()
    running.paused = false
  }),
  [`PUT ${at}/sendkey`]: sendKey,
}
