/**
 * golden-auth.service: answers nginx's `auth_request` over a socket that systemd holds, so that a restart loses nothing.
 * 204 lets in, 401 does not, 403 is "too many of those, wait" (nginx knows no other statuses here and says 429 to the client).
 */
import { existsSync, readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { makeAuthenticator, type Authenticator } from './authenticator.ts'
import { parseUsers, verifyPassword } from './password.ts'

export function authServer(authenticator: Authenticator): Server {
  // nginx gives idle connections up first.
  return createServer({ keepAliveTimeout: 120_000 }, (asked, answer) => {
    const realm = (asked.url ?? '').slice(1)
    if (realm === 'health') return void answer.writeHead(204).end()
    authenticator.check(realm, String(asked.headers['x-golden-address']), asked.headers.authorization).then(
      (verdict) => {
        if (verdict.is === 'known') answer.writeHead(204)
        else if (verdict.is === 'unknown') answer.writeHead(401)
        else answer.writeHead(403, { 'retry-after': String(verdict.seconds) })
        answer.end()
      },
      (error: Error) => {
        console.error(error.message)
        answer.writeHead(500).end()
      },
    )
  })
}

/** One file a realm, and the password of the health check. @param prefix what systemd puts before their names */
export function readAuthenticator(folder: string, prefix = ''): Authenticator {
  const read = (name: string): string | undefined => {
    const file = join(folder, prefix + name)
    return existsSync(file) ? readFileSync(file, 'utf8') : undefined
  }
  const probe = read('probe')
  const realms = new Map(
    ['serena', 'loki'].flatMap((realm) => {
      const text = read(realm)
      return text === undefined ? [] : [[realm, parseUsers(text)] as const]
    }),
  )
  // One core stays free for whoever has been let in.
  const lanes = Math.min(4, Math.max(1, availableParallelism() - 1))
  return makeAuthenticator({
    realms,
    ...(probe === undefined ? {} : { probe }),
    verify: verifyPassword,
    now: () => performance.now(),
    lanes,
  })
}

if (import.meta.main) {
  const folder = process.env.CREDENTIALS_DIRECTORY ?? ''
  // Letting nobody in would look like wrong passwords.
  if (!existsSync(join(folder, 'golden_probe'))) throw new Error(`${folder}: the unit hands nothing over (LoadCredential)`)
  const server = authServer(readAuthenticator(folder, 'golden_'))
  // The first that systemd passes (sd_listen_fds(3)).
  server.listen({ fd: 3 })
}
