/**
 * Where the seed is. A CD's label is read from the CD itself: the kernel makes its device file, and on a busy host udev,
 * which would make a link of that name, may be a minute later.
 */
import { spawnSync } from 'node:child_process'
import { closeSync, constants, existsSync, openSync, readdirSync, readSync } from 'node:fs'
import { join } from 'node:path'

/** As NoCloud wants it; cloud-init takes it in capitals too. */
const isSeed = (label: string | undefined): boolean => label?.toLowerCase() === 'cidata'
const links = ['/dev/disk/by-label/cidata', '/dev/disk/by-label/CIDATA']

export interface CdHost {
  readonly blocks: string
  readonly devices: string
  readonly links: readonly string[]
  /** Whether udev has looked at all that the kernel has found. */
  readonly settled: () => boolean
}

const thisHost: CdHost = {
  blocks: '/sys/class/block',
  devices: '/dev',
  links,
  settled: () => spawnSync('udevadm', ['settle', '--timeout=0'], { stdio: 'ignore' }).status === 0,
}

/** The name of an ISO 9660 volume (ECMA-119, 8.4: the primary volume descriptor in sector 16); undefined: there is none, or no disc. */
export function volumeLabel(device: string): string | undefined {
  let file: number | undefined
  try {
    file = openSync(device, constants.O_RDONLY | constants.O_NONBLOCK)
    const sector = Buffer.alloc(2048)
    if (readSync(file, sector, 0, sector.length, 16 * 2048) < sector.length || sector.toString('latin1', 1, 6) !== 'CD001') return undefined
    return sector.toString('latin1', 40, 72).trim()
  } catch {
    return undefined
  } finally {
    if (file !== undefined) closeSync(file)
  }
}

/**
 * The device of the seed, or undefined where there is none: in the VM in which the image is baked, say.
 * @throws Error while nobody can tell yet: the unit is tried again
 */
export function findSeedCd(host = thisHost): string | undefined {
  // Asked first: what comes between the two looks is seen.
  const settled = host.settled()
  const drives = readdirSync(host.blocks).filter((name) => /^sr\d+$/.test(name))
  const found =
    drives
      .sort()
      .map((name) => join(host.devices, name))
      .find((device) => isSeed(volumeLabel(device))) ?? host.links.find((link) => existsSync(link))
  if (found === undefined && !settled) throw new Error('no seed CD yet, and udev is still at work')
  return found
}
