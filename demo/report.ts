/** What the demo says at its end. */
import { join } from 'node:path'
import type { FailureFacts } from '../core/failure.ts'
import { duration } from '../scripts/render.ts'
import type { CheckResult } from './checks.ts'
import type { DemoResult } from './run.ts'

/** What was left for a look. */
export interface Kept {
  /** Site folders, the one with two VMs first; none where the lab has ended, and only what it left is there. */
  readonly sites: readonly string[]
  readonly labLog: string
  /** The end of a VM's serial console is in here, by VMID. */
  readonly consoles: readonly string[]
}

export interface DemoReport {
  readonly results: readonly CheckResult[]
  readonly seconds: number
  readonly site: DemoResult | undefined
  readonly kept: Kept | undefined
  /** Why the demo ended early. */
  readonly problem: FailureFacts | undefined
}

const stop = 'npm run demo -- --stop'

export function report({ results, seconds, site, kept, problem }: DemoReport): string {
  const failed = results.filter((check) => !check.ok).length
  const skipped = results.filter((check) => check.skipped !== undefined).length
  const carriedOut = results.length - skipped
  const took = duration(seconds * 1000)
  return [
    '',
    'What was checked:',
    ...results.flatMap(checkLines),
    '',
    ...(problem === undefined ? [] : [`The demo ended early: ${problem.message}`, `→ ${problem.hint}`]),
    `${failed === 0 ? `All ${carriedOut} checks held` : `${failed} of ${carriedOut} checks failed`}, in ${took}${skipped === 0 ? '' : `; ${skipped} not run`}.`,
    ...(site === undefined
      ? []
      : [
          '',
          kept === undefined ? 'It ran at (gone again; "npm run demo -- --keep" leaves it running):' : 'It is left running:',
          ...placeLines(site),
        ]),
    ...(kept === undefined ? [] : keptLines(kept, problem !== undefined || failed > 0)),
  ].join('\n')
}

function checkLines({ name, ok, seconds, detail, output, skipped, found }: CheckResult): string[] {
  if (skipped !== undefined) return [`  – ${name}: not run: ${skipped}`]
  return [
    `  ${ok ? '✓' : '✗'} ${name} (${duration(seconds * 1000)})`,
    ...(found ?? []).map((line) => `      ${line}`),
    ...(ok ? [] : (detail ?? '').split('\n').map((line) => `      ${line}`)),
    ...(output ?? []).map((line) => `      │ ${line}`),
  ]
}

const placeLines = ({ urls, user, passwordFile, caFile }: DemoResult): string[] => [
  `  URL            ${urls.join('  ')}`,
  `  user, password ${user}, in ${passwordFile}`,
  `  CA             ${caFile}`,
]

function keptLines({ sites, labLog, consoles }: Kept, toLook: boolean): string[] {
  const [first, ...others] = sites
  const toSee = [...consoles.map((file) => `  tail -n 50 ${file}   # a VM's console`), `  tail -n 50 ${labLog}   # the lab`]
  if (first === undefined)
    return [
      '',
      'The lab has ended. What it left is there for a look at it:',
      ...toSee,
      `  ${stop}                             # removes all of it`,
    ]
  return [
    ...(toLook ? ['', 'Everything is left running for a look at it:'] : []),
    `  export GOLDEN_SITE=${first}`,
    ...others.map((other) => `  export GOLDEN_SITE=${other}   # or: both roles on one VM`),
    '  npx golden status                                  # health, slots, addresses',
    ...(toLook
      ? ['  npx golden deploy                                  # goes on from what is there', ...toSee]
      : ['  npx golden client claude-code --show-password      # settings for your client']),
    `  ${stop}                             # ends it and removes all of it`,
  ]
}

/** @param vmids of all VMs whose console was written to */
export function keptIn(folder: string, sites: readonly string[], vmids: readonly number[]): Kept {
  return {
    sites,
    labLog: join(folder, 'lab.log'),
    consoles: [...vmids].sort((one, other) => one - other).map((vmid) => join(folder, 'lab', 'serial', `${vmid}.log`)),
  }
}
