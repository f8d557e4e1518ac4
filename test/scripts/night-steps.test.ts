/** What the night's steps make of what there is. */
import { expect, it } from 'vitest'
import type { GroupPins, Release, RolloutNote } from '../../releases/deployment.ts'
import { lockMessage, unfinishedOf } from '../../scripts/night-steps.ts'
import { renderLock, type Lock } from '../../images/lock.ts'
import { testLock } from '../set-up.ts'

const release = (vmid: number): Release => ({ image: { vmid, name: `image-${vmid}`, fingerprint: '' } }) as Release
const pinsWith = (phase: RolloutNote['phase']): GroupPins => ({
  active: 'blue',
  slots: { blue: release(9001), green: release(9002) },
  rollout: { to: 'green', phase, since: '2026-11-28T02:00:00.000Z' },
})

it.each<[RolloutNote['phase'], number | undefined]>([
  // The slot may still have its release of before.
  ['prepare', undefined],
  ['hand-over', 9002],
  ['watch', 9002],
  ['take-back', 9001],
  ['failed', undefined],
])('of a rollout that stopped at %s the image to finish with is %s', (phase, vmid) => {
  expect(unfinishedOf(pinsWith(phase))?.vmid).toBe(vmid)
})

it('without a rollout there is none to finish', () => {
  const { rollout: _, ...pins } = pinsWith('watch')
  expect(unfinishedOf(pins)).toBe(undefined)
})

it('the message of a commit names what is new, by the lock of before', () => {
  const newer: Lock = {
    ...testLock,
    services: { ...testLock.services, serena: { ...testLock.services.serena, digest: `sha256:${'9'.repeat(64)}` } },
  }
  const { subject, body } = lockMessage(renderLock(testLock), newer)
  expect(subject).toBe('Lock serena')
  expect(body).toContain('- container serena: ')
  expect(lockMessage(renderLock(testLock), testLock).subject).toBe('Keep what the night has made')
  for (const before of [undefined, 'not JSON']) expect(lockMessage(before, testLock).subject).toBe('Lock serena, nginx, otelcol and 1 more')
})
