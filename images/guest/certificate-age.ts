/** When a certificate that is renewed by itself should have been renewed. Pure. */
const day = 86_400_000
const ahead = 20 * day

/**
 * The client renews when a third of its life is left (of a short one a half), and tries twice a day. Whoever has less left
 * than this has not been helped for long: 20 days, of a life under 80 days a quarter.
 */
export const isOverdue = (from: Date, until: Date, now: Date): boolean =>
  until.getTime() - now.getTime() <= Math.min(ahead, (until.getTime() - from.getTime()) / 4)
