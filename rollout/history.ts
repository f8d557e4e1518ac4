/** `rollouts.jsonl` of the site folder: who rolled out what, when, and how it went. A line each, the newest last. */
import { join } from 'node:path'
import { z } from 'zod'
import type { DeepReadonly } from '../core/deep-readonly.ts'
import { Failure } from '../core/failure.ts'
import { readJsonLines, writeJsonLines } from '../core/json-lines.ts'
import { who } from '../core/who.ts'
import { readPins } from '../releases/pins.ts'
import { otherSlot, slotNames, type SlotName } from '../settings/site.ts'
import { isTakenBack, type Release } from '../releases/deployment.ts'
import type { GroupWork } from './context.ts'
import type { HandoverPart } from './handover.ts'

const side = z.object({ slot: z.enum(slotNames), release: z.string(), image: z.string() })

const entrySchema = z.object({
  schema: z.literal(1),
  group: z.string(),
  verb: z.enum(['rollout', 'rollback']),
  /** USER@COMPUTER. */
  who: z.string(),
  from: side,
  to: side,
  began: z.iso.datetime(),
  ended: z.iso.datetime(),
  /** Of each step, in milliseconds. */
  parts: z.array(z.object({ step: z.string(), ms: z.number() })),
  outcome: z.enum(['done', 'taken-back', 'failed']),
  reason: z.string().exactOptional(),
})

export type RolloutEntry = DeepReadonly<z.infer<typeof entrySchema>>

/** Years of them; older ones go. */
const kept = 500

const fileOf = (folder: string): string => join(folder, 'rollouts.jsonl')

const sideOf = (slot: SlotName, { id, image }: Release): RolloutEntry['from'] => ({ slot, release: id, image: image.name })

/** All that can be read; a line that somebody has cut is left out. */
export const readHistory = (folder: string): Promise<readonly RolloutEntry[]> => readJsonLines(fileOf(folder), entrySchema)

/** One run at a time writes: whoever calls holds the site's claim. */
async function addToHistory(folder: string, entry: RolloutEntry): Promise<void> {
  await writeJsonLines(fileOf(folder), [...(await readHistory(folder)), entry].slice(-kept))
}

/** Does something, and writes down how it went. */
export async function onRecord(
  { folder, progress, signal }: Pick<GroupWork, 'folder' | 'progress' | 'signal'>,
  verb: RolloutEntry['verb'],
  group: string,
  from: SlotName,
  to: SlotName,
  began: Date,
  work: () => Promise<readonly HandoverPart[]>,
): Promise<readonly HandoverPart[]> {
  const side = async (slot: SlotName): Promise<RolloutEntry['from']> => {
    const release = (await readPins(folder)).groups[group]?.slots[slot]
    return release === undefined ? { slot, release: '', image: '' } : sideOf(slot, release)
  }
  const before = await side(from)
  const write = async (outcome: RolloutEntry['outcome'], parts: readonly HandoverPart[], reason?: string): Promise<void> => {
    const entry = {
      schema: 1,
      group,
      verb,
      who: who(),
      from: before,
      to: await side(to),
      began: began.toISOString(),
      ended: new Date().toISOString(),
      parts,
      outcome,
    } as const
    await addToHistory(folder, reason === undefined ? entry : { ...entry, reason }).catch((error: Error) =>
      progress.warn(`rollouts.jsonl could not be written: ${error.message}`),
    )
  }
  try {
    const parts = await work()
    await write('done', parts)
    return parts
  } catch (error) {
    const isBack = error instanceof Failure && error.code === 'rollout-failed'
    await write(isBack ? 'taken-back' : 'failed', [], signal.aborted ? 'stopped' : error instanceof Error ? error.message : String(error))
    throw error
  }
}

/**
 * A rollout that a run took back which was gone before it could write that down: it is known by the note in the pins, which
 * the next rollout replaces. Twice is once.
 */
export async function writeDownTakenBack({ folder, progress }: Pick<GroupWork, 'folder' | 'progress'>, group: string): Promise<void> {
  const { rollout: note, slots } = (await readPins(folder)).groups[group] ?? { slots: {} }
  if (!isTakenBack(note)) return
  const [back, failed] = [slots[otherSlot(note.to)], slots[note.to]]
  if (back === undefined || failed === undefined) return
  const before = (await readHistory(folder)).filter((entry) => entry.group === group && entry.to.release === failed.id)
  if (before.some(({ outcome }) => outcome === 'taken-back')) return
  await addToHistory(folder, {
    schema: 1,
    group,
    // Which it was only that run knew; one that was stopped has said so.
    verb: before.at(-1)?.verb ?? 'rollout',
    who: who(),
    from: sideOf(otherSlot(note.to), back),
    to: sideOf(note.to, failed),
    began: note.since,
    ended: new Date().toISOString(),
    parts: [],
    outcome: 'taken-back',
    ...(note.reason === undefined ? {} : { reason: note.reason }),
  }).catch((error: Error) => progress.warn(`rollouts.jsonl could not be written: ${error.message}`))
}
