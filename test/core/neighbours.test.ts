/** Who has an address in the LAN. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { askNeighbours, neighboursIn } from '../../core/neighbours.ts'

const { signal } = new AbortController()
const canSplit = spawnSync('unshare', ['--net', 'ip', 'link', 'show']).status === 0

it.skipIf(!canSplit)('those that somebody has answer, those of nobody do not (needs root and iproute2)', () => {
  const ran = spawnSync('unshare', ['--net', '--', process.execPath, join(import.meta.dirname, 'neighbours-calls.ts')], {
    encoding: 'utf8',
  })
  expect(ran.status, ran.stderr).toBe(0)
  const { mac, own, found, doctors } = JSON.parse(ran.stdout)
  expect(own).toEqual(['10.9.0.1/24'])
  expect(found).toEqual({
    '10.9.0.1': { is: 'there', mac: expect.stringMatching(/^[0-9A-F:]{17}$/) },
    '10.9.0.2': { is: 'there', mac },
    '10.9.0.3': { is: 'silent' },
    '10.9.0.7': { is: 'there', mac },
    '10.9.0.200': { is: 'silent' },
    '10.8.0.2': { is: 'unasked', why: 'this computer is not in its network' },
  })
  expect(doctors).toEqual([{ is: 'there', mac }, { is: 'silent' }])
})

it('of the lists of Linux and of macOS only what somebody has answered for counts', () => {
  expect([
    ...neighboursIn(`IP address       HW type     Flags       HW address            Mask     Device
192.168.1.1      0x1         0x2         52:54:00:12:34:5a     *        eth0
192.168.1.9      0x1         0x0         00:00:00:00:00:00     *        eth0
`),
  ]).toEqual([['192.168.1.1', '52:54:00:12:34:5A']])
  expect([
    ...neighboursIn(`? (192.168.1.1) at 0:1b:2c:3d:4e:5f on en0 ifscope [ethernet]
? (192.168.1.9) at (incomplete) on en0 ifscope [ethernet]
`),
  ]).toEqual([['192.168.1.1', '00:1B:2C:3D:4E:5F']])
})

it('where the system does not tell, nothing is said of any address', async () => {
  const here = Object.values((await import('node:os')).networkInterfaces())
    .flatMap((list) => list ?? [])
    .find(({ family, internal, cidr }) => family === 'IPv4' && !internal && cidr !== null)
  const other = here?.address.replace(/\d+$/, (last) => String((Number(last) % 254) + 1)) ?? '192.0.2.1'
  const asked = await askNeighbours([other], { signal, read: () => Promise.reject(new Error('no such file')) })
  expect(asked.get(other)).toMatchObject({ is: 'unasked' })
})
