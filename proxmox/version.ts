/** Which versions of Proxmox VE this project works with. */
import { Failure } from '../core/failure.ts'

export interface Release {
  readonly major: number
  readonly minor: number
}

/** The first that takes a disk image as an import (libpve-storage-perl 8.3.5); all else here is older. */
export const oldestRelease: Release = { major: 8, minor: 4 }

/** Answers of `/version`; undefined for what says no version. */
export function parseRelease(answer: { readonly release?: string; readonly version?: string } | undefined): Release | undefined {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(answer?.release ?? answer?.version ?? '') ?? []
  return major === undefined ? undefined : { major: Number(major), minor: Number(minor) }
}

const text = ({ major, minor }: Release): string => `${major}.${minor}`
const isOld = ({ major, minor }: Release): boolean =>
  major < oldestRelease.major || (major === oldestRelease.major && minor < oldestRelease.minor)

/**
 * @param api what answers the API; it knows the privileges
 * @param node where VMs will run; it asks for them
 * @throws Failure `version-too-old`, `version-mixed`
 */
export function requireRelease(api: Release | undefined, node: Release | undefined): void {
  const old = [api, node].find((release) => release !== undefined && isOld(release))
  if (old !== undefined)
    throw new Failure(
      'version-too-old',
      `this is Proxmox VE ${text(old)}, and ${text(oldestRelease)} is the oldest that works: images are brought in by its import storage`,
      'Upgrade Proxmox VE first. Nothing was touched.',
    )
  // The privileges of guest agents have other names from 9 on, so no role would do for both.
  if (api !== undefined && node !== undefined && api.major !== node.major)
    throw new Failure(
      'version-mixed',
      `this cluster is between versions: what answers is Proxmox VE ${text(api)}, the node has ${text(node)}`,
      'End the upgrade of all nodes, then run the same command again. Nothing was touched.',
    )
}
