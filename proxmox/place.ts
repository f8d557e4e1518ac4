/** Whether node, storages and bridge are there as the site names them, and can do what is asked of them: looked at before anything begins. */
import { ProxmoxError, type Proxmox } from './client.ts'
import { Failure, together } from '../core/failure.ts'
import { bridgesOf, listNodes } from './nodes.ts'
import { lowSpace } from './space.ts'
import { storageAt, type StorageStatus } from './storage.ts'
import { diskStorageNote, diskStorageProblem, fileStorageProblem, kindOf } from './storage-kinds.ts'

export interface PlaceWanted {
  readonly node: string
  readonly disks: string
  readonly iso: string
  readonly bridge: string
}

export interface PlaceSeen {
  /** In the order in which they should be mended. */
  readonly problems: readonly Failure[]
  /** What works, and differs from the usual. */
  readonly notes: readonly string[]
  /** Why no disk can be imported from the ISO storage, which only a bake that makes a base needs. */
  readonly imports?: Failure | undefined
  /** Whether clones can share the image's disk. */
  readonly linkedClones: boolean
  /** What is left on the storage of disks, in bytes; undefined: it does not say. */
  readonly free?: number | undefined
}

/** Which of the site's storages, by its setting: proxmox.storage.disks or .iso. */
export type StorageSetting = 'disks' | 'iso'

export interface StorageSeen {
  /** Undefined: it is not there, or the token may not use it. */
  readonly status?: StorageStatus
  /** Why the site can't use it. */
  readonly problem?: Failure | undefined
  /** Of the ISO storage: why no disk can be imported from it. */
  readonly imports?: Failure | undefined
  /** What works, and is worth knowing. */
  readonly note?: string | undefined
}

/** With the site's own token. */
export async function lookAtPlace(proxmox: Proxmox, wanted: PlaceWanted): Promise<PlaceSeen> {
  const node = nodeProblem(wanted.node, await listNodes(proxmox))
  // On a node that is not there, nothing is.
  if (node !== undefined) return { problems: [node], notes: [], linkedClones: true }
  const disks = await lookAtStorage(proxmox, wanted, 'disks')
  const iso = await lookAtStorage(proxmox, wanted, 'iso')
  const bridge = await bridgeProblem(proxmox, wanted)
  return {
    problems: [disks.problem, iso.problem, bridge].filter((problem) => problem !== undefined),
    notes: [
      disks.note,
      disks.status !== undefined && disks.status.avail < lowSpace
        ? `storage ${wanted.disks} has only ${Math.round(disks.status.avail / 2 ** 20)} MiB left`
        : undefined,
    ].filter((note) => note !== undefined),
    imports: iso.imports,
    linkedClones: disks.status === undefined || kindOf(disks.status.type).linkedClone,
    free: disks.status?.avail,
  }
}

/** One of the site's storages: whether it is there, of a kind that will do, active, and enabled for what it holds. */
export async function lookAtStorage(proxmox: Proxmox, wanted: PlaceWanted, setting: StorageSetting): Promise<StorageSeen> {
  const storage = wanted[setting]
  const status = await statusOf(proxmox, wanted.node, storage, setting)
  if (status instanceof Failure) return { problem: status }
  const named = { storage, type: status.type }
  const note = setting === 'disks' ? diskStorageNote(named) : undefined
  const kind = setting === 'disks' ? diskStorageProblem(named) : fileStorageProblem(named)
  if (kind !== undefined) return { status, note, problem: new Failure(kind.code, kind.message, kind.hint) }
  if (status.active !== 1 || status.enabled === 0)
    return {
      status,
      note,
      problem: new Failure(
        'storage-inactive',
        `storage ${storage} (proxmox.storage.${setting}) is not active on node ${wanted.node}`,
        'Enable it in Proxmox.',
      ),
    }
  const lacks = (content: string): Failure | undefined =>
    status.content.split(',').includes(content)
      ? undefined
      : new Failure(
          'storage-content',
          `storage ${storage} (proxmox.storage.${setting}) is not enabled for ${content}`,
          'Run "npx golden setup", or choose another storage in site.ts.',
        )
  if (setting === 'disks') return { status, note, problem: lacks('images') }
  return { status, problem: lacks('iso'), imports: lacks('import') }
}

/**
 * The same for whoever can't go on with a problem: the first one is thrown, the others are warned of.
 * @throws Failure `node-missing`, `node-offline`, `storage-missing`, `storage-kind`, `storage-inactive`, `storage-content`, `bridge-missing`
 */
export async function requirePlace(proxmox: Proxmox, wanted: PlaceWanted, warn: (text: string) => void): Promise<PlaceSeen> {
  const seen = await lookAtPlace(proxmox, wanted)
  const [first, ...more] = seen.problems
  for (const one of more) warn(`${one.message}. ${one.hint}`)
  if (first !== undefined) throw together(first, more)
  for (const note of seen.notes) warn(note)
  return seen
}

/** Proxmox knows nodes by their short names only, and says of another one that it can't resolve it. */
export function nodeProblem(wanted: string, nodes: readonly { readonly node: string; readonly status: string }[]): Failure | undefined {
  const found = nodes.find((entry) => entry.node === wanted)
  if (found === undefined) {
    const short = nodes.find(({ node }) => wanted.startsWith(`${node}.`))
    const hint =
      short === undefined
        ? `Set proxmox.node in site.ts to one of: ${nodes.map((entry) => entry.node).join(', ')}.`
        : `Set proxmox.node in site.ts to ${short.node}: Proxmox knows a node by its short name.`
    return new Failure('node-missing', `this Proxmox has no node ${wanted} (proxmox.node)`, hint)
  }
  return found.status === 'online'
    ? undefined
    : new Failure('node-offline', `node ${wanted} (proxmox.node) is ${found.status}`, 'Start that node, then run the same command again.')
}

/** Of bridges and vnets Proxmox lists those that the token may use. */
export async function bridgeProblem(proxmox: Proxmox, { node, bridge }: PlaceWanted): Promise<Failure | undefined> {
  const usable = await bridgesOf(proxmox, node)
  if (usable.includes(bridge)) return undefined
  const others = usable.length === 0 ? 'none' : usable.join(', ')
  return new Failure(
    'bridge-missing',
    `node ${node} has no bridge or vnet ${bridge} (proxmox.bridge), or the token may not use it; it may use: ${others}`,
    'Correct proxmox.bridge in site.ts; or run "npx golden setup" again, which gives the token its rights there.',
  )
}

/** PVE says 500 for a storage that does not exist, and 403 to a token that has no rights on it. */
async function statusOf(proxmox: Proxmox, node: string, storage: string, setting: string): Promise<StorageStatus | Failure> {
  try {
    return await storageAt(proxmox, node, storage).status()
  } catch (error) {
    if (!(error instanceof ProxmoxError) || ![400, 403, 500].includes(error.status)) throw error
    return new Failure(
      'storage-missing',
      `storage ${storage} (proxmox.storage.${setting}) is not there on node ${node}, or the token may not use it: ${error.message}`,
      `Correct proxmox.storage.${setting} in site.ts, or run "npx golden setup" again: it gives the token its rights there.`,
      { cause: error },
    )
  }
}
