/** Whether a clone's lines come to Loki, with all that they are to be found by. */
import { setTimeout as pause } from 'node:timers/promises'
import { containersOf, type Clone } from './clones.ts'
import type { Patience, Trying } from './course.ts'
import { slotctl } from './inside.ts'
import { Unfit } from './report.ts'

/** Streams that a clone certainly writes to, by all the labels that its lines should have. Pure. */
export function selectorsOf(clone: Clone): string[] {
  const { seed } = clone.release
  const labels = {
    host: seed.hostname,
    group: seed.group,
    role: seed.roles.join('+'),
    slot: seed.slot,
    image: seed.image.fingerprint.slice(0, 12),
  }
  const streams = [
    ...['nginx_proxy', ...containersOf(clone)].map((name) => ({ job: 'containers', container_name: name })),
    { job: 'journal' },
  ]
  return streams.map(
    (stream) =>
      `{${Object.entries({ ...labels, ...stream })
        .map(([name, value]) => `${name}="${value}"`)
        .join(', ')}}`,
  )
}

/** @param logging the clone with Loki. @throws Unfit */
export async function untilLogged(
  logging: Trying,
  selector: string,
  { logsMs, pauseMs }: Patience,
  note: (text: string) => void,
): Promise<void> {
  const end = performance.now() + logsMs
  for (;;) {
    const { streams = [] } = (await slotctl(logging, 'logs', selector, '120', '1')) as { streams?: readonly unknown[] }
    if (streams.length > 0) return
    if (performance.now() > end) throw new Unfit(`Loki has no line of ${selector}`)
    note(`wait for a line of ${selector}`)
    await pause(pauseMs, undefined, { signal: logging.signal })
  }
}
