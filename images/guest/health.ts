/** Whether a container does what it is for, asked as its clients ask: one that only says that it is there may be of no use. */
import { lokiProblem } from './loki-probe.ts'
import type { Container } from './places.ts'
import { answers } from './probe.ts'

/** Undefined when it works, else what is wrong, or an empty text when it is just silent. */
export async function trouble({ name, probe }: Container): Promise<string | undefined> {
  if (!(await answers(probe))) return ''
  return name === 'loki' ? lokiProblem(new URL(probe).origin) : undefined
}

/** How long the answer of a whole use counts: Loki keeps a line of each. */
const freshMs = 60_000

/** For who asks every few seconds: what was good in the last minute is only asked whether it is there. */
export function thriftily(
  ask = trouble,
  now: () => number = () => performance.now(),
): (container: Container) => Promise<string | undefined> {
  const good = new Map<string, number>()
  return async (container) => {
    const before = good.get(container.name)
    if (container.name === 'loki' && before !== undefined && now() - before < freshMs)
      return (await answers(container.probe)) ? undefined : ''
    const found = await ask(container)
    if (found === undefined) good.set(container.name, now())
    else good.delete(container.name)
    return found
  }
}
