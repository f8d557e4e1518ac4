/** Has the slot with the data ask its ACME server at once: for who has mended what was in the way, and would not wait. */
import { z } from 'zod'
import { Failure } from '../core/failure.ts'
import { statusSchema, type Status } from '../images/contract/status.ts'
import type { Proxmox } from '../proxmox/client.ts'
import type { Deployment, Release } from '../releases/deployment.ts'
import { program } from './guest.ts'

/** DNS may take minutes to be the same everywhere. */
const askMs = 1_200_000

const answerSchema = z.object({
  certificate: statusSchema.shape.certificate,
  error: z.object({ code: z.string(), message: z.string() }).exactOptional(),
})

/** The release that runs and asks an ACME server. Pure. @throws Failure `no-acme` */
export function releaseWithAcme({ groups }: Deployment): Release {
  for (const { active, slots } of Object.values(groups)) {
    const release = active === undefined ? undefined : slots[active]
    if (release?.seed.acme !== undefined) return release
  }
  throw new Failure(
    'no-acme',
    'no slot that runs has a certificate of an ACME server to ask for',
    'Set public.certificate: acme({…}) in site.ts, then "npx golden lock", "npx golden bake" and "npx golden rollout".',
  )
}

/** @returns how it ended, with `lastError` where there is none. @throws Failure `slot-refused`, and what the API says */
export async function askForCertificate(
  proxmox: Proxmox,
  { vm }: Release,
  signal?: AbortSignal,
): Promise<NonNullable<Status['certificate']>> {
  const { stdout, stderr, exitCode } = await proxmox.agentExec(vm.node, vm.vmid, [program, 'certificate'], {
    timeoutMs: askMs,
    ...(signal === undefined ? {} : { signal }),
  })
  const said = answerSchema.safeParse(jsonIn(stdout)).data
  if (said?.certificate !== undefined) return said.certificate
  throw new Failure(
    'slot-refused',
    `VM ${vm.vmid} refused "slotctl certificate": ${said?.error?.message ?? (stderr.trim() || `exit code ${exitCode}`)}`,
    said?.error?.code === 'too-soon'
      ? 'Wait until then: an ACME server has limits of its own.'
      : '"npx golden status" says how the slot is.',
  )
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
