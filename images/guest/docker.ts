/** The little of Docker's API that the guest needs, over its socket: no process to start for a question. */
import type { Machine, Reply } from './machine.ts'

export interface DockerContainer {
  readonly id: string
  readonly name: string
  /** Docker's own word: created, running, restarting, exited, paused, dead. */
  readonly state: string
}

const call = (machine: Machine, method: 'GET' | 'POST', path: string): Promise<Reply> =>
  machine.ask({ to: { socket: '/run/docker.sock' }, method, path, timeoutMs: 90_000 })

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

/** Starts one that has exited, restarts one that runs. Rejects when Docker refuses. */
export async function restartContainer(machine: Machine, name: string): Promise<void> {
  const answer = await call(machine, 'POST', `/containers/${name}/restart`)
  if (answer.status >= 300) throw new Error(`Docker refuses to restart ${name}: ${answer.body.trim()}`)
}
