/**
 * What an image says about itself: in `/etc/golden/image.json`, which the bake writes and the guest reads, and with more
 * beside it in the template's description (images/record.ts). The guest takes the type only.
 */
import { z } from 'zod'
import type { DeepReadonly } from '../../core/deep-readonly.ts'

/** What there can be a container image for. */
export const services = ['serena', 'nginx', 'otelcol', 'promtail', 'loki', 'grafana', 'lego'] as const
export type Service = (typeof services)[number]

export const hash = z.string().regex(/^[0-9a-f]{64}$/)

/** What both say. */
export const imageFacts = {
  fingerprint: hash,
  /** When it was baked, ISO 8601. */
  built: z.iso.datetime(),
  /** Digest references (`repo@sha256:…`). A service without one is not in the image. */
  services: z.partialRecord(z.enum(services), z.string().min(1).max(512)),
}

export const imageRecordSchema = z.strictObject({ schema: z.literal(1), ...imageFacts })

export type ImageRecord = DeepReadonly<z.infer<typeof imageRecordSchema>>

/** `/etc/golden/image.json`. @throws ZodError (a bug) when it is not valid */
export const renderImageRecord = (record: ImageRecord): string => `${JSON.stringify(imageRecordSchema.parse(record), null, 2)}\n`
