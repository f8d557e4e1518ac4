import { describe, expect, it } from 'vitest'
import type { RangeVm } from '../../images/catalog.ts'
import type { VmConfig } from '../../proxmox/vm.ts'
import { newestFit } from '../../images/channels.ts'
import { elsewhere, sortRange } from '../../images/catalog.ts'
import { renderRecord, type BaseRecord, type TemplateRecord } from '../../images/record.ts'
import { canonical, sha256 } from '../../core/canonical.ts'
import {
  baseName,
  beginOf,
  buildName,
  cloneName,
  cloneNotes,
  cloneSeedName,
  imageName,
  isSeedName,
  newRun,
  runOf,
} from '../../packer/names.ts'
import { isOurs } from '../../proxmox/ours.ts'
import { baseFingerprint, findLeftovers, isOf, mayGoOn, planBake } from '../../packer/plan.ts'
import { leftoverKeys } from '../../packer/tidy.ts'
import { exampleSite, hash } from '../images/example.ts'

const site = exampleSite()
const fingerprint = hash('f')
const run = '6925a0000001'
const vm = (vmid: number, config: VmConfig): RangeVm => ({ vmid, node: 'pve', config })
const image = (change: Partial<TemplateRecord> = {}): TemplateRecord => ({
  schema: 1,
  kind: 'image',
  site: 'home',
  fingerprint,
  lock: hash('b'),
  base: { os: 'debian-13', sha256: hash('a') },
  built: '2026-11-24T01:00:00Z',
  services: {},
  ...change,
})
const base = (change: Partial<BaseRecord> = {}): BaseRecord => ({
  schema: 1,
  kind: 'base',
  site: 'home',
  fingerprint: baseFingerprint(site),
  base: { os: 'debian-13', sha256: hash('a') },
  built: '2026-11-24T01:00:00Z',
  ...change,
})
const imageVm = (vmid: number, record: TemplateRecord, tags = 'golden;golden-candidate'): RangeVm =>
  vm(vmid, { name: imageName(site, record.fingerprint), description: renderRecord(record), tags, template: 1 })
const baseVm = (vmid: number, record = base(), config: VmConfig = {}): RangeVm =>
  vm(vmid, { name: baseName(site, record.fingerprint), description: renderRecord(record), tags: 'golden-base', template: 1, ...config })

describe('planBake', () => {
  it('has nothing to do for a fingerprint that is there', () => {
    expect(planBake(site, fingerprint, [baseVm(9000), imageVm(9001, image())])).toMatchObject({ kind: 'unchanged', image: { vmid: 9001 } })
  })

  it('bakes from the base that is there', () => {
    expect(planBake(site, fingerprint, [baseVm(9000), imageVm(9001, image({ fingerprint: hash('e') }))])).toEqual({
      kind: 'bake',
      base: { fingerprint: baseFingerprint(site), name: baseName(site, baseFingerprint(site)), vmid: 9000 },
      name: imageName(site, fingerprint),
      leftovers: [],
    })
  })

  it('makes a base of its own when the disk has another size', () => {
    const larger = exampleSite((input) => {
      input.image.build.diskGiB = 32
    })
    expect(planBake(larger, fingerprint, [baseVm(9000)])).toMatchObject({ kind: 'bake', base: { vmid: undefined } })
  })

  it('finishes what Packer had finished', () => {
    expect(planBake(site, fingerprint, [imageVm(9001, image({ unfinished: true, run }), 'golden-base')])).toMatchObject({
      kind: 'finish',
      vmid: 9001,
      leftovers: [],
    })
  })

  it('bakes anew, and removes nothing, when somebody has taken the tag from an image', () => {
    expect(planBake(site, fingerprint, [baseVm(9000), imageVm(9001, image(), 'mine')])).toMatchObject({ kind: 'bake', leftovers: [] })
  })

  it("makes a base of its own when the VM's settings are others", () => {
    expect(baseFingerprint(site)).not.toBe(
      sha256(
        canonical({
          schema: 1,
          os: site.image.base.os,
          sha256: site.image.base.sha256,
          diskGiB: site.image.build.diskGiB,
          storage: site.proxmox.storage.disks,
        }),
      ),
    )
  })

  it("bakes another image, and names the one, when that is on another node or another storage than the site's", () => {
    const here = imageVm(9001, image())
    const away: [RangeVm, string][] = [
      [{ ...here, node: 'pve2' }, 'on node pve2, and proxmox.node is pve'],
      [
        { ...here, config: { ...here.config, scsi0: 'old:base-9001-disk-0,size=16G' } },
        'on storage old, and proxmox.storage.disks is local-lvm',
      ],
    ]
    for (const [vm, where] of away) {
      const plan = planBake(site, fingerprint, [baseVm(9000), vm])
      expect(plan).toMatchObject({ kind: 'bake', base: { vmid: 9000 }, elsewhere: [{ vmid: 9001 }], leftovers: [] })
      expect(elsewhere(site, plan.kind === 'bake' ? (plan.elsewhere?.[0] ?? { node: '' }) : { node: '' })).toBe(where)
      expect(
        planBake(site, fingerprint, [
          vm,
          { ...here, vmid: 9002, config: { ...here.config, scsi0: 'local-lvm:base-9002-disk-0,size=16G' } },
        ]),
      ).toMatchObject({ kind: 'unchanged', image: { vmid: 9002 } })
    }
  })

  it('takes no base of another node, and none of another storage; a base of its own name there is in the way', () => {
    const other = exampleSite((input) => {
      input.proxmox.node = 'pve2'
    })
    expect(baseFingerprint(other)).not.toBe(baseFingerprint(site))
    expect(planBake(other, fingerprint, [baseVm(9000)])).toMatchObject({ kind: 'bake', base: { vmid: undefined } })
    const moved = { ...baseVm(9000), node: 'pve2' }
    expect(planBake(site, fingerprint, [moved])).toMatchObject({
      kind: 'bake',
      base: { vmid: undefined, elsewhere: { vmid: 9000, node: 'pve2' } },
    })
  })

  it('finishes nothing on another node', () => {
    const unfinished = imageVm(9001, image({ unfinished: true, run }), 'golden-base')
    expect(planBake(site, fingerprint, [{ ...unfinished, node: 'pve2' }])).toMatchObject({
      kind: 'bake',
      leftovers: [{ vmid: 9001, node: 'pve2' }],
    })
  })

  it('refuses a revoked image, unless there is another one', () => {
    const revoked = imageVm(9001, image(), 'golden;golden-candidate;golden-revoked')
    expect(planBake(site, fingerprint, [revoked])).toMatchObject({ kind: 'revoked', image: { vmid: 9001 } })
    expect(planBake(site, fingerprint, [revoked, imageVm(9002, image())])).toMatchObject({ kind: 'unchanged', image: { vmid: 9002 } })
  })

  it('makes nothing from a revoked base, whichever template of that base says so, and takes nothing that was made from it', () => {
    const reason = { at: '2026-11-25T01:00:00Z', by: 'ann@desk', reason: 'CVE-2026-1' }
    const other = baseVm(9000, base({ fingerprint: hash('7'), revoked: reason }))
    expect(planBake(site, fingerprint, [other, baseVm(9001)])).toMatchObject({ kind: 'base-revoked', base: { vmid: 9000 } })
    expect(planBake(site, fingerprint, [other, imageVm(9002, image())])).toMatchObject({
      kind: 'revoked',
      image: { vmid: 9002, revokedFor: expect.stringContaining('CVE-2026-1') },
    })
    const elsewhere = base({ base: { os: 'debian-13', sha256: hash('9') }, revoked: reason })
    expect(planBake(site, fingerprint, [baseVm(9000, elsewhere)])).toMatchObject({ kind: 'bake' })
  })
})

describe('findLeftovers', () => {
  it('finds what an ended run left', () => {
    const range = [
      vm(9001, { name: buildName(site, run), description: 'Packer ephemeral build VM', lock: 'clone' }),
      vm(9002, { name: buildName(site, run), description: renderRecord(base()) }),
      baseVm(9003, base({ unfinished: true, run }), { tags: '', template: 0 }),
      imageVm(9004, image({ fingerprint: hash('d'), unfinished: true, run }), 'golden-base'),
    ]
    const begin = Date.UTC(2026, 10, 24, 1)
    expect(findLeftovers(site, range).map(({ vmid, what, ...rest }) => [vmid, what, rest.run, rest.begin, rest.lock])).toEqual([
      [9001, 'build VM', run, 0x6925a000 * 1000, 'clone'],
      [9002, 'build VM', run, 0x6925a000 * 1000, undefined],
      [9003, 'unfinished base', run, begin, undefined],
      [9004, 'unfinished image', run, begin, undefined],
    ])
  })

  it('finds the clones of a verification', () => {
    const clone = {
      name: cloneName(site, run, 1),
      description: cloneNotes(site, 'golden-home-ffffffffffff', 'serena'),
      tags: 'golden;golden-verify',
    }
    expect(findLeftovers(site, [vm(9005, clone)])).toEqual([
      { vmid: 9005, node: 'pve', name: clone.name, what: 'clone', run, begin: 0x6925a000 * 1000, lock: undefined },
    ])
    expect(isOurs(clone)).toBe(true)
    expect(isSeedName(site, cloneSeedName(site, run, 1))).toBe(true)
    expect(runOf(cloneSeedName(site, run, 1))).toBe(run)
  })

  it("tells one run's VM from another's", () => {
    const config = { name: buildName(site, run), description: 'Packer ephemeral build VM' }
    expect(isOf(site, { vmid: 9001, node: 'pve', run })(config)).toBe(true)
    expect(isOf(site, { vmid: 9001, node: 'pve', run: '6925a0000002' })(config)).toBe(false)
    expect(isOf(site, { vmid: 9001, node: 'pve', run })({ ...config, description: 'mine now' })).toBe(false)
  })

  it('counts a bake as going on for six hours, whatever the clocks are', () => {
    const now = Date.UTC(2026, 10, 24, 1)
    const began = (hours: number): boolean => mayGoOn(beginOf(newRun(new Date(now + hours * 3_600_000))), now)
    expect([-7, -5, 0, 5, 7].map(began)).toEqual([false, true, true, true, false])
  })

  it.each<[string, VmConfig]>([
    ['a VM with our name and a description of its own', { name: buildName(site, run), description: 'my experiments' }],
    ['a VM with our name and none', { name: buildName(site, run) }],
    ['a VM that somebody else bakes with Packer', { name: 'debian-build', description: 'Packer ephemeral build VM' }],
    ["another site's build VM", { name: 'golden-build-office-ffffffffffff', description: 'Packer ephemeral build VM' }],
    ['a base in use', { name: baseName(site, base().fingerprint), description: renderRecord(base()), template: 1 }],
    [
      "another site's unfinished base",
      { name: baseName(site, base().fingerprint), description: renderRecord(base({ site: 'office', unfinished: true })) },
    ],
    [
      'a finished image whose tags were edited',
      { name: imageName(site, fingerprint), description: renderRecord(image()), tags: 'mine', template: 1 },
    ],
    ['a clone of a base, with its name', { name: baseName(site, base().fingerprint), description: renderRecord(base()) }],
    ['a finished image', { name: imageName(site, fingerprint), description: renderRecord(image()), tags: 'golden', template: 1 }],
    ["somebody's own clone, with our name", { name: cloneName(site, run, 0), description: renderRecord(image()) }],
    [
      "another site's clone",
      { name: 'golden-verify-office-0-ffffffffffff', description: cloneNotes({ ...site, name: 'office' }, 'x', 'serena') },
    ],
    ['what became a template', { name: cloneName(site, run, 0), description: cloneNotes(site, 'x', 'serena'), template: 1 }],
    ['a clone of an image', { name: imageName(site, fingerprint), description: renderRecord(image()), tags: '' }],
  ])('leaves %s alone', (_what, config) => {
    expect(findLeftovers(site, [vm(9001, config)])).toEqual([])
  })
})

describe('the catalogue', () => {
  const stamp = { at: '2026-11-25T02:00:00Z', by: 'ann@desk' }
  it('ignores what is no image, and says why', () => {
    const { images, ignored } = sortRange([
      imageVm(9001, image({ built: '2026-11-24T01:00:00Z' })),
      imageVm(
        9002,
        image({
          built: '2026-11-25T01:00:00Z',
          fingerprint: hash('e'),
          verify: { passed: true, ...stamp },
          channel: { name: 'stable', ...stamp },
        }),
        'golden;golden-candidate',
      ),
      vm(9003, { name: 'clone', description: renderRecord(image()), tags: 'golden' }),
      vm(9004, { name: 'other', template: 1, tags: 'golden' }),
      imageVm(9005, image({ fingerprint: hash('d') }), ' '),
      imageVm(9006, image({ fingerprint: hash('c'), unfinished: true })),
      // Whoever may set tags promotes and verifies nobody by that.
      imageVm(9007, image({ fingerprint: hash('7'), built: '2026-11-23T01:00:00Z' }), 'golden;golden-stable;golden-verified'),
      imageVm(9008, image({ fingerprint: hash('8'), built: '2026-11-22T01:00:00Z' }), 'golden'),
    ])
    expect(images.map(({ vmid, channel, verification, revoked }) => ({ vmid, channel, verification, revoked }))).toEqual([
      { vmid: 9002, channel: 'stable', verification: 'passed', revoked: false },
      { vmid: 9001, channel: 'candidate', verification: 'none', revoked: false },
      { vmid: 9007, channel: 'candidate', verification: 'none', revoked: false },
      { vmid: 9008, channel: undefined, verification: 'none', revoked: false },
    ])
    expect(ignored.map(({ vmid, reason }) => [vmid, reason])).toEqual([
      [9003, 'is no template'],
      [9004, 'has no description'],
      [9005, 'has no tag golden'],
      [9006, 'is an image that was never finished'],
    ])
  })

  it("offers the newest image of the site's base that is not revoked", () => {
    const other = { os: 'debian-13', sha256: hash('0') }
    const { images } = sortRange([
      imageVm(9001, image({ built: '2026-11-24T01:00:00Z' })),
      imageVm(9002, image({ built: '2026-11-25T01:00:00Z' })),
      imageVm(9003, image({ built: '2026-11-26T01:00:00Z' }), 'golden;golden-candidate;golden-revoked'),
      imageVm(9004, image({ built: '2026-11-27T01:00:00Z', base: other })),
    ])
    expect(newestFit(site.image, images)?.vmid).toBe(9002)
    expect(newestFit({ ...site.image, base: { sha256: hash('9') } }, images)).toBeUndefined()
  })
})

describe('leftoverKeys', () => {
  it('names what Packer leaves, and keeps disks and cards', () => {
    expect(
      leftoverKeys({
        name: 'x',
        scsi0: 'local-lvm:base-9001-disk-0,discard=on,size=16G',
        scsi30: 'none,media=cdrom',
        ide2: 'iso:iso/x.iso,media=cdrom,size=4M',
        net0: 'virtio=BC:24:11:00:23:29,bridge=vmbr0',
        ciuser: 'bake',
        sshkeys: 'ssh-ed25519',
        ipconfig0: 'ip=dhcp',
        unused0: 'local-lvm:vm-9001-disk-1',
        serial0: 'socket',
        boot: 'order=scsi0',
      }),
    ).toEqual(['ciuser', 'ide2', 'ipconfig0', 'scsi30', 'sshkeys', 'unused0'])
  })
})
