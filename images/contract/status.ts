/** What `slotctl status` prints: the guest says it, the rollout reads it. The guest takes the type only. */
import { z } from 'zod'
import { slotNames } from '../../settings/names.ts'

export const handoverStates = ['none', 'parking', 'forwarding', 'left'] as const

export const statusSchema = z.object({
  schema: z.literal(1),
  release: z.string(),
  /** Fingerprint of the image. */
  image: z.string(),
  group: z.string(),
  slot: z.enum(slotNames),
  roles: z.array(z.string()),
  /** Whether this slot owns the data disk and uses it. */
  active: z.boolean(),
  dataDisk: z.enum(['absent', 'blank', 'foreign', 'ready', 'mounted']),
  services: z.record(z.string(), z.object({ state: z.enum(['running', 'starting', 'unhealthy', 'stopped', 'absent']) })),
  /** Containers that the roles ask for and the image has no image for. */
  missing: z.array(z.string()),
  serviceAddress: z.object({ address: z.string(), held: z.boolean() }),
  /** Everything that should run answers, but for what lacks only room: see `problems`. */
  healthy: z.boolean(),
  /** The same, wherever the service address is: a slot that has just got the data does not hold it yet. */
  serves: z.boolean().exactOptional(),
  /**
   * How far this slot is in giving the group to its peer: its disk is leaving and requests wait; they go to the peer; the
   * service address has left too and only connections of before are here. Absent: of an image that can't.
   */
  handover: z.enum(handoverStates).exactOptional(),
  problems: z.array(z.string()),
  /** Disks that have no room for anything any more. Absent: of an image that does not say. */
  full: z.array(z.enum(['root', 'data'])).exactOptional(),
  /** Clients over SSE that are connected. Absent: the slot serves none, nginx does not say, or it is of an image that does not count them. */
  sseClients: z.int().min(0).exactOptional(),
  /** With an ACME server: its certificate that is shown, and how the last try ended. Absent: none is asked, or the image can't. */
  certificate: z
    .object({
      /** Absent: people see the one by the site's own CA. */
      shown: z.object({ issuer: z.string(), from: z.string(), until: z.string() }).exactOptional(),
      /** ISO 8601; of the slot that has the data. */
      lastTry: z.string().exactOptional(),
      lastError: z.string().exactOptional(),
      nextTry: z.string().exactOptional(),
    })
    .exactOptional(),
  /** What the slot takes the services' state as when the data disk comes. Absent: of an image that can only take it as it is. */
  state: z.enum(['now', 'before']).exactOptional(),
  /**
   * What is kept of the services' state, the oldest first: as which image (its fingerprint) had left it, when it was made
   * (ISO 8601), and its size on the disk; `last`: of the image before the one that uses it now. Absent: without the data
   * disk, or of an image that makes none.
   */
  restorePoints: z.array(z.object({ made: z.string(), image: z.string(), bytes: z.number(), last: z.boolean() })).exactOptional(),
})

export type Status = z.infer<typeof statusSchema>
