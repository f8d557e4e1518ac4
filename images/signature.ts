/**
 * Signatures of images' records, by OpenSSH's `ssh-keygen -Y` (PROTOCOL.sshsig). Who may sign is in `allowed-signers` in the
 * site folder, in OpenSSH's own form (ssh-keygen(1), ALLOWED SIGNERS). What a signature proves, and what not, is in
 * docs/security.md.
 */
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { canonical, type Plain } from '../core/canonical.ts'
import { ChildFailure, run } from '../core/child.ts'
import { childEnvironment } from '../core/environment.ts'
import { Failure } from '../core/failure.ts'
import { inScratch } from '../core/scratch.ts'
import type { Site } from '../settings/site.ts'
import type { TemplateRecord } from './record.ts'

/** A signature for another purpose, by the same key, is none. */
export const namespace = 'golden-image'

export const allowedSigners = 'allowed-signers'

/** A line of that file, for one key. @param publicKey as `ssh-keygen` writes it */
export const signerLine = (name: string, publicKey: string): string => {
  const [type = '', key = ''] = publicKey.trim().split(/\s+/)
  return `${name} namespaces="${namespace}" ${type} ${key}\n`
}

/** What is signed: all that the record says. */
export const signedText = ({ signature: _, ...record }: TemplateRecord): string => `${canonical(record as Plain)}\n`

export const unsigned = ({ signature: _, ...record }: TemplateRecord): TemplateRecord => record

export interface Keys {
  readonly site: Pick<Site, 'image'>
  /** The site folder. */
  readonly folder: string
}

const keyFile = ({ site, folder }: Keys): string => resolve(folder, site.image.signingKey)

const aMinute = 60_000

/** @throws ChildFailure; Failure `ssh-keygen-missing` */
async function sshKeygen(args: readonly string[], input?: string): Promise<string> {
  try {
    const { stdout } = await run('ssh-keygen', args, {
      env: childEnvironment(process.env),
      timeoutMs: aMinute,
      ...(input === undefined ? {} : { input }),
    })
    return stdout
  } catch (error) {
    if (!(error instanceof ChildFailure) || !error.missing) throw error
    throw new Failure(
      'ssh-keygen-missing',
      'ssh-keygen, which signs images and verifies signatures, is not on PATH',
      "Install OpenSSH's client programs (package openssh-client), or set image.signed in site.ts to false.",
    )
  }
}

const signingFailed = (what: string, cause: unknown): Failure =>
  new Failure(
    'signing-failed',
    `${what}: ${cause instanceof ChildFailure ? cause.message : String(cause)}`,
    'Mend what ssh-keygen says: the key needs to have no passphrase and to be readable by you alone.',
    { cause },
  )

/** Before anything is made that is to be signed. @throws Failure `signing-key-missing`, `ssh-keygen-missing`, `signing-failed` */
export async function requireSigningKey(keys: Keys): Promise<void> {
  if (!keys.site.image.signed) return
  await sign(keys, 'can it sign?\n')
}

/** @returns the signature, in base64. @throws Failure as `requireSigningKey` */
export async function sign(keys: Keys, text: string): Promise<string> {
  const key = keyFile(keys)
  if (!existsSync(key))
    throw new Failure(
      'signing-key-missing',
      `the key that images are signed with, ${key}, is not there`,
      '"npx golden init" makes one. Where another computer has it, bring it from there; or set image.signed in site.ts to false.',
    )
  try {
    const armored = await sshKeygen(['-q', '-Y', 'sign', '-n', namespace, '-f', key], text)
    return armored.replaceAll(/-----[A-Z ]+-----|\s/g, '')
  } catch (error) {
    if (error instanceof ChildFailure) throw signingFailed(`ssh-keygen can't sign with ${key}`, error)
    throw error
  }
}

/** A record as it is to be written. */
export type Seal = (record: TemplateRecord) => Promise<TemplateRecord>

/** Signs, where the site says so. */
export const sealWith =
  (keys: Keys): Seal =>
  async (record) =>
    keys.site.image.signed ? { ...unsigned(record), signature: await sign(keys, signedText(record)) } : unsigned(record)

export type SignatureState =
  /** @property by as `allowed-signers` calls who signed */
  | { readonly is: 'good'; readonly by: string }
  | { readonly is: 'none' | 'altered' }
  /** @property key its fingerprint, as `ssh-keygen -l` shows it */
  | { readonly is: 'unknown-signer'; readonly key: string }

/** @returns the file that says whose signatures count. @throws Failure `signing-failed` when it is not there */
export function requireSigners(folder: string): string {
  const allowed = join(folder, allowedSigners)
  if (existsSync(allowed)) return allowed
  throw new Failure(
    'signing-failed',
    `${allowed}, which says whose signatures count, is not there`,
    '"npx golden init" makes it; or set image.signed in site.ts to false.',
  )
}

/** @throws Failure `ssh-keygen-missing`, `signing-failed` when there is no `allowed-signers` */
export async function signatureOf(folder: string, record: TemplateRecord): Promise<SignatureState> {
  const { signature } = record
  if (signature === undefined) return { is: 'none' }
  const allowed = requireSigners(folder)
  return inScratch(async (scratch): Promise<SignatureState> => {
    const file = join(scratch, 'record.sig')
    const body = signature.match(/.{1,70}/g)?.join('\n') ?? ''
    await writeFile(file, `-----BEGIN SSH SIGNATURE-----\n${body}\n-----END SSH SIGNATURE-----\n`)
    const text = signedText(record)
    const found = await attempt(() => sshKeygen(['-Y', 'find-principals', '-f', allowed, '-s', file]))
    const by = found?.split('\n')[0]?.split(',')[0]?.trim() ?? ''
    const verify = ['-q', '-Y', 'verify', '-n', namespace, '-f', allowed, '-I', by, '-s', file]
    if (by !== '' && (await attempt(() => sshKeygen(verify, text))) !== undefined) return { is: 'good', by }
    // Whether it is a signature of this text, whoever's: that tells one that was changed from one that is not trusted.
    const whose = await attempt(() => sshKeygen(['-Y', 'check-novalidate', '-n', namespace, '-s', file], text))
    return whose === undefined ? { is: 'altered' } : { is: 'unknown-signer', key: /SHA256:\S+/.exec(whose)?.[0] ?? 'unknown' }
  })
}

/** @returns undefined when ssh-keygen says no */
async function attempt(work: () => Promise<string>): Promise<string | undefined> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof ChildFailure && !error.timedOut) return undefined
    throw error
  }
}
