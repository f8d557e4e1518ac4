/** Whose access a verb is about. */
import { Failure } from '../core/failure.ts'
import type { Site } from '../settings/site.ts'

type User = Site['serena']['users'][number]

/** @param name as `--user` has it; without one the first. @throws Failure `user-unknown` */
export function findUser(site: Site, name: unknown): User {
  const user = site.serena.users.find((entry) => name === undefined || entry.name === name)
  if (user !== undefined) return user
  const known = site.serena.users.map((entry) => entry.name)
  throw new Failure('user-unknown', `serena.users has no "${String(name)}"`, `Say one of: ${known.join(', ')}.`, {
    unknown: { said: String(name), known },
  })
}
