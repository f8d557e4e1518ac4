/** Edits of site.ts while something is deployed: no change and reported, or refused with what mends it. */
import { expect, it } from 'vitest'
import { checkEdits, differences } from '../../rollout/edits.ts'
import type { GroupSeen } from '../../rollout/observe.ts'
import { newRelease, parseDeployment, renderDeployment, type Deployment } from '../../releases/deployment.ts'
import { exampleSite } from '../images/example.ts'

type Edit = Parameters<typeof exampleSite>[0]
const logging = {
  roles: ['logging'],
  service: '192.168.1.60',
  depot: 9300,
  slots: { blue: { vmid: 9301, address: '192.168.1.61' }, green: { vmid: 9302, address: '192.168.1.62' } },
}
const site = exampleSite()
const release = newRelease(site, 'serena', 'blue', {
  id: '0123456789ab',
  created: new Date('2026-11-23T12:00:00Z'),
  image: { vmid: 9001, name: 'i', fingerprint: 'f' },
})
const deployment: Deployment = {
  schema: 1,
  groups: { serena: { dataDisk: 'made', depot: 9200, active: 'blue', slots: { blue: release } } },
}
const vm = { there: true as const, digest: 'd', name: 'x', running: true, protected: true, disks: [] }
const seen: GroupSeen = {
  depot: { ...vm, running: false },
  slots: { blue: { ...vm, disks: [{ key: 'scsi1', volume: 'v', gib: 32 }] }, green: { there: false } },
}
const reported = (edit: Edit): string[] => differences(exampleSite(edit), 'serena', deployment.groups.serena, seen)

it('without an edit there is nothing to report, also when the pins come from the file', () => {
  const parsed = parseDeployment(renderDeployment(deployment))
  expect(parsed).toMatchObject({ ok: true })
  if (parsed.ok) expect(differences(site, 'serena', parsed.deployment.groups.serena, seen)).toEqual([])
})

it.each<[string, Edit]>([
  [
    'memory',
    (input) => {
      input.groups.serena.memoryMiB = 8192
    },
  ],
  [
    'a user more',
    (input) => {
      input.serena.users.push({ name: 'you', password: { kind: 'env', name: 'X' } })
    },
  ],
  [
    "a certificate of one's own",
    (input) => {
      input.public.certificate = { chainFile: 'chain.pem', key: { kind: 'file', path: 'key.pem' } }
    },
  ],
  [
    'the node',
    (input) => {
      input.proxmox.node = 'other'
    },
  ],
  [
    'the pool',
    (input) => {
      input.proxmox.pool = 'other'
    },
  ],
  [
    'VMIDs',
    (input) => {
      input.groups.serena.slots.blue.vmid = 9203
    },
  ],
])('%s is reported as something that a new release brings', (_what, edit) => {
  expect(reported(edit)).toEqual([expect.stringContaining('takes effect with "npx golden ')])
  checkEdits(exampleSite(edit), deployment)
})

it.each<[string, Edit, RegExp]>([
  [
    'the depot',
    (input) => {
      input.groups.serena.depot = 9400
    },
    /depot in site\.ts is 9400.*belongs to depot 9200/,
  ],
  [
    'the size of the data disk',
    (input) => {
      input.groups.serena.dataGiB = 64
    },
    /dataGiB in site\.ts is 64.*has 32 GiB/,
  ],
])('%s is reported as something that stays', (_what, edit, text) => {
  expect(reported(edit)).toEqual([expect.stringMatching(text)])
  checkEdits(exampleSite(edit), deployment)
})

it("where a user's password comes from is no difference, and no digest of it is pinned", () => {
  expect(
    reported((input) => {
      input.serena.users[0].password = { kind: 'env', name: 'OTHER' }
    }),
  ).toEqual([])
  expect(release.access).toEqual({ users: ['me'] })
})

it('a release of an earlier version, which does not name its users, does not differ by that', () => {
  const { access: _access, ...before } = release
  expect(differences(site, 'serena', { active: 'blue', slots: { blue: before } }, seen)).toEqual([])
})

it.each<[string, Edit, string, RegExp]>([
  [
    'another name',
    (input) => {
      input.name = 'casa'
    },
    'site-renamed',
    /name: 'home'/,
  ],
  [
    'a group that is gone',
    (input) => {
      input.groups = { team: { ...input.groups.serena, depot: 9400 } }
    },
    'group-unknown',
    /golden destroy serena/,
  ],
  [
    'swapped VMIDs',
    (input) => {
      const { slots } = input.groups.serena
      slots.blue.vmid = 9202
      slots.green.vmid = 9201
    },
    'vmid-pinned',
    /former one/,
  ],
  [
    'another group with a VMID that is in use',
    (input) => {
      input.groups.serena.slots.blue.vmid = 9205
      input.groups.logging = { ...logging, depot: 9201 }
    },
    'vmid-pinned',
    /another VMID/,
  ],
  [
    'another group with an address that is in use',
    (input) => {
      input.groups.serena.service = '192.168.1.70'
      input.groups.logging = { ...logging, service: '192.168.1.50' }
    },
    'address-pinned',
    /another address/,
  ],
])('%s is refused', (_what, edit, code, hint) => {
  expect(() => checkEdits(exampleSite(edit), deployment)).toThrow(expect.objectContaining({ code, hint: expect.stringMatching(hint) }))
})

it("a data disk on another storage than the site's stays there, and that is said", () => {
  const seen = {
    depot: { there: false },
    slots: {
      green: { there: false },
      blue: {
        there: true,
        name: 'home-serena-blue',
        running: true,
        protected: true,
        digest: 'd',
        disks: [{ key: 'scsi1', volume: 'old:vm-9201-disk-0', gib: 32 }],
      },
    },
  } as const
  expect(differences(site, 'serena', { active: 'blue', slots: { blue: release } }, seen)).toEqual([
    expect.stringMatching(/proxmox\.storage\.disks in site\.ts is local-lvm, but the data disk is on old/),
  ])
})

it('a changed node is named with what has to go there', () => {
  expect(
    reported((input) => {
      input.proxmox.node = 'pve2'
    }),
  ).toEqual([expect.stringMatching(/proxmox\.node is pve2.*qm migrate 9200 pve2" on node pve/)])
})
