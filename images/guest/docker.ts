/** The little of Docker's API that the guest needs, over its socket: no process to start for a question. */
import { request } from 'node:http'

export interface DockerContainer {
  readonly id: string
  readonly name: string
  /** Docker's own word: created, running, restarting, exited, paused, dead. */
  readonly state: string
}

function call(method: 'GET' | 'POST', path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath: '/run/docker.sock', method, path, timeout: 90_000 }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (part: string) => (body += part))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
      response.on('error', reject)
    })
    sent.on('timeout', () => sent.destroy(new Error(`Docker did not answer ${method} ${path}`)))
    sent.on('error', reject)
    sent.end()
  })
}

/** All containers; undefined while Docker does not answer. */
export async function listContainers(): Promise<DockerContainer[] | undefined> {
  try {
    const answer = await call('GET', '/containers/json?all=1')
    if (answer.status !== 200) return undefined
    const list = JSON.parse(answer.body) as { Id: string; Names: string[]; State: string }[]
    return list.map((entry) => ({ id: entry.Id, name: (entry.Names[0] ?? '').replace(/^\//, ''), state: entry.State }))
  } catch {
    return undefined
  }
}

/** Starts one that has exited, restarts one that runs. Rejects when Docker refuses. */
export async function restartContainer(name: string): Promise<void> {
  const answer = await call('POST', `/containers/${name}/restart`)
  if (answer.status >= 300) throw new Error(`Docker refuses to restart ${name}: ${answer.body.trim()}`)
}
