/** The same lock baked twice from scratch, and both images compared, name by name. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { command } from '../lab/debian/command.ts'
import type { Proxmox } from '../proxmox/client.ts'
import { vmAt } from '../proxmox/vm.ts'
import type { Site } from '../settings/site.ts'
import { expectEqual, expectThat, type Checks } from './checks.ts'
import type { Golden } from './golden.ts'
import { templateDisk } from './template-disk.ts'
import { compareTrees, type Difference } from './tree/compare.ts'
import { readTree } from './tree/read.ts'
import { reasons } from './tree/reasons.ts'

export interface TwicePlace {
  readonly checks: Checks
  readonly site: Site
  /** The lab's root: only this takes a template away that nothing is wrong with. */
  readonly administrator: Proxmox
  readonly golden: Golden
  /** A folder with room for two disks. */
  readonly scratch: string
  readonly signal: AbortSignal
}

/** So many are told one by one. */
const mostTold = 60

/** There is one image: that of the first bake. */
export async function checkTwice({ checks, site, administrator, golden, scratch, signal }: TwicePlace): Promise<void> {
  const { node } = site.proxmox
  const folder = join(scratch, 'twice')
  await mkdir(folder)
  const first = join(folder, 'first.qcow2')
  let fingerprint = ''
  await checks.must("the first image's disk is put aside, and the image removed", async () => {
    const { outcome, template } = await golden('bake')
    expectEqual('outcome', outcome, 'unchanged')
    fingerprint = template.fingerprint
    await command(['qemu-img', 'convert', '-O', 'qcow2', await templateDisk(administrator, node, template.vmid), first], { signal })
    await administrator.task(await vmAt(administrator, node, template.vmid).destroy())
  })
  let second = ''
  await checks.must('golden bake of the same lock, from scratch: an image of the same fingerprint', async () => {
    const { outcome, template } = await golden('bake')
    expectEqual('outcome, fingerprint', [outcome, template.fingerprint], ['baked', fingerprint])
    second = await templateDisk(administrator, node, template.vmid)
  })
  await checks.check('both images hold the same, but for what docs/reproducible.md lists', async () => {
    const trees = [await readTree(first, folder, signal), await readTree(second, folder, signal)] as const
    const { same, explained, unexplained } = compareTrees(...trees, reasons)
    checks.found(`${same} names are the same in both`)
    for (const { why, differences } of explained) checks.found(`${differences.length} ${why}`)
    for (const line of told(unexplained)) checks.found(line)
    expectThat(unexplained.length === 0, `${unexplained.length} differences have no reason that is known`)
  })
}

const told = (differences: readonly Difference[]): string[] => [
  ...differences.slice(0, mostTold).map(({ path, what }) => `${what}: ${path}`),
  ...(differences.length > mostTold ? [`and ${differences.length - mostTold} more`] : []),
]
