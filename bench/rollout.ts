/**
 * The pause that clients notice when slots change, and its parts, beside its floor: Serena's containers stopped and started
 * on one VM, measured in the same run with the same clients. All by the demo, with real guests; into `bench/RESULTS.md`.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { run } from '../core/child.ts'
import { chooseAcceleration } from '../lab/compute/qemu/acceleration.ts'
import { longestCallFigure } from '../demo/move.ts'

const project = join(import.meta.dirname, '..')
const results = join(import.meta.dirname, 'RESULTS.md')
/** What stands between these is this bench's. */
const [begin, end] = ['<!-- rollout -->', '<!-- /rollout -->']

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
  return [begin, `## Rollout\n`, `${machine}\n`, '| what | held | longest call | its parts |', '|---|---|---|---|', ...rows, end].join('\n')
}

/** The text with this bench's part in it, in the place of the one before. Pure. */
export function placed(text: string, part: string): string {
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  return from < 0 || to < from ? `${text.trimEnd()}\n\n${part}\n` : text.slice(0, from) + part + text.slice(to + end.length)
}

export async function bench(): Promise<void> {
  const ran = await execa('scripts/golden', ['demo', '--rollouts', '--json'], {
    cwd: project,
    stdio: ['ignore', 'pipe', 'inherit'],
    reject: false,
  })
  // A demo that was stopped, or could not begin, has said why, and has measured nothing.
  const checks = ran.stdout.startsWith('{') ? (JSON.parse(ran.stdout) as { checks?: readonly Check[] }).checks : undefined
  if (checks === undefined) {
    process.exitCode = 1
    return
  }
  const { stdout: commit } = await run('git', ['-C', project, 'describe', '--always', '--dirty'], { env: process.env })
  const machine = `Commit ${commit.trim()}, ${new Date().toISOString().slice(0, 10)}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}; guests by ${await chooseAcceleration({ log: () => {} })}.`
  const before = await readFile(results, 'utf8').catch(() => '# Results\n\nWritten by `npm run bench -- NAME`.\n')
  await writeFile(results, placed(before, resultsText(checks, machine)))
  console.log(`${results} is written`)
  if (ran.exitCode !== 0) process.exitCode = 1
}
