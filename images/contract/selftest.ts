/** What `slotctl selftest` and `slotctl work` print: the guest says it, `golden verify` reads it. The guest takes the types only. */
import { z } from 'zod'

/** What a check is about. */
export const parts = [
  'first-boot',
  'units',
  'containers',
  'firewall',
  'ssh',
  'tls',
  'auth',
  'session',
  'projects',
  'dashboards',
  'hygiene',
  'tools',
] as const
export type Part = (typeof parts)[number]

const check = z.object({
  part: z.enum(parts),
  name: z.string(),
  ok: z.boolean(),
  /** What was seen instead. */
  detail: z.string().exactOptional(),
})

export const selftestSchema = z.object({ schema: z.literal(1), ok: z.boolean(), checks: z.array(check) })

export type SelftestCheck = z.infer<typeof check>
