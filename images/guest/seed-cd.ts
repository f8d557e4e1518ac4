/**
 * Where the seed is. A CD's label is read from the CD itself: the kernel makes its device file, and on a busy host udev,
 * which would make a link of that name, may be a minute later.
 */
import { join } from 'node:path'
import type { Files, Machine } from './machine.ts'

/** As NoCloud wants it; cloud-init takes it in capitals too. */
const isSeed = (label: string | undefined): boolean => label?.toLowerCase() === 'cidata'
const links = ['/dev/disk/by-label/cidata', '/dev/disk/by-label/CIDATA']

export interface CdHost {
  readonly files: Files
  readonly blocks: string
  readonly devices: string
  readonly links: readonly string[]
  /** Whether udev has looked at all that the kernel has found. */
  readonly settled: boolean
}

/** That is asked before anything is looked at: what comes between the two is seen. */
export async function cdHost({ files, run }: Machine): Promise<CdHost> {
  const { status } = await run('udevadm', ['settle', '--timeout=0'])
  return { files, blocks: '/sys/class/block', devices: '/dev', links, settled: status === 0 }
}

/** The name of an ISO 9660 volume (ECMA-119, 8.4: the primary volume descriptor in sector 16); undefined: there is none, or no disc. */
export function volumeLabel(files: Files, device: string): string | undefined {
  try {
    const sector = files.readAt(device, 16 * 2048, 2048)
    if (sector.length < 2048 || sector.toString('latin1', 1, 6) !== 'CD001') return undefined
    return sector.toString('latin1', 40, 72).trim()
  } catch {
    return undefined
  }
}

/**
 * The device of the seed, or undefined where there is none: in the VM in which the image is baked, say.
 * @throws Error while nobody can tell yet: the unit is tried again
 */
export function findSeedCd({ files, blocks, devices, links, settled }: CdHost): string | undefined {
  const drives = files.list(blocks).filter((name) => /^sr\d+$/.test(name))
  const found =
    drives
      .sort()
      .map((name) => join(devices, name))
      .find((device) => isSeed(volumeLabel(files, device))) ?? links.find((link) => files.exists(link))
  if (found === undefined && !settled) throw new Error('no seed CD yet, and udev is still at work')
  return found
}
