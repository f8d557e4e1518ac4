/** The seed is found by what is on the CD, and "there is none" is said only once that is known. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { renderIso } from '../../core/formats/iso.ts'
import { thisMachine } from '../../images/guest/machine.ts'
import { findSeedCd, volumeLabel, type CdHost } from '../../images/guest/seed-cd.ts'

let place: string
let host: CdHost
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'golden-cd-'))
  for (const name of ['blocks', 'devices']) mkdirSync(join(place, name))
  host = {
    files: thisMachine.files,
    blocks: join(place, 'blocks'),
    devices: join(place, 'devices'),
    links: [join(place, 'link')],
    settled: true,
  }
})
afterEach(() => rmSync(place, { recursive: true, force: true }))

function drive(name: string, disc?: Uint8Array): string {
  writeFileSync(join(place, 'blocks', name), '')
  const device = join(place, 'devices', name)
  if (disc !== undefined) writeFileSync(device, disc)
  return device
}
const files = new Map([['meta-data', 'instance-id: x\n']])

it('a CD is told by its label, whatever else is in a drive', () => {
  drive('sda', renderIso('cidata', files))
  drive('sr0')
  drive('sr1', renderIso('other', files))
  drive('sr2', Buffer.from('no disc of this kind'))
  const seed = drive('sr3', renderIso('CIDATA', files))
  expect(volumeLabel(host.files, join(place, 'devices/sr1'))).toBe('other')
  expect(findSeedCd(host)).toBe(seed)
})

it('udev need not have seen it', () => {
  const seed = drive('sr0', renderIso('cidata', files))
  expect(findSeedCd({ ...host, settled: false })).toBe(seed)
})

it('where there is none that is said once udev has seen everything, and not before', () => {
  drive('sr0')
  expect(findSeedCd(host)).toBeUndefined()
  expect(() => findSeedCd({ ...host, settled: false })).toThrow('udev is still at work')
})

it('a seed on something else is found by the link that udev makes', () => {
  writeFileSync(join(place, 'stick'), '')
  symlinkSync(join(place, 'stick'), join(place, 'link'))
  expect(findSeedCd(host)).toBe(join(place, 'link'))
})
