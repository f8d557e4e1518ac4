/** Which setting of site.ts is other than what runs, from what, to what. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { newRelease, type Release } from '../../releases/deployment.ts'
import { changeText, releaseOfToday, settingChanges } from '../../rollout/changes.ts'
import { parseSite, slotNames, type Site } from '../../settings/site.ts'
import { anySite } from '../guest/any-site.ts'
import { exampleSite } from '../images/example.ts'

const origin = { id: '0123456789ab', created: new Date('2026-11-23T12:00:00Z'), image: { vmid: 9001, name: 'i', fingerprint: 'f' } }
const site = exampleSite()
const release = newRelease(site, 'serena', 'blue', origin)
const changed = (edit: Parameters<typeof exampleSite>[0]): string[] =>
  settingChanges(exampleSite(edit), 'serena', 'blue', release).map(changeText)

it('an edit is named with both values', () => {
  expect(changed(() => {})).toEqual([])
  expect(
    changed((input) => {
      input.groups.serena.memoryMiB = 8192
      input.serena.shell = true
      input.serena.users.push({ name: 'you', password: { kind: 'env', name: 'X' } })
      input.network.outgoing = [{ to: '203.0.113.7/32', port: 443 }]
      input.proxmox.vlan = 7
    }),
  ).toEqual([
    'proxmox.vlan: nothing → 7',
    expect.stringMatching(/^groups\.serena\.memoryMiB: \d+ → 8192$/),
    'network.outgoing: none → 203.0.113.7/32:443/tcp',
    'serena.shell: false → true',
    'serena.users: me → me, you',
  ])
})

it('keys are told by their comments, and never shown', () => {
  const [before = '', after = ''] = ['A', 'B'].map((letter) => `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI${letter.repeat(43)} me@laptop`)
  const with_ = (key: string): Site => ({ ...site, ssh: { ...site.ssh, projectKeys: [key] } })
  const pinned = newRelease(with_(before), 'serena', 'blue', origin)
  expect(settingChanges(with_(after), 'serena', 'blue', pinned).map(changeText)).toEqual(['ssh.projectKeys: me@laptop → another me@laptop'])
})

it('what another version of this project would write is said to be that', () => {
  const other: Release = {
    ...release,
    flows: { ...release.flows, flows: release.flows.flows.slice(1).concat(release.flows.flows.slice(0, 1)) },
  }
  expect(settingChanges(site, 'serena', 'blue', other).map(({ setting }) => setting)).toEqual(['the version of this project'])
})

it('whatever is edited, a change is named exactly where the release would be another one', () => {
  const parts = ['network', 'public', 'serena', 'logging', 'ssh', 'proxmox', 'groups'] as const
  let compared = 0
  fc.assert(
    fc.property(anySite, anySite, fc.subarray([...parts]), (one, other, edited) => {
      const before = parseSite(one)
      const edit = Object.fromEntries(edited.map((part) => [part, (other as Record<string, unknown>)[part]]))
      const after = parseSite({ ...one, ...edit })
      if (!before.ok || !after.ok) return
      for (const group of Object.keys(before.site.groups).filter((name) => after.site.groups[name] !== undefined)) {
        for (const slot of slotNames) {
          compared += 1
          const pinned = newRelease(before.site, group, slot, origin)
          const found = settingChanges(after.site, group, slot, pinned)
          const same = JSON.stringify(releaseOfToday(after.site, group, slot, pinned)) === JSON.stringify(pinned)
          expect(found.length > 0, JSON.stringify({ edited, found })).toBe(!same)
          expect(found.map(({ setting }) => setting)).not.toContain('the version of this project')
        }
      }
    }),
    { numRuns: 300 },
  )
  expect(compared).toBeGreaterThan(50)
})
