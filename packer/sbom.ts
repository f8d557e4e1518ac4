/** The files between which Packer has an image's SBOM made, and the command for it. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { shellWord } from '../core/shell-word.ts'
import type { SbomFacts } from '../images/sbom/bom.ts'
import { languageServerPackages } from '../images/sbom/language-servers.ts'
import type { Rootfs } from '../images/stage.ts'
import type { Inputs } from './inputs.ts'

export interface SbomWork {
  /** Where the build VM's archive is put. */
  readonly inventory: string
  /** What becomes of it. */
  readonly sbom: string
  /** For a shell of this computer. */
  readonly command: string
}

/** @param work a folder of this run only */
export async function prepareSbom(
  work: string,
  name: string,
  built: string,
  { fingerprint, references }: Pick<Inputs, 'fingerprint' | 'references'>,
  { languageServers }: Pick<Rootfs, 'languageServers'>,
): Promise<SbomWork> {
  const facts: SbomFacts = {
    name,
    fingerprint,
    built,
    references,
    languageServers: languageServers === undefined ? [] : await languageServerPackages(),
  }
  const [factsFile, inventory, sbom] = ['sbom-facts.json', 'inventory.tar.gz', 'sbom.cdx.json'].map((file) => join(work, file)) as [
    string,
    string,
    string,
  ]
  await writeFile(factsFile, JSON.stringify(facts))
  const program = [process.execPath, '--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'render-sbom.ts')]
  return { inventory, sbom, command: `exec ${[...program, factsFile, inventory, sbom].map(shellWord).join(' ')}` }
}
