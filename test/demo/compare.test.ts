/** What a demo says of what its guests were asked; that guests answer as the transcript says is tried in test/flow/path.test.ts. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { silent } from '../../core/progress.ts'
import { newChecks, type CheckResult } from '../../demo/checks.ts'
import { checkAsked } from '../../demo/compare.ts'
import { askedFile } from '../../demo/recording.ts'
import type { Recorded } from '../../lab/record.ts'

async function resultOf(asked: readonly Recorded[]): Promise<CheckResult | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'asked-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  await writeFile(join(folder, askedFile), asked.map((each) => `${JSON.stringify(each)}\n`).join(''))
  const checks = newChecks(silent, new AbortController().signal, async () => {})
  await checkAsked(checks, folder)
  return checks.results[0]
}
const exec = (...argv: string[]): Recorded => ({ vmid: 9011, by: 'exec', asker: 'a@pve!b', argv })

it('what flows and demos have asked before may be asked', async () => {
  expect(
    await resultOf([
      exec('/usr/local/sbin/slotctl', 'let-go', '60'),
      exec('/bin/sh', '-c', 'nft flush ruleset'),
      { vmid: 9011, by: 'agent', asker: 'a@pve!b', command: 'guest-ping', args: {}, answer: { result: {} } },
    ]),
  ).toMatchObject({ ok: true })
})

it('anything else is told, with what adds it to the recording', async () => {
  expect(
    await resultOf([exec('/usr/local/sbin/slotctl', 'status'), exec('/bin/sh', '-c', 'systemctl frobnicate x.service')]),
  ).toMatchObject({ ok: false, detail: expect.stringMatching(/npm run record -- .*asked\.jsonl.*: programs: systemctl NAME UNIT$/) })
})

it('a lab that has noted nothing has not been looked at', async () => {
  expect(await resultOf([])).toMatchObject({ ok: false, detail: 'the lab has noted nothing' })
})
