/**
 * The pause that clients notice when slots change, and its parts, beside its floor: Serena's containers stopped and started
 * on one VM, measured in the same run with the same clients. All by the demo, with real guests; into `bench/RESULTS.md`.
 * A whole demo measures the same: what `npm run demo -- --json` has printed may be given instead of running one.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { chooseAcceleration } from '../lab/compute/qemu/acceleration.ts'
import { longestCallFigure } from '../demo/move.ts'
import { machineText, writeResults } from './results.ts'

const project = join(import.meta.dirname, '..')

interface Check {
  readonly name: string
  readonly ok: boolean
  readonly found?: readonly string[]
  readonly figures?: Readonly<Record<string, number>>
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

/** One table of all checks that measured a pause, in the order in which they ran. Pure. */
export function resultsText(checks: readonly Check[], machine: string): string {
  const measured = checks.filter(({ figures }) => figures?.[longestCallFigure] !== undefined)
  const rows = measured.map(({ name, ok, figures = {} }) => {
    const { [longestCallFigure]: longest = 0, ...parts } = figures
    const list = Object.entries(parts).map(([part, ms]) => `${part} ${seconds(ms)}`)
    return `| ${name.replace(/^two VMs: /, '')} | ${ok ? 'yes' : 'NO'} | ${seconds(longest)} | ${list.join(', ')} |`
  })
  return [`## Rollout\n`, `${machine}\n`, '| what | held | longest call | its parts |', '|---|---|---|---|', ...rows].join('\n')
}

async function runDemo(): Promise<{ readonly text: string; readonly held: boolean }> {
  const ran = await execa('scripts/golden', ['demo', '--rollouts', '--json'], {
    cwd: project,
    stdio: ['ignore', 'pipe', 'inherit'],
    reject: false,
  })
  return { text: ran.stdout, held: ran.exitCode === 0 }
}

/** @param document of a demo of this tree, on this computer, with `--json`. @default one is run */
export async function bench(document?: string): Promise<void> {
  const { text, held } = document === undefined ? await runDemo() : { text: await readFile(document, 'utf8'), held: true }
  // A demo that was stopped, or could not begin, has said why, and has measured nothing.
  const checks = text.startsWith('{') ? (JSON.parse(text) as { checks?: readonly Check[] }).checks : undefined
  if (checks === undefined) {
    process.exitCode = 1
    return
  }
  const machine = `${await machineText()}; guests by ${await chooseAcceleration({ log: () => {} })}.`
  await writeResults('rollout', resultsText(checks, machine))
  if (!held) process.exitCode = 1
}
