/** The copy of the journal that the log agent reads. */
import { appendFileSync, chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, rmdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { JournalCopy, lastRecord, recordOf, type JournalEntry } from '../../images/guest/journal.ts'

/** How many bytes the disk still takes. */
const disk = vi.hoisted(() => ({ room: Infinity }))
vi.mock('node:fs', async (original) => {
  const real = await original<typeof import('node:fs')>()
  return {
    ...real,
    writeSync(file: number, content: Buffer | string): number {
      const bytes = Buffer.from(content)
      if (disk.room <= 0 && bytes.length > 0) throw new Error('ENOSPC: no space left on device, write')
      const part = real.writeSync(file, bytes.subarray(0, Math.min(bytes.length, disk.room)))
      disk.room -= part
      return part
    },
  }
})

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'golden-journal-'))
})
afterEach(() => {
  disk.room = Infinity
  vi.restoreAllMocks()
  rmSync(folder, { recursive: true, force: true })
})

const entry = (number: number, fields: Partial<JournalEntry> = {}): JournalEntry => ({
  __CURSOR: `c${number}`,
  __REALTIME_TIMESTAMP: `176433120000000${number}`,
  MESSAGE: `line ${number}`,
  PRIORITY: '4',
  SYSLOG_IDENTIFIER: 'sshd',
  _SYSTEMD_UNIT: 'ssh.service',
  ...fields,
})

it('an entry keeps its time to the microsecond, its unit, who wrote it and how bad it is', () => {
  expect(JSON.parse(recordOf(entry(7)))).toEqual({
    time: '2025-11-28T12:00:00.000007Z',
    cursor: 'c7',
    unit: 'ssh.service',
    identifier: 'sshd',
    level: 'warning',
    line: 'line 7',
  })
})

it('what is no text, is there twice or is missing is read all the same', () => {
  const {
    PRIORITY: _,
    _SYSTEMD_UNIT: __,
    ...kernel
  } = entry(1, { MESSAGE: [...Buffer.from('grün\u001b')], SYSLOG_IDENTIFIER: ['kernel', 'other'] })
  expect(JSON.parse(recordOf(kernel))).toEqual({
    time: '2025-11-28T12:00:00.000001Z',
    cursor: 'c1',
    identifier: 'kernel',
    line: 'grün\u001b',
  })
  expect(JSON.parse(recordOf(entry(2, { MESSAGE: null, _SYSTEMD_UNIT: 'session-12.scope' })))).toMatchObject({
    line: '',
    unit: 'session.scope',
  })
})

it('the position is the last whole line, whatever a power failure left behind it', () => {
  const whole = recordOf(entry(1)) + recordOf(entry(2))
  expect(lastRecord(Buffer.from(whole))).toEqual({ cursor: 'c2', torn: 0 })
  expect(lastRecord(Buffer.from(`${whole}{"time":"20`))).toEqual({ cursor: 'c2', torn: 11 })
  expect(lastRecord(Buffer.from(`${whole}\0\0\0\n`))).toEqual({ cursor: 'c2', torn: 0 })
  expect(lastRecord(Buffer.alloc(0))).toEqual({ cursor: undefined, torn: 0 })
})

/** Stands in for journalctl: says what is after the cursor, and ends, or waits for more. Each start of it is a line in `starts`. */
function journalctl(lines: readonly (JournalEntry | string)[], after: 'ends' | 'waits' = 'ends'): string {
  const program = join(folder, 'journalctl')
  writeFileSync(join(folder, 'entries'), lines.map((one) => `${typeof one === 'string' ? one : JSON.stringify(one)}\n`).join(''))
  writeFileSync(
    program,
    `#!/bin/sh
echo start >> ${folder}/starts
for word; do case "$word" in --after-cursor=*) after=\${word#*=} ;; esac; done
if [ -n "$after" ]; then sed "1,/\\"__CURSOR\\":\\"$after\\"/d" ${folder}/entries; else cat ${folder}/entries; fi
${after === 'waits' ? 'exec sleep 60' : ''}
`,
  )
  chmodSync(program, 0o755)
  return program
}

it('a copy that was stopped anywhere goes on behind its last line: nothing twice, nothing lost', async () => {
  const all = Array.from({ length: 6 }, (_, number) => entry(number))
  const place = join(folder, 'copy')
  const file = join(place, 'journal.log')
  for (const known of [2, 4, 6]) {
    const copy = new JournalCopy(place, [journalctl(all.slice(0, known))])
    copy.start()
    await vi.waitUntil(() => !copy.running, { timeout: 60_000 })
    // As if it had been killed in the middle of the next line.
    if (known < 6) appendFileSync(file, recordOf(entry(known)).slice(0, 20))
  }
  expect(readFileSync(file, 'utf8')).toBe(all.map(recordOf).join(''))
})

it('a full disk ends journalctl and nothing else, is said once, and the copy goes on behind its last whole record', async () => {
  const said = vi.spyOn(console, 'error').mockImplementation(() => {})
  const all = Array.from({ length: 6 }, (_, number) => entry(number))
  const records = all.map(recordOf)
  const place = join(folder, 'copy')
  const copy = new JournalCopy(place, [journalctl(all, 'waits')])
  disk.room = records.slice(0, 2).join('').length + 20
  for (let round = 0; round < 3; round++) {
    copy.start()
    await vi.waitUntil(() => !copy.running, { timeout: 10_000 })
  }
  // Who keeps it starts the next one, and nobody else.
  expect(readFileSync(join(folder, 'starts'), 'utf8')).toBe('start\n'.repeat(3))
  expect(said.mock.calls).toEqual([['the copy of the journal: ENOSPC: no space left on device, write']])
  disk.room = Infinity
  new JournalCopy(place, [journalctl(all)]).start()
  await vi.waitUntil(() => readFileSync(join(place, 'journal.log'), 'utf8') === records.join(''), { timeout: 10_000 })
})

it("a record that can't be read is left out, and those behind it are not", async () => {
  const said = vi.spyOn(console, 'error').mockImplementation(() => {})
  const copy = new JournalCopy(join(folder, 'copy'), [
    journalctl([entry(0), 'secret}', { ...entry(1), __REALTIME_TIMESTAMP: 'never' }, entry(2)]),
  ])
  copy.start()
  await vi.waitUntil(() => !copy.running, { timeout: 60_000 })
  expect(readFileSync(join(folder, 'copy/journal.log'), 'utf8')).toBe(recordOf(entry(0)) + recordOf(entry(2)))
  expect(said.mock.calls).toEqual([["the copy of the journal: a record can't be read and is left out"]])
})

it("a file that can't be opened is said, and tried again", async () => {
  const said = vi.spyOn(console, 'error').mockImplementation(() => {})
  const place = join(folder, 'copy')
  mkdirSync(join(place, 'journal.log'), { recursive: true })
  const copy = new JournalCopy(place, [journalctl([entry(0)])])
  copy.start()
  expect([copy.running, said.mock.calls.length]).toEqual([false, 1])
  rmdirSync(join(place, 'journal.log'))
  copy.start()
  await vi.waitUntil(() => !copy.running, { timeout: 60_000 })
  expect(readFileSync(join(place, 'journal.log'), 'utf8')).toBe(recordOf(entry(0)))
})
