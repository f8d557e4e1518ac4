/** The program by which indexes of packages are unpacked, and what to say where it is not on PATH. */
import { Failure } from '../../core/failure.ts'

export const noXz = (): Failure =>
  new Failure(
    'archive-program-missing',
    'there is no xz on PATH, by which indexes of packages are compressed',
    'Install it: "apt-get install xz-utils", or "brew install xz".',
  )
