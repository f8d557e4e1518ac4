/** The one place in which an image gets to know how its verification ended. */
import type { Image } from '../images/catalog.ts'
import { changeRecord, type Changing } from '../images/change-record.ts'
import type { TemplateRecord, Verification } from '../images/record.ts'
import { sealWith } from '../images/signature.ts'
import { requireTrusted, type Trusting } from '../images/trust.ts'

/** What a record has room for. */
const mostNames = 16
const longestName = 64

/**
 * Keeps it with the image, on the Proxmox host. The record is signed anew, so that only one that was to be trusted is.
 * @throws Failure as `requireTrusted`, `sealWith` and `changeRecord`
 */
export async function keepResult(options: Changing & Trusting, image: Image, { failed = [], ...verdict }: Verification): Promise<void> {
  const seal = sealWith(options)
  const names = failed.slice(0, mostNames).map((name) => name.slice(0, longestName))
  const decide = async (now: Image): Promise<TemplateRecord> => {
    await requireTrusted(options, now)
    return seal({ ...now.record, verify: { ...verdict, ...(names.length === 0 ? {} : { failed: names }) } })
  }
  await changeRecord(options.proxmox, image, decide, options)
}
