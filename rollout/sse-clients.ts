/** Clients over SSE: every handover cuts them off, whoever serves afterwards. They are counted before. Pure. */
import type { GuestStatus } from './guest.ts'

/** For people; nothing where there are none. */
export function sseLine(count: GuestStatus['sseClients'] | null): string | undefined {
  if (count === undefined || count === null || count === 0) return undefined
  return `${count} ${count === 1 ? 'client' : 'clients'} over SSE will have to reconnect: a rollout or a rollback cuts them off`
}
