/**
 * The pair of certificate and key that an ACME server has given: on the data disk, in nginx, and from the peer slot. nginx
 * reads it from memory at each handshake (images/nginx/certificate.ts), so that nothing is interrupted by a new one.
 */
import { createHash, createPrivateKey, X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { peerName } from '../contract/files.ts'
import type { Seed } from '../contract/seed.ts'
import type { Files, Machine } from './machine.ts'
import { acmeFolder, owner, peerPairFile, tlsFolder } from './places.ts'
import { replaceFile } from './replace-file.ts'

export interface Pair {
  /** With its issuers, in PEM. */
  readonly certificate: string
  readonly key: string
}

/** Whose pair counts on the data disk; root's, in one piece. */
const pairFile = join(acmeFolder, 'current.json')
/** Which of the pairs in `tlsFolder` nginx shows. */
const pointer = join(tlsFolder, 'current')

const nameOf = ({ certificate }: Pair): string => `acme-${createHash('sha256').update(certificate).digest('hex').slice(0, 16)}`

/** Why nginx must not show it; undefined: it may. Pure. */
export function pairProblem({ certificate, key }: Pair, host: string, now: Date): string | undefined {
  let leaf: X509Certificate
  try {
    leaf = new X509Certificate(certificate)
    if (!leaf.checkPrivateKey(createPrivateKey(key))) return 'its key is not that of the certificate'
  } catch {
    return 'it is no certificate with a key'
  }
  // Clients have not looked at the common name for years.
  const covered = isIP(host) === 0 ? leaf.checkHost(host, { subject: 'never' }) : leaf.checkIP(host)
  if (covered === undefined) return `it is not for ${host}, but for ${leaf.subjectAltName ?? 'no name at all'}`
  return leaf.validToDate < now ? `it ended on ${leaf.validToDate.toISOString()}` : undefined
}

function pairIn(text: string): Pair | undefined {
  try {
    const { certificate, key } = JSON.parse(text) as Partial<Pair>
    return typeof certificate === 'string' && typeof key === 'string' ? { certificate, key } : undefined
  } catch {
    return undefined
  }
}

/** What is on the data disk, if it is whole. */
export const storedPair = (files: Files): Pair | undefined => (files.exists(pairFile) ? pairIn(files.read(pairFile)) : undefined)

export const storePair = (files: Files, pair: Pair): void => replaceFile(files, pairFile, JSON.stringify(pair), 0o600)

/** What nginx shows of an ACME server; undefined: nothing yet. */
export function shownCertificate(files: Files): X509Certificate | undefined {
  if (!files.exists(pointer)) return undefined
  try {
    return new X509Certificate(files.read(join(tlsFolder, `${files.read(pointer).trim()}.pem`)))
  } catch {
    return undefined
  }
}

/**
 * From the next handshake on nginx shows this pair, and tells it to the peer slot where that asks. What is shown already is
 * left as it is. The pair of before stays: a handshake may be at it.
 * @returns whether it is another one than before
 */
export function showPair({ files }: Pick<Machine, 'files'>, pair: Pair): boolean {
  const name = nameOf(pair)
  const before = files.exists(pointer) ? files.read(pointer).trim() : ''
  if (before === name) return false
  const put = (path: string, content: string): void => {
    files.write(`${path}.new`, content, 0o400)
    files.chown(`${path}.new`, owner.nginx, owner.nginx)
    files.rename(`${path}.new`, path)
  }
  put(join(tlsFolder, `${name}.pem`), pair.certificate)
  put(join(tlsFolder, `${name}.key`), pair.key)
  put(pointer, `${name}\n`)
  put(peerPairFile, JSON.stringify(pair))
  for (const file of files.list(tlsFolder))
    if (/^acme-.*\.(pem|key)$/.test(file) && !file.startsWith(`${name}.`) && !file.startsWith(`${before}.`))
      files.remove(join(tlsFolder, file))
  return true
}

/** Has nginx show what is on the data disk. @returns whether it did not before */
export function showStored(machine: Pick<Machine, 'files' | 'now'>, { public: { host } }: Pick<Seed, 'public'>): boolean {
  const pair = storedPair(machine.files)
  return pair !== undefined && pairProblem(pair, host, new Date(machine.now())) === undefined && showPair(machine, pair)
}

/**
 * Asks the peer slot's nginx for its pair, over the connection by which the slots know each other: the key leaves a slot in
 * no other way, and not by nginx on loopback, where others of this host could ask too.
 * @returns undefined: it has none, or none that is good. Rejects where it does not answer
 */
export async function peerPair(machine: Machine, seed: Seed): Promise<Pair | undefined> {
  const identity = { certificate: machine.files.read(join(tlsFolder, 'peer.pem')), key: machine.files.read(join(tlsFolder, 'peer.key')) }
  const reply = await machine.ask({
    to: { host: seed.peer, port: 443 },
    from: seed.address,
    tls: { name: peerName, identity },
    path: '/golden/certificate',
    headers: { host: peerName },
    timeoutMs: 5000,
  })
  const pair = reply.status === 200 ? pairIn(reply.body) : undefined
  return pair === undefined || pairProblem(pair, seed.public.host, new Date(machine.now())) !== undefined ? undefined : pair
}
