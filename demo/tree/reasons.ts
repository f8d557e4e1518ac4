/**
 * What is never the same in two bakes of the same inputs, and why: the closed list of docs/reproducible.md. Whatever else
 * differs is a fault.
 */
import type { Reason } from './compare.ts'

export const reasons: readonly Reason[] = []
