/**
 * Who is at a group, as a line of its own among whatever else people have written into the description of the group's
 * depot: the one place that all computers see, and that Proxmox changes only for whoever has seen what is in it (`digest`).
 */
import { z } from 'zod'
import type { DeepReadonly } from '../core/deep-readonly.ts'

/** All times are Proxmox's, which all computers can ask for: their own clocks may differ by more than a claim lives. */
const claimSchema = z.object({
  /** Of one run. */
  id: z.string().min(1),
  /** USER@COMPUTER */
  by: z.string(),
  verb: z.string(),
  /** When it began. */
  since: z.iso.datetime(),
  /** From then on it is stale, unless it is renewed before. */
  until: z.iso.datetime(),
  /** For those on the same computer. */
  process: z.object({ pid: z.int(), host: z.string(), started: z.string() }),
})

export type GroupClaim = DeepReadonly<z.infer<typeof claimSchema>>

/** What the line begins with. */
export const claimMark = 'golden-claim:'

const isClaimLine = (line: string): boolean => line.trimStart().startsWith(claimMark)

/** The claim in a description; one that nobody can read is none, and gives way to the next. */
export function claimIn(description: string): GroupClaim | undefined {
  for (const line of description.split('\n').filter(isClaimLine)) {
    try {
      const parsed = claimSchema.safeParse(JSON.parse(line.trimStart().slice(claimMark.length)))
      if (parsed.success) return parsed.data
    } catch {
      /* the next line may be one */
    }
  }
  return undefined
}

/** The description with this claim, in the place of what there was of claims; all other lines stay as they are. */
export function withClaim(description: string, claim: GroupClaim): string {
  const line = `${claimMark} ${JSON.stringify(claim)}`
  if (description === '') return line
  const lines = description.split('\n')
  const at = lines.findIndex(isClaimLine)
  if (at === -1) return `${description}\n${line}`
  return [...lines.slice(0, at), line, ...lines.slice(at + 1).filter((other) => !isClaimLine(other))].join('\n')
}

export const withoutClaim = (description: string): string =>
  description
    .split('\n')
    .filter((line) => !isClaimLine(line))
    .join('\n')

/** @param now by Proxmox's clock */
export const isStale = ({ until }: GroupClaim, now: Date): boolean => Date.parse(until) <= now.getTime()

/** `2026-11-29 15:20:01 UTC` */
export const timeText = (iso: string): string => `${iso.slice(0, 19).replace('T', ' ')} UTC`

/** Control characters, which a terminal would obey: anybody who may write to the depot may have put them there. */
const plain = (text: string): string => text.replace(/\p{C}/gu, '?')

/** Who, at what, since when. */
export const holderText = ({ by, verb, since, process: { pid } }: Pick<GroupClaim, 'by' | 'verb' | 'since' | 'process'>): string =>
  `${plain(by)} ("golden ${plain(verb)}", process ${pid}, since ${timeText(since)})`
