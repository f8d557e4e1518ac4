import { expect, it } from 'vitest'
import { consoleTail } from '../../demo/guests.ts'

it('the end of a console is what a person would see of it', () => {
  const log = [
    '\x1b[H\x1b[J[    0.000000] Linux version 6.12\r',
    '\r',
    '[\x1b[0;32m  OK  \x1b[0m] Started \x1b[0;1;39mjournald\x1b[0m.\r',
    '\r[**    ] A start job is running for golden-seed.service (14s / no limit)\r[ *** ] A start job is running for golden-seed.service (15s / no limit)\r',
  ].join('\n')
  expect(consoleTail(log, 2)).toEqual([
    '[  OK  ] Started journald.',
    '[ *** ] A start job is running for golden-seed.service (15s / no limit)',
  ])
  expect(consoleTail(log, 20)[0]).toBe('[    0.000000] Linux version 6.12')
  expect(consoleTail('', 5)).toEqual([])
})
