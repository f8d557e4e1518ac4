/** Passwords at rest, as scrypt in the PHC string format: the rollout makes them, the guest compares. */
import { randomBytes, scrypt, timingSafeEqual, type ScryptOptions } from 'node:crypto'

/** 16 MiB and some tenths of a second (OWASP, password storage cheat sheet): asked once for each user and boot. */
const cost = { ln: 14, r: 8, p: 5 } as const
const bytes = { salt: 16, hash: 32 } as const

export interface PasswordHash {
  readonly ln: number
  readonly r: number
  readonly p: number
  readonly salt: Buffer
  readonly hash: Buffer
}

/** `$scrypt$ln=14,r=8,p=5$SALT$HASH`, with another salt at every call. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(bytes.salt)
  const hash = await derive(Buffer.from(password), { ...cost, salt, hash: Buffer.alloc(bytes.hash) })
  const base64 = (value: Buffer): string => value.toString('base64').replaceAll('=', '')
  return `$scrypt$ln=${cost.ln},r=${cost.r},p=${cost.p}$${base64(salt)}$${base64(hash)}`
}

/** What takes as long to compare with as any other, and no password is equal to: for users that do not exist. */
export const nobody = (): PasswordHash => ({ ...cost, salt: randomBytes(bytes.salt), hash: randomBytes(bytes.hash) })

/** Lines `user:hash`. @throws Error that names the line by its number: its text is nobody's business */
export function parseUsers(text: string): Map<string, PasswordHash> {
  const users = new Map<string, PasswordHash>()
  for (const [index, line] of text.split('\n').entries()) {
    if (line === '') continue
    const [, user = '', ln, r, p, salt = '', hash = ''] =
      /^([^:]+):\$scrypt\$ln=(\d+),r=(\d+),p=(\d+)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/.exec(line) ?? []
    if (user === '') throw new Error(`line ${index + 1} of the users is no user:$scrypt$…`)
    users.set(user, { ln: Number(ln), r: Number(r), p: Number(p), salt: Buffer.from(salt, 'base64'), hash: Buffer.from(hash, 'base64') })
  }
  return users
}

/** Off the event loop, in Node's threads. */
export const verifyPassword = async (password: Buffer, known: PasswordHash): Promise<boolean> =>
  timingSafeEqual(await derive(password, known), known.hash)

function derive(password: Buffer, { ln, r, p, salt, hash }: PasswordHash): Promise<Buffer> {
  // Node's own limit is just below what 2^14 needs.
  const options: ScryptOptions = { N: 2 ** ln, r, p, maxmem: 256 * 2 ** ln * r }
  return new Promise((resolve, reject) =>
    scrypt(password, salt, hash.length, options, (error, key) => (error ? reject(error) : resolve(key))),
  )
}
