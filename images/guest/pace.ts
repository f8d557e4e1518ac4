/** How often a guest is looked at: pure. */

/**
 * How long to pause after a look that took `tookMs`: whoever takes seconds for an answer is busy, and each question makes
 * it later. At most a fifth of its time goes into answers, as long as that is no more than `mostMs`. All in milliseconds.
 */
export const pauseAfter = (tookMs: number, leastMs: number, mostMs: number): number => Math.max(leastMs, Math.min(tookMs * 4, mostMs))
