/** `nights.jsonl` of the site folder: how the nights before went. A line each, the newest last. */
import { join } from 'node:path'
import { z } from 'zod'
import { readJsonLines, writeJsonLines } from '../core/json-lines.ts'
import type { DeepReadonly } from '../core/deep-readonly.ts'
import { stepNames, type NightRecord } from './night.ts'

const image = z.string().nullable()

const entrySchema = z.object({
  schema: z.literal(1),
  /** USER@COMPUTER. */
  by: z.string(),
  began: z.iso.datetime(),
  /** Of one that was killed: when the next run found out. */
  ended: z.iso.datetime(),
  outcome: z.enum(['nothing', 'new', 'failed', 'stopped', 'killed']),
  /** With the milliseconds that each took. Of one that was killed there is only where it was. */
  steps: z.array(z.object({ step: z.enum(stepNames), ms: z.number() })),
  /** Names of images. */
  baked: image,
  promoted: image,
  rolledOut: image,
  /** Of the first thing that went wrong. */
  code: z.string().nullable(),
  /** Of the storage with the disks. */
  usedBytes: z.number().nullable(),
})

export type NightEntry = DeepReadonly<z.infer<typeof entrySchema>>

/** More than a year of them; older ones go. */
const kept = 400

const fileOf = (folder: string): string => join(folder, 'nights.jsonl')

/** All that can be read, the newest last; a line that somebody has cut is left out. */
export const readNights = (folder: string): Promise<readonly NightEntry[]> => readJsonLines(fileOf(folder), entrySchema)

/** Whoever calls holds the claim on the night. A night that is there already, by when it began, is not written twice. */
export async function addNight(folder: string, entry: NightEntry): Promise<void> {
  const before = await readNights(folder)
  if (before.some(({ began, by }) => began === entry.began && by === entry.by)) return
  await writeJsonLines(fileOf(folder), [...before, entry].slice(-kept))
}

/** What is kept of a night. */
export function entryOf(record: NightRecord): NightEntry {
  const { by, began, ended, outcome, steps, baked, promoted, rolledOut, failure, complaints, survey } = record
  return {
    schema: 1,
    by,
    began,
    ended,
    outcome,
    steps: steps.map(({ step, ms }) => ({ step, ms })),
    baked: baked?.name ?? null,
    promoted: promoted.at(-1)?.name ?? null,
    rolledOut: rolledOut.at(-1)?.to ?? null,
    code: (failure ?? complaints[0])?.code ?? null,
    usedBytes: survey?.storage?.usedBytes ?? null,
  }
}
