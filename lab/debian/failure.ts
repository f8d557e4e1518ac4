import { ExpectedFailure } from '../failure.ts'

/** A Debian root, or what runs in one, can't be had. */
export class DebianFailure extends ExpectedFailure<
  'not-root' | 'program-missing' | 'bootstrap-failed' | 'build-failed' | 'registry-failed'
> {}
