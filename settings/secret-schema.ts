/** How a site may name a secret: fromFile(…), fromEnv(…) or fromCommand(…). */
import { z } from 'zod'

export const secretSchema = z.discriminatedUnion(
  'kind',
  [
    z.strictObject({ kind: z.literal('file'), path: z.string().min(1) }),
    z.strictObject({ kind: z.literal('env'), name: z.string().min(1) }),
    z.strictObject({ kind: z.literal('command'), command: z.tuple([z.string().min(1)], z.string()) }),
  ],
  'must be fromFile(…), fromEnv(…) or fromCommand(…): a secret itself does not belong in the site file',
)
