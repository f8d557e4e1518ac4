/** The loop of whoever brings a group's data to a slot: what is looked at is the whole group, which has to be ours. */
import type { ActivationContext } from './activate.ts'
import { settleGroup } from './depot.ts'
import { checkIdentity, observeGroup, type GroupSeen } from './observe.ts'
import { reconcile, type Decision } from './reconcile.ts'

export interface GroupLoop<Seen, Step> {
  see(group: GroupSeen): Promise<Seen>
  decide(seen: Seen): Decision<Step>
  take(step: Step, seen: Seen, note: (text: string) => void): Promise<void>
}

/** @param title of the step that people see @throws as `reconcile`, and Failure of a group whose VMs are not ours */
export async function reconcileGroup<Seen, Step>(
  { proxmox, places, progress, signal, pauseMs }: ActivationContext,
  title: string,
  { see, decide, take }: GroupLoop<Seen, Step>,
): Promise<void> {
  await progress.step(title, async (note) => {
    await reconcile<Seen, Step>({
      note,
      ...(signal === undefined ? {} : { signal }),
      ...(pauseMs === undefined ? {} : { pauseMs }),
      settle: () => settleGroup(proxmox, places, signal),
      async look() {
        const group = await observeGroup(proxmox, places)
        checkIdentity(places, group)
        return see(group)
      },
      decide,
      take: (step, seen) => take(step, seen, note),
    })
  })
}
