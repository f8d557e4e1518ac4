/** The same API for whoever only looks: nothing can be changed by it, and nothing is asked twice. */
import type { Parameters, Proxmox } from './client.ts'

/** What is asked while a look lasts is answered once: what is told of one thing fits what is told of another. */
export function looking(proxmox: Proxmox): Proxmox {
  const answers = new Map<string, Promise<unknown>>()
  const refuse = async (): Promise<never> => {
    throw new Error('whoever looks changes nothing')
  }
  return {
    url: proxmox.url,
    get<T>(path: string, query?: Parameters): Promise<T> {
      const key = JSON.stringify([path, query])
      const known = answers.get(key)
      if (known !== undefined) return known as Promise<T>
      const answer = proxmox.get<T>(path, query)
      answers.set(key, answer)
      return answer
    },
    post: refuse,
    put: refuse,
    del: refuse,
    upload: refuse,
    task: refuse,
    // What a guest says of itself is asked by running a program in it.
    agentExec: (...args) => proxmox.agentExec(...args),
    waitForAgent: (...args) => proxmox.waitForAgent(...args),
    now: () => proxmox.now(),
    close: () => proxmox.close(),
  }
}
