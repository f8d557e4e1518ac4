const DEADLY = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * Waits for a child that leads a process group (`detached`) and returns how it ended. The whole group is ended when `signal` says so and when this process gets a deadly signal, which a group of its own would otherwise survive.
 */
export async function endOfGroup<End>(
  child: PromiseLike<End> & { readonly pid?: number | undefined },
  signal: AbortSignal | undefined,
): Promise<End> {
  const end = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGTERM')
    } catch {
      // It has ended already.
    }
  }
  const handled = DEADLY.filter((name) => process.listenerCount(name) > 0)
  const pass = (name: NodeJS.Signals): void => {
    end()
    // With no handler of somebody else's the signal shall do what it would have done without this one. Theirs was there
    // before; asked now, a `once` handler would already be gone.
    if (!(handled as string[]).includes(name) && process.listenerCount(name) === 0) process.kill(process.pid, name)
  }
  for (const name of DEADLY) process.once(name, pass)
  signal?.addEventListener('abort', end)
  if (signal?.aborted === true) end()
  try {
    return await child
  } finally {
    for (const name of DEADLY) process.off(name, pass)
    signal?.removeEventListener('abort', end)
  }
}
