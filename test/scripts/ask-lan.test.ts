/** Who has an address in the LAN. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { lanWith, neighboursIn } from '../../scripts/ask-lan.ts'

const canSplit = spawnSync('unshare', ['--net', 'ip', 'link', 'show']).status === 0

it.skipIf(!canSplit)('those that somebody has answer, those of nobody do not (needs root and iproute2)', () => {
  const ran = spawnSync('unshare', ['--net', '--', process.execPath, join(import.meta.dirname, 'ask-lan-calls.ts')], { encoding: 'utf8' })
  expect(ran.status, ran.stderr).toBe(0)
  expect(JSON.parse(ran.stdout)).toEqual({ own: ['10.9.0.1/24'], found: ['10.9.0.1', '10.9.0.2', '10.9.0.7'], isElsewhereTold: false })
})

it('of the lists of Linux and of macOS only what somebody has answered for counts', () => {
  expect([
    ...neighboursIn(`IP address       HW type     Flags       HW address            Mask     Device
192.168.1.1      0x1         0x2         52:54:00:12:34:56     *        eth0
192.168.1.9      0x1         0x0         00:00:00:00:00:00     *        eth0
`),
  ]).toEqual(['192.168.1.1'])
  expect([
    ...neighboursIn(`? (192.168.1.1) at 0:1b:2c:3d:4e:5f on en0 ifscope [ethernet]
? (192.168.1.9) at (incomplete) on en0 ifscope [ethernet]
`),
  ]).toEqual(['192.168.1.1'])
})

it('where the system does not tell, nothing is said of any address', async () => {
  const lan = lanWith(() => Promise.reject(new Error('no such file')))
  expect(await lan.ask('0.0.0.0/0', ['192.0.2.1'], new AbortController().signal)).toBeUndefined()
})
