/**
 * What the build VM has brought along for the SBOM (packer/provision/inventory.sh): of the machine and of each container
 * image the files that say what is installed there, in one archive, a folder each.
 */
import { readTar } from '../../core/formats/untar.ts'

/** Paths without a leading slash, and what is in them. */
export type FoundFiles = ReadonlyMap<string, string>

export interface Inventory {
  readonly machine: FoundFiles
  /** By service. */
  readonly containers: ReadonlyMap<string, FoundFiles>
}

/** @throws Error when it is no archive */
export function readInventory(archive: Buffer): Inventory {
  const places = new Map<string, Map<string, string>>()
  for (const { path, content } of readTar(archive)) {
    const [, place, file] = /^(machine|container-[a-z]+)\/(.+)$/.exec(path) ?? []
    if (place === undefined || file === undefined) continue
    const files = places.get(place) ?? new Map<string, string>()
    files.set(file, content.toString('utf8'))
    places.set(place, files)
  }
  const { machine = new Map<string, string>(), ...rest } = Object.fromEntries(places)
  return { machine, containers: new Map(Object.entries(rest).map(([place, files]) => [place.slice('container-'.length), files])) }
}
