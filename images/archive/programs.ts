/** The programs by which archives of packages are read and checked, and what to say where they are not on PATH. */
import { Failure } from '../../core/failure.ts'

export const verifiers = ['gpgv', 'sqv'] as const

export const noVerifier = (): Failure =>
  new Failure(
    'archive-program-missing',
    'there is neither gpgv nor sqv on PATH, which check signatures',
    'Install one of them: "apt-get install gpgv" or "apt-get install sqv"; GnuPG brings gpgv elsewhere ("brew install gnupg").',
  )

export const noXz = (): Failure =>
  new Failure(
    'archive-program-missing',
    'there is no xz on PATH, by which indexes of packages are compressed',
    'Install it: "apt-get install xz-utils", or "brew install xz".',
  )
