/** The little of Docker's API that the guest needs, over its socket: no process to start for a question. */
import type { Machine, Reply } from './machine.ts'

export interface DockerContainer {
  readonly id: string
  readonly name: string
  /** Docker's own word: created, running, restarting, exited, paused, dead. */
  readonly state: string
}

/** Starting one takes a slow machine a while, and stopping one as long as its container may take to end. */
const timeoutMs = { ask: 90_000, change: 240_000 } as const

const call = (machine: Machine, method: 'GET' | 'POST', path: string): Promise<Reply> =>
  machine.ask({ to: { socket: '/run/docker.sock' }, method, path, timeoutMs: method === 'GET' ? timeoutMs.ask : timeoutMs.change })

/** Rejects when Docker refuses. What is so already (304) is no refusal. */
async function change(machine: Machine, name: string, verb: 'start' | 'stop' | 'restart'): Promise<void> {
  const { status, body } = await call(machine, 'POST', `/containers/${name}/${verb}`)
  if (status >= 300 && status !== 304) throw new Error(`Docker refuses to ${verb} ${name}: ${body.trim()}`)
}

/** All containers; undefined while Docker does not answer. */
export async function listContainers(machine: Machine): Promise<DockerContainer[] | undefined> {
  try {
    const answer = await call(machine, 'GET', '/containers/json?all=1')
    if (answer.status !== 200) return undefined
    const list = JSON.parse(answer.body) as { Id: string; Names: string[]; State: string }[]
    return list.map((entry) => ({ id: entry.Id, name: (entry.Names[0] ?? '').replace(/^\//, ''), state: entry.State }))
  } catch {
    return undefined
  }
}

/** Starts one that was made or has exited. Rejects when Docker refuses, also where it has none of that name. */
export const startContainer = (machine: Machine, name: string): Promise<void> => change(machine, name, 'start')

/** Resolves when it has ended, or ran no more. Rejects when Docker refuses, but not where it has none of that name. */
export async function stopContainer(machine: Machine, name: string): Promise<void> {
  const there = await listContainers(machine)
  if (there === undefined || there.some((container) => container.name === name)) await change(machine, name, 'stop')
}

/** Starts one that has exited, restarts one that runs. Rejects when Docker refuses. */
export const restartContainer = (machine: Machine, name: string): Promise<void> => change(machine, name, 'restart')
