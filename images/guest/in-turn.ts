/**
 * One after another: slotctl's verbs and golden-watch's steps change what this slot is, and whoever asks for one of them may
 * be gone long before it is done. By the kernel's lock of a file, which a program that is killed does not leave behind.
 */
import type { Machine } from './machine.ts'
import { turnFile } from './places.ts'

export type Turn<T> =
  | { readonly came: true; readonly result: T }
  /** Somebody else has it: `by`, in their words. */
  | { readonly came: false; readonly by: string }

export interface Patience {
  /** @default not at all */
  readonly waitMs?: number
  /** Before it is waited for. */
  readonly onWait?: (by: string) => void
}

/** @param who for others to read, who wait meanwhile @param work what is done while nobody else changes anything */
export async function inTurn<T>(machine: Machine, who: string, work: () => Promise<T>, patience: Patience = {}): Promise<Turn<T>> {
  const { files } = machine
  const { waitMs, onWait } = patience
  const holder = (): string => (files.exists(turnFile) && files.read(turnFile)) || 'another program'
  const release = await machine.lock(turnFile, {
    ...(waitMs === undefined ? {} : { waitMs }),
    ...(onWait === undefined ? {} : { onWait: () => onWait(holder()) }),
  })
  if (release === undefined) return { came: false, by: holder() }
  try {
    files.write(turnFile, who)
    return { came: true, result: await work() }
  } finally {
    release()
  }
}
