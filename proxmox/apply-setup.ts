/** Carries out what setup.ts plans, and what remove-setup.ts does. */
import { Failure, isLost } from '../core/failure.ts'
import type { Proxmox } from './client.ts'
import { removeDepot } from './remove-depot.ts'
import type { SetupPlan, SetupStep } from './setup.ts'
import { settleTasks } from './tasks.ts'

/**
 * Carries a plan out.
 * @param onSecret is given the new token's secret, if one is made, and awaited before the next step: Proxmox tells
 * it this once, and a later step may fail
 * @param look plans anew by what is there, for when the answer to a step was lost. @default that is a failure
 * @throws ProxmoxError of the step that failed; what was done before it stays, and the next run goes on there.
 * `token-secret-lost` when the token may have been made, and its secret was told to nobody
 */
export async function applySetup(
  admin: Proxmox,
  plan: SetupPlan,
  onStep: (step: SetupStep) => void,
  onSecret: (secret: string) => Promise<void>,
  signal?: AbortSignal,
  look?: () => Promise<SetupPlan>,
): Promise<void> {
  let steps = plan.steps
  for (let lost = 0; steps[0] !== undefined; ) {
    const [step] = steps
    // Only between steps: one that is under way may be the token's, whose secret is told once.
    signal?.throwIfAborted()
    onStep(step)
    try {
      await carryOut(admin, step, onSecret, signal)
      steps = steps.slice(1)
    } catch (error) {
      if (!isLost(error)) throw error
      if (step.yieldsSecret)
        throw new Failure(
          'token-secret-lost',
          `${step.title}: Proxmox may have made it, but its secret, which is told once, has not arrived: ${error.message}`,
          'Run "npx golden setup --new-token": it makes it anew.',
          { cause: error },
        )
      if (look === undefined || ++lost > lostSteps) throw error
      if (step.task) await settleTasks(admin, step.call.path.split('/')[2] ?? '', ({ type }) => type === 'qmcreate', signal)
      const now = await look()
      if (now.problems.length > 0) throw error
      steps = now.steps
    }
  }
}

/** So many steps may be in doubt in one run. */
const lostSteps = 5

async function carryOut(
  admin: Proxmox,
  step: SetupStep,
  onSecret: (secret: string) => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (step.depot !== undefined) return removeDepot(admin, step.depot, signal)
  const { method, path, form } = step.call
  const answer =
    method === 'POST' ? await admin.post(path, form) : method === 'PUT' ? await admin.put(path, form) : await admin.del(path, form)
  if (step.task && typeof answer === 'string') await admin.task(answer)
  if (step.yieldsSecret) await onSecret((answer as { value: string }).value)
}
