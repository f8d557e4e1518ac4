/** `golden images cve`: which image, its SBOM, and what is said of it. */
import { Failure } from '../core/failure.ts'
import type { Progress } from '../core/progress.ts'
import { listImages, templateNamed } from '../images/catalog.ts'
import type { CveReport } from '../images/cve/match.ts'
import type { OpenProxmox } from './open.ts'

interface Checking extends Pick<OpenProxmox, 'site' | 'folder' | 'proxmox'> {
  readonly progress: Progress
  readonly signal: AbortSignal
  /** Of what the SBOM has, before: bring the data of today into the folder. @default not */
  readonly download?: { readonly env: NodeJS.ProcessEnv; readonly from?: string }
}

export interface CheckedImage {
  readonly lines: readonly string[]
  readonly document: CveReport & { readonly image: { readonly vmid: number; readonly name: string; readonly fingerprint: string } }
  readonly isFound: boolean
}

/** @param name undefined: the newest one. @throws Failure `no-image`, `image-unknown`, or those of images/cve/ */
export async function checkImage(checking: Checking, name: string | undefined, osv: string): Promise<CheckedImage> {
  const { site, folder, proxmox, progress, signal, download } = checking
  const { images } = await listImages(proxmox, site)
  const image = name === undefined ? images[0] : templateNamed(site, images, name)
  if (image === undefined) throw new Failure('no-image', 'there is no image yet', 'Run "npx golden bake".')
  // Only here: it brings the orders of versions of five ecosystems.
  const { checkSbom, ecosystemsIn, requireSbom } = await import('../images/cve/check.ts')
  const { cveLines } = await import('../images/cve/report.ts')
  const sbom = await requireSbom(folder, image)
  if (download !== undefined) {
    const { downloadOsv } = await import('../images/cve/download.ts')
    const ecosystems = ecosystemsIn(sbom)
    await progress.step(`fetch what osv.dev has of ${ecosystems.join(', ')}`, (note) =>
      downloadOsv({ ...download, folder: osv, ecosystems, signal, note }),
    )
  }
  // By this computer's clock: it is about its data.
  const report = await progress.step('compare with the known vulnerabilities', () => checkSbom(sbom, osv, new Date(), signal))
  const { vmid, record } = image
  return {
    lines: cveLines(`${image.name} (${vmid})`, report),
    document: { ...report, image: { vmid, name: image.name, fingerprint: record.fingerprint } },
    isFound: report.findings.length > 0,
  }
}
