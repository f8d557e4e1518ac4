/** Whether a container does what it is for, asked as its clients ask: one that only says that it is there may be of no use. */
import { lokiProblem } from './loki-probe.ts'
import type { Machine } from './machine.ts'
import type { Container } from './places.ts'
import { answers } from './probe.ts'

/** Undefined when it works, else what is wrong, or an empty text when it is just silent. */
export async function trouble(machine: Machine, { name, probe }: Container): Promise<string | undefined> {
  if (!(await answers(machine, probe))) return ''
  return name === 'loki' ? lokiProblem(machine, new URL(probe).origin) : undefined
}

/** How long the answer of a whole use counts: Loki keeps a line of each. */
const freshMs = 60_000

/** For who asks every few seconds: what was good in the last minute is only asked whether it is there. */
export function thriftily(
  machine: Machine,
  ask = (container: Container): Promise<string | undefined> => trouble(machine, container),
): (container: Container) => Promise<string | undefined> {
  const good = new Map<string, number>()
  return async (container) => {
    const before = good.get(container.name)
    if (container.name === 'loki' && before !== undefined && machine.uptime() - before < freshMs)
      return (await answers(machine, container.probe)) ? undefined : ''
    const found = await ask(container)
    if (found === undefined) good.set(container.name, machine.uptime())
    else good.delete(container.name)
    return found
  }
}
