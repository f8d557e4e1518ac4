/** OpenPGP signatures, checked by a program of their own (gpgv or sqv): no OpenPGP in here but the frame of its text form. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { starter } from './child.ts'
import { childEnvironment } from './environment.ts'
import { Failure } from './failure.ts'
import { inScratch } from './scratch.ts'

/** Programs that check signatures; one is enough. */
export const verifiers = ['gpgv', 'sqv'] as const

export const noVerifier = (): Failure =>
  new Failure(
    'archive-program-missing',
    'there is neither gpgv nor sqv on PATH, which check signatures',
    'Install one of them: "apt-get install gpgv" or "apt-get install sqv"; GnuPG brings gpgv elsewhere ("brew install gnupg").',
  )

/** The bytes of OpenPGP's text form (RFC 9580, 6.2), one after another; undefined: there is none. */
export function dearmor(armored: string): Buffer | undefined {
  const blocks = [...armored.matchAll(/^-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(?:[^\r\n]+: [^\r\n]*\r?\n)*\r?\n([\s\S]*?)^-----END /gm)]
  if (blocks.length === 0) return undefined
  // The last line of a block may be its checksum.
  return Buffer.concat(blocks.map(([, body = '']) => Buffer.from(body.replaceAll(/^=[^\n]*$/gm, ''), 'base64')))
}

export interface Signed {
  readonly data: string | Uint8Array
  readonly signature: string | Uint8Array
}

/**
 * Whether one of the keys has signed these bytes.
 * @param keys public keys, in OpenPGP's text form
 * @returns undefined: it has; else what the program says
 * @throws Failure `archive-program-missing`, `archive-key-unusable`
 */
export async function signatureProblem({ data, signature }: Signed, keys: string): Promise<string | undefined> {
  const ring = dearmor(keys)
  if (ring === undefined)
    throw new Failure(
      'archive-key-unusable',
      'a key that signatures are checked with is no OpenPGP public key in its text form',
      'Export it with "gpg --armor --export", and correct image.archives in site.ts.',
    )
  return inScratch(async (folder) => {
    const file = (name: string): string => join(folder, name)
    await Promise.all([writeFile(file('ring'), ring), writeFile(file('signature'), signature), writeFile(file('data'), data)])
    const start = await starter()
    const env = { ...childEnvironment(process.env), LC_ALL: 'C' }
    for (const [program, args] of [
      ['gpgv', ['--keyring', file('ring'), '--status-fd', '1', file('signature'), file('data')]],
      ['sqv', ['--keyring', file('ring'), file('signature'), file('data')]],
    ] as const) {
      const ended = await start(program, args, { env, stdin: 'ignore' })
      if (ended.code === 'ENOENT') continue
      const said = `${ended.stderr}`.trim().split('\n').at(-1) ?? ''
      if (program === 'sqv') return ended.exitCode === 0 ? undefined : said || 'no signature of a known key'
      // gpgv fails as soon as one of several signatures is by a key that is not among these: its status lines tell of each.
      const status = [...`${ended.stdout}`.matchAll(/^\[GNUPG:\] (\w+)/gm)].map(([, word]) => word)
      if (status.includes('BADSIG')) return 'the content is not what was signed'
      return status.includes('GOODSIG') && status.includes('VALIDSIG') ? undefined : said || 'no signature of a known key'
    }
    throw noVerifier()
  })
}
