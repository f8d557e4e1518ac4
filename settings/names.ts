/** The words that a site, its pins and its guests have in common. */

export const roles = ['serena', 'logging'] as const
export type Role = (typeof roles)[number]
export const slotNames = ['blue', 'green'] as const
export type SlotName = (typeof slotNames)[number]
export const otherSlot = (slot: SlotName): SlotName => (slot === 'blue' ? 'green' : 'blue')
export const transports = ['streamable-http', 'sse'] as const
export type Transport = (typeof transports)[number]

/** How far images have come, worse ones first: each begins as a `candidate`. */
export const channels = ['candidate', 'stable'] as const
export type Channel = (typeof channels)[number]

/** Templates get VMIDs from this range where the site names none. */
export const templateRange = { first: 9000, last: 9099 }
