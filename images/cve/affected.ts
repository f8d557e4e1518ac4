/** Whether a version is affected, by the rules of the OSV schema (its section on evaluation). Pure. */
import type { Order } from './order.ts'

export interface Event {
  readonly introduced?: string | undefined
  readonly fixed?: string | undefined
  readonly last_affected?: string | undefined
}

export interface Affected {
  readonly ranges?: readonly { readonly type: string; readonly events: readonly Event[] }[] | undefined
  readonly versions?: readonly string[] | undefined
}

export type Verdict =
  | { readonly kind: 'affected'; readonly fixed: string | undefined }
  | { readonly kind: 'not-affected' }
  /** A version that is none in its ecosystem. */
  | { readonly kind: 'unknown' }

export function judge(version: string, { ranges = [], versions = [] }: Affected, order: Order): Verdict {
  let isUnknown = false
  for (const { type, events } of ranges) {
    // Commits say nothing of a package.
    if (type !== 'ECOSYSTEM' && type !== 'SEMVER') continue
    const verdict = inRange(version, events, order)
    if (verdict.kind === 'affected') return verdict
    if (verdict.kind === 'unknown') isUnknown = true
  }
  if (versions.some((one) => one === version || order(one, version) === 0)) return { kind: 'affected', fixed: undefined }
  return { kind: isUnknown ? 'unknown' : 'not-affected' }
}

type Step = readonly [what: 'introduced' | 'fixed' | 'last_affected', at: string]

const stepsOf = ({ introduced, fixed, last_affected }: Event): Step[] => [
  ...(introduced === undefined ? [] : ([['introduced', introduced]] satisfies Step[])),
  ...(fixed === undefined ? [] : ([['fixed', fixed]] satisfies Step[])),
  ...(last_affected === undefined ? [] : ([['last_affected', last_affected]] satisfies Step[])),
]

function inRange(version: string, events: readonly Event[], order: Order): Verdict {
  /** `0` is before all versions. */
  const against = (at: string, other: string): number | undefined =>
    at === other ? 0 : at === '0' ? -1 : other === '0' ? 1 : order(at, other)
  const steps = events.flatMap(stepsOf)
  if (steps.some(([, at]) => at !== '0' && order(at, version) === undefined)) return { kind: 'unknown' }
  steps.sort(([, a], [, b]) => against(a, b) ?? 0)
  let isAffected = false
  for (const [what, at] of steps) {
    const is = at === '0' ? 1 : (order(version, at) ?? 0)
    if (what === 'introduced' && is >= 0) isAffected = true
    if (what === 'fixed' && is >= 0) isAffected = false
    if (what === 'last_affected' && is > 0) isAffected = false
  }
  if (!isAffected) return { kind: 'not-affected' }
  return { kind: 'affected', fixed: steps.find(([what, at]) => what === 'fixed' && (order(at, version) ?? 0) > 0)?.[1] }
}
