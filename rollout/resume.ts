/** Goes on after the engine's provider, which waits for nobody, met an API that was away or an answer that was lost. */
import type { Proxmox } from '../proxmox/client.ts'
import { requireAnswer } from '../proxmox/nodes.ts'
import { isLost } from '../core/failure.ts'
import type { Progress } from '../core/progress.ts'
import { settleGroup } from './depot.ts'
import type { GroupPlaces } from './observe.ts'

/** After that many it is no passing fault. */
const attempts = 3

/**
 * @param work begins with a look at what there is, so that it can be begun again
 * @throws whatever it throws at last
 */
export async function resume<T>(
  { proxmox, progress, signal }: { readonly proxmox: Proxmox; readonly progress: Progress; readonly signal: AbortSignal },
  places: GroupPlaces,
  work: (attempt: number) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work(attempt)
    } catch (error) {
      if (!isLost(error) || attempt === attempts || signal.aborted) throw error
      progress.warn(`${error.message.split('\n')[0]}; looking what there is, and going on`)
      await requireAnswer(proxmox)
      await settleGroup(proxmox, places, signal)
    }
  }
}
