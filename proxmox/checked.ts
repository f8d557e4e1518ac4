/** The same API, that asks first whether a change may still be made. */
import type { Proxmox } from './client.ts'

/** @param check before each change, also of what is in a guest; what it rejects with, the change does. Looks go on without */
export function checked(proxmox: Proxmox, check: () => Promise<void>): Proxmox {
  const first = async <T>(change: () => Promise<T>): Promise<T> => {
    await check()
    return change()
  }
  return {
    url: proxmox.url,
    get: (...args) => proxmox.get(...args),
    post: (...args) => first(() => proxmox.post(...args)),
    put: (...args) => first(() => proxmox.put(...args)),
    del: (...args) => first(() => proxmox.del(...args)),
    task: (...args) => proxmox.task(...args),
    upload: (...args) => first(() => proxmox.upload(...args)),
    agentExec: (...args) => first(() => proxmox.agentExec(...args)),
    waitForAgent: (...args) => proxmox.waitForAgent(...args),
    now: () => proxmox.now(),
    close: () => proxmox.close(),
  }
}
