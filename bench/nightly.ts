/**
 * What `golden nightly` takes when nothing is new, beside what it can't do without (one request to each source) and what it
 * saves (the bake of the same inputs by Packer). Against the lab with models of guests and sources on this computer, as a
 * user runs it; into `bench/RESULTS.md`.
 */
import { join } from 'node:path'
import type { NightRecord } from '../nightly/night.ts'
import { openPlace, type Place, type SiteFolder } from '../test/flow/place.ts'
import { openSources, type Sources } from '../test/flow/sources.ts'
import { loadText, machineText, writeResults } from './results.ts'

const rounds = 7
/** What a night with nothing new may take. */
const allowed = 5

export interface Measured {
  /** Of each round, in seconds. */
  readonly nights: readonly number[]
  /** The processor's time of the least, in seconds, the kernel's included. */
  readonly processor: number
  readonly roundTrips: readonly number[]
  readonly bake: number
  /** In a night. */
  readonly requests: readonly string[]
  readonly madeVms: boolean
}

const seconds = (value: number): string => `${value < 0.1 ? value.toFixed(3) : value.toFixed(1)} s`
const least = (values: readonly number[]): number => Math.min(...values)
const range = (values: readonly number[]): string => `${seconds(least(values))} (at most ${seconds(Math.max(...values))})`

/** Pure. */
export function resultsText({ nights, processor, roundTrips, bake, requests, madeVms }: Measured, machine: string): string {
  const verdict = least(nights) < allowed ? `under ${allowed} s` : `NOT under ${allowed} s`
  return [
    '## A night with nothing new\n',
    `${machine}; models of guests, sources on this computer; the least of ${nights.length} rounds.\n`,
    '| what | time |',
    '|---|---|',
    `| \`golden nightly\` | ${range(nights)}, of which the processor ${seconds(processor)}: ${verdict} |`,
    `| one request to each source, side by side | ${range(roundTrips)} |`,
    `| the bake of the same inputs by Packer | ${seconds(bake)} |`,
    '',
    `VMs: ${madeVms ? 'MADE' : 'none made'}. Requests to sources in a night: ${requests.length}, ${requests.filter((line) => line.endsWith(' 304')).length} of them answered with "not changed", ${requests.filter((line) => line.startsWith('HEAD ')).length} for the head of a tag.`,
  ].join('\n')
}

export async function bench(): Promise<void> {
  const place = await openPlace()
  const sources = await openSources()
  try {
    const site = await place.site({ layout: 'one-vm' })
    await sources.give(site)
    await site.prepare()
    console.error('a first night, with models of guests …')
    const first = await site.golden('nightly')
    if (first.code !== 10) throw new Error(`the first night ended with ${first.code}:\n${first.stderr}`)
    const made = await measure(place, site, sources)
    console.error('bake the same inputs again …')
    await place.root.task(await place.root.del(`/nodes/pve/qemu/${first.json<NightRecord>().baked?.vmid}`))
    const bake = await timed(() => site.done('bake'))
    const text = resultsText({ ...made, bake }, `${await machineText()}, ${loadText()}`)
    console.log(text)
    await writeResults('nightly', text)
    if (least(made.nights) >= allowed) process.exitCode = 1
  } finally {
    await sources.close()
    await place.close()
  }
}

async function measure(place: Place, site: SiteFolder, sources: Sources): Promise<Omit<Measured, 'bake'>> {
  const before = JSON.stringify(await place.inventory())
  const nights: number[] = []
  const roundTrips: number[] = []
  let processor = Infinity
  for (let round = 1; round <= rounds; round++) {
    console.error(`night ${round} of ${rounds} …`)
    sources.forget()
    const taken = await night(place, site)
    nights.push(taken.all)
    processor = Math.min(processor, taken.processor)
    if (round < rounds) roundTrips.push(await timed(() => sources.roundTrip()))
  }
  return { nights, processor, roundTrips, requests: sources.asked(), madeVms: JSON.stringify(await place.inventory()) !== before }
}

/** In seconds, the launcher's time included. */
async function night({ computer }: Place, site: SiteFolder): Promise<{ readonly all: number; readonly processor: number }> {
  const script = 'TIMEFORMAT="took %R %U %S"; time "$@" >/dev/null'
  const golden = join(computer.clone, 'scripts/golden')
  const { code, stderr } = await computer.run('bash', ['-c', script, 'bash', golden, 'nightly', '--json'], {
    env: { GOLDEN_SITE: site.folder },
  })
  const [, all, user, system] = /^took (\S+) (\S+) (\S+)$/m.exec(stderr) ?? []
  if (code !== 0 || all === undefined) throw new Error(`the night ended with ${code}:\n${stderr}`)
  return { all: Number(all), processor: Number(user) + Number(system) }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return (performance.now() - began) / 1000
}
