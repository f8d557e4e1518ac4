/** The list of digests that a publisher signs for each release. Without it, or a way to check it, a pinned digest has to do. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Failure } from '../core/failure.ts'
import { signatureProblem } from '../core/openpgp.ts'
import { download, type DownloadOptions } from './download.ts'
import type { SignedSums, Signer } from './pins.ts'
import { fileNameOf } from './sources.ts'

/** The public key of whoever signs, in OpenPGP's text form. */
export type Keys = (signer: Signer) => Promise<string>

/**
 * In tools/keys, where their fingerprints are said and a test holds them against the files. They were taken out of Go
 * modules whose checksums are public: hashicorp.asc of github.com/hashicorp/hc-install v0.10.0 (internal/pubkey),
 * opentofu.asc of github.com/opentofu/tofudl v0.0.1 (branding).
 */
export const ownKeys: Keys = (signer) => readFile(join(import.meta.dirname, 'keys', `${signer}.asc`), 'utf8')

export const fingerprints: Readonly<Record<Signer, string>> = {
  hashicorp: 'C874011F0AB405110D02105534365D9472D7468F',
  opentofu: 'E3E6E43D84CB852EADB0051D0C0AF313E5FD9F80',
}

/** What the signed list says of a file, or why nobody can tell. */
export type SignedDigest = { readonly sha256: string } | { readonly unknown: string }

/**
 * @param folder where the files may lie for the moment
 * @throws Failure `release-signature-wrong` when the list is there and not signed by that key, or does not have the file
 */
export async function signedDigest(
  file: string,
  { sums, signature, by }: SignedSums,
  folder: string,
  keys: Keys,
  options: DownloadOptions,
): Promise<SignedDigest> {
  const [list, proof] = [join(folder, 'sums'), join(folder, 'signature')]
  let problem: string | undefined
  try {
    // Both have ended before anything else happens: the folder is not this function's.
    for (const got of await Promise.allSettled([download(sums, list, options), download(signature, proof, options)]))
      if (got.status === 'rejected') throw got.reason
    problem = await signatureProblem({ data: await readFile(list), signature: await readFile(proof) }, await keys(by))
  } catch (error) {
    if (!(error instanceof Failure) || !['release-unreachable', 'archive-program-missing'].includes(error.code)) throw error
    options.signal?.throwIfAborted()
    return { unknown: error.message }
  }
  if (problem !== undefined) throw wrong(`${fileNameOf(sums)} is not signed by ${by}'s key ${fingerprints[by]}: ${problem}`)
  const line = (await readFile(list, 'utf8')).split('\n').find((text) => text.trim().split(/\s+\*?/)[1] === file)
  const sha256 = line?.trim().split(/\s/)[0] ?? ''
  if (!/^[0-9a-f]{64}$/.test(sha256)) throw wrong(`${fileNameOf(sums)}, which ${by} has signed, has no SHA-256 of ${file}`)
  return { sha256 }
}

const wrong = (what: string): Failure =>
  new Failure('release-signature-wrong', what, 'Find out who serves that before you use any file of it. Nothing was installed.')
