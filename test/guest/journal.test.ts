/** The copy of the journal that the log agent reads. */
import { appendFileSync, chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { JournalCopy, lastRecord, recordOf, type JournalEntry } from '../../images/guest/journal.ts'

let folder = ''
beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'golden-journal-')) })
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const entry = (number: number, fields: Partial<JournalEntry> = {}): JournalEntry => ({
  __CURSOR: `c${number}`, __REALTIME_TIMESTAMP: `176433120000000${number}`, MESSAGE: `line ${number}`, PRIORITY: '4', SYSLOG_IDENTIFIER: 'sshd', _SYSTEMD_UNIT: 'ssh.service', ...fields,
})

test('an entry keeps its time to the microsecond, its unit, who wrote it and how bad it is', () => {
  expect(JSON.parse(recordOf(entry(7)))).toEqual({ time: '2025-11-28T12:00:00.000007Z', cursor: 'c7', unit: 'ssh.service', identifier: 'sshd', level: 'warning', line: 'line 7' })
})

test('what is no text, is there twice or is missing is read all the same', () => {
  const { PRIORITY: _, _SYSTEMD_UNIT: __, ...kernel } = entry(1, { MESSAGE: [...Buffer.from('grün\u001b')], SYSLOG_IDENTIFIER: ['kernel', 'other'] })
  expect(JSON.parse(recordOf(kernel))).toEqual({ time: '2025-11-28T12:00:00.000001Z', cursor: 'c1', identifier: 'kernel', line: 'grün\u001b' })
  expect(JSON.parse(recordOf(entry(2, { MESSAGE: null, _SYSTEMD_UNIT: 'session-12.scope' })))).toMatchObject({ line: '', unit: 'session.scope' })
})

test('the position is the last whole line, whatever a power failure left behind it', () => {
  const whole = recordOf(entry(1)) + recordOf(entry(2))
  expect(lastRecord(Buffer.from(whole))).toEqual({ cursor: 'c2', torn: 0 })
  expect(lastRecord(Buffer.from(`${whole}{"time":"20`))).toEqual({ cursor: 'c2', torn: 11 })
  expect(lastRecord(Buffer.from(`${whole}\0\0\0\n`))).toEqual({ cursor: 'c2', torn: 0 })
  expect(lastRecord(Buffer.alloc(0))).toEqual({ cursor: undefined, torn: 0 })
})

/** Stands in for journalctl: says what is after the cursor, and ends. */
function journalctl(entries: readonly JournalEntry[]): string {
  const program = join(folder, 'journalctl')
  writeFileSync(join(folder, 'entries'), entries.map((one) => `${JSON.stringify(one)}\n`).join(''))
  writeFileSync(program, `#!/bin/sh
for word; do case "$word" in --after-cursor=*) after=\${word#*=} ;; esac; done
[ -n "$after" ] || exec cat ${folder}/entries
exec sed "1,/\\"__CURSOR\\":\\"$after\\"/d" ${folder}/entries
`)
  chmodSync(program, 0o755)
  return program
}

test('a copy that was stopped anywhere goes on behind its last line: nothing twice, nothing lost', async () => {
  const all = Array.from({ length: 6 }, (_, number) => entry(number))
  const place = join(folder, 'copy')
  const file = join(place, 'journal.log')
  for (const known of [2, 4, 6]) {
    const copy = new JournalCopy(place, [journalctl(all.slice(0, known))])
    copy.start()
    await vi.waitUntil(() => !copy.running)
    // As if it had been killed in the middle of the next line.
    if (known < 6) appendFileSync(file, recordOf(entry(known)).slice(0, 20))
  }
  expect(readFileSync(file, 'utf8')).toBe(all.map(recordOf).join(''))
})
