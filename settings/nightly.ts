/** What `golden nightly` may do by itself; the part `nightly` of a site. */
import { z } from 'zod'
import { secretSchema } from './secret-schema.ts'

const clock = z.string().regex(/^([01][0-9]|2[0-3]):[0-5][0-9]$/, 'must be a time like 02:30')

/** Git takes more; these are names that also go into a shell's command without thought. */
const branch = z
  .string()
  .regex(
    /^(?!.*(?:\.\.|\/\/|\.lock$|\.lock\/|\/\.|\.$))[A-Za-z0-9][A-Za-z0-9._/-]{0,126}[A-Za-z0-9]$/,
    'must be the name of a branch, like golden/nightly',
  )
const remote = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'must be the name of a remote, like origin')
const variable = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of an environment variable')

/** A program with its arguments, run in the site folder without a shell. */
const command = z.tuple([z.string().min(1)], z.string())
/** Variables of the environment that the program gets, besides the usual ones: a token, say. */
const passes = z.array(variable).default([])

const git = z.discriminatedUnion('to', [
  /** The files stay as they are in the site folder. */
  z.strictObject({ to: z.literal('folder') }),
  /** A commit on the branch that is checked out. */
  z.strictObject({ to: z.literal('commit'), push: z.boolean().default(false), remote: remote.default('origin') }),
  /** A commit on a branch of its own, beside the one that is checked out; the next night goes on from it until it is merged. */
  z.strictObject({
    to: z.literal('branch'),
    branch: branch.default('golden/nightly'),
    push: z.boolean().default(true),
    remote: remote.default('origin'),
  }),
  /** The same, pushed, and when the branch begins this command, which asks for it to be merged: GOLDEN_BRANCH, GOLDEN_BASE, GOLDEN_TITLE and GOLDEN_BODY_FILE say what. */
  z.strictObject({
    to: z.literal('pull-request'),
    branch: branch.default('golden/nightly'),
    remote: remote.default('origin'),
    command,
    passes,
  }),
])

export const nightlySchema = z
  .strictObject({
    /** When the timer of `golden nightly --install-timer` runs it; a computer that sleeps then does it when it wakes up. */
    at: clock.default('02:30'),
    /** In which `at`, `rollout` and the days of `promote` are meant, e.g. Asia/Tokyo. @default the computer's own */
    timeZone: z
      .string()
      .refine((zone) => isTimeZone(zone), 'must be a time zone like Europe/Berlin or UTC')
      .optional(),
    /** Take the distribution's newest cloud image as base, where site.ts pins none. */
    newBase: z.boolean().default(true),
    /** When an image that has passed its verification comes into channel `stable`: then, that many days later, or when somebody does it. */
    promote: z.union([z.enum(['at-once', 'by-hand']), z.strictObject({ afterNights: z.int().min(1).max(365) })]).default('at-once'),
    /** When what is deployed gets the newest image of the site's channel: by hand, at any time, or in this window. It begins in there, and may end later. */
    rollout: z
      .union([
        z.enum(['by-hand', 'at-once']),
        z
          .strictObject({ from: clock, to: clock })
          .refine(({ from, to }) => from !== to, 'must not end when it begins; for the whole day say at-once'),
      ])
      .default('by-hand'),
    /** Remove images, bases and seeds that nobody needs (`golden prune`). */
    prune: z.boolean().default(true),
    /** Where the new lock goes, and what else of the site folder belongs in git. */
    git: git.default({ to: 'folder' }),
    /** Who hears of it besides those who read the report. */
    tell: z
      .strictObject({
        /** `failed`: of nights that went wrong; `changed`: of those with a new image, too. */
        when: z.enum(['failed', 'changed', 'always']).default('failed'),
        /** Gets the report's short form as JSON by POST; the address itself may be a secret. */
        webhook: secretSchema.optional(),
        /** Gets the report as text on its standard input; GOLDEN_OUTCOME and GOLDEN_REPORT (the folder) say more. */
        command: command.optional(),
        passes,
      })
      .prefault({}),
    /** Which language the page of the report shows first; it has both. */
    language: z.enum(['en', 'ja']).default('en'),
  })
  .prefault({})

export type NightlySettings = z.output<typeof nightlySchema>
export type GitSettings = NightlySettings['git']
export type Command = readonly [string, ...string[]]

function isTimeZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone })
    return true
  } catch {
    return false
  }
}
