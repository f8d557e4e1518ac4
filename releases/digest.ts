/** By which a slot is known to run what is pinned for it. */
import { canonical, sha256, type Plain } from '../core/canonical.ts'
import type { Release } from './deployment.ts'

/** Changes when anything of a release does. */
export const releaseDigest = (one: Release): string => sha256(canonical(one as unknown as Plain))
