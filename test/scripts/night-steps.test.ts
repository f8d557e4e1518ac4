/** What the night's steps make of what there is. */
import { describe, expect, it } from 'vitest'
import type { Proxmox } from '../../proxmox/client.ts'
import { newRelease, type GroupPins, type Release, type RolloutNote } from '../../releases/deployment.ts'
import { certificatesIn, lockMessage, unfinishedOf } from '../../scripts/night-steps.ts'
import { renderLock, type Lock } from '../../images/lock.ts'
import { acme } from '../../settings/acme.ts'
import { exampleSite } from '../images/example.ts'
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

describe('certificates', () => {
  const now = new Date('2026-12-01T00:00:00Z')
  const ends = '2029-03-04T00:00:00.000Z'
  const releaseOf = (certificate?: ReturnType<typeof acme>): Release => {
    const site = exampleSite((input) => {
      if (certificate !== undefined) input.public.certificate = certificate
    })
    const image = { vmid: 9000, name: 'golden', fingerprint: 'f' }
    const given = { key: 'k', digests: {}, ends: { 'the public certificate': ends } }
    return { ...newRelease(site, 'serena', 'green', { id: '0123456789ab', created: now, image }), given }
  }
  /** A guest that says this of its certificate; undefined: it does not answer. */
  const saying = (certificate?: object): { proxmox: Proxmox; asked: unknown[] } => {
    const asked: unknown[] = []
    const status = {
      schema: 1,
      release: '0123456789ab',
      image: 'f',
      group: 'serena',
      slot: 'green',
      roles: ['serena'],
      active: true,
      dataDisk: 'mounted',
      services: {},
      missing: [],
      serviceAddress: { address: '192.168.1.50', held: true },
      healthy: true,
      problems: [],
      certificate,
    }
    const agentExec = async (_node: string, vmid: number, words: readonly string[]) => {
      asked.push([vmid, words[1]])
      return certificate === undefined
        ? { exitCode: 1, stdout: '', stderr: '' }
        : { exitCode: 0, stdout: JSON.stringify(status), stderr: '' }
    }
    return { proxmox: { agentExec, now: () => now } as unknown as Proxmox, asked }
  }

  it("are the slot's, where it gets its own from an ACME server, and not the one that stands in for that", async () => {
    const { proxmox, asked } = saying({ shown: { issuer: 'CN=E7', from: '2026-09-12T00:00:00.000Z', until: '2026-12-11T00:00:00.000Z' } })
    expect(await certificatesIn(proxmox, releaseOf(acme()))).toEqual([
      { name: 'the public certificate, by E7, renewed by the slot', ends: '2026-12-11T00:00:00.000Z', daysLeft: 10, due: true },
    ])
    expect(asked).toEqual([[9202, 'status']])
  })

  it('are unknown where that slot does not answer, and nobody is asked where it has none of its own', async () => {
    expect(await certificatesIn(saying().proxmox, releaseOf(acme()))).toMatchObject([{ ends: null, daysLeft: null }])
    const { proxmox, asked } = saying()
    expect(await certificatesIn(proxmox, releaseOf())).toEqual([{ name: 'the public certificate', ends, daysLeft: 824, due: false }])
    expect([await certificatesIn(proxmox, undefined), asked]).toEqual([[], []])
  })
})
