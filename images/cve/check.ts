/** `images cve`: an image's SBOM, as its record vouches for it, against the data of osv.dev. */
import { Failure } from '../../core/failure.ts'
import type { Image } from '../catalog.ts'
import { readSbom, type Sbom } from '../sbom/record.ts'
import { readOsv } from './data.ts'
import { matchSbom, wantedKeys, type CveReport } from './match.ts'
import { suspectsOf } from './suspects.ts'

/** @throws Failure `sbom-missing` */
export async function requireSbom(folder: string, { name, record }: Pick<Image, 'name' | 'record'>): Promise<Sbom> {
  const found =
    record.sbom === undefined
      ? { ok: false as const, problem: 'was never made: it is an image of an earlier version, or was finished elsewhere' }
      : await readSbom(folder, name, record.sbom)
  if (found.ok) return found.sbom
  throw new Failure('sbom-missing', `image ${name}: its SBOM ${found.problem}`, 'Put that file back, or bake another image.')
}

/** Of which ecosystems data is wanted for it, without their releases, sorted. */
export const ecosystemsIn = (sbom: Sbom): string[] =>
  [...new Set(suspectsOf(sbom).flatMap(({ ecosystems = [] }) => ecosystems.map((one) => one.split(':', 1).join(''))))].sort()

/** @throws Failure `osv-missing` where nothing can be judged by what there is: no data, no claim */
export async function checkSbom(sbom: Sbom, osv: string, now: Date, signal: AbortSignal): Promise<CveReport> {
  const suspects = suspectsOf(sbom)
  const report = matchSbom(sbom, suspects, await readOsv(osv, wantedKeys(suspects), signal), now)
  if (report.data.length > 0) return report
  const wanted = [...new Set(suspects.flatMap(({ ecosystems = [] }) => ecosystems.slice(0, 1)))].sort().join(', ')
  throw new Failure(
    'osv-missing',
    `${osv} has no data of anything that is in the image`,
    `It takes that of ${wanted}: unpack it there, or add --download.`,
  )
}
