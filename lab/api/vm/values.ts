/** Values that PVE changes or checks beyond their format. */
import { randomUUID } from 'node:crypto'
import { fail } from '../errors.ts'
import { splitList } from '../formats.ts'

/** Lower case, each once, sorted. */
export const uniqueTags = (tags: string): string => [...new Set(splitList(tags.toLowerCase()))].sort().join(';')

const keyType = /^(ssh-(rsa|dss|ed25519)|ecdsa-sha2-nistp\d+|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com)$/

/** Looks into the URL-encoded public keys. @throws 500 */
export function requireSshKeys(values: Readonly<Record<string, string>>): void {
  const given = values.sshkeys
  if (given === undefined || given === '') return
  if (given.includes('\n')) fail("unable to parse value of 'sshkeys' - property contains a line feed")
  for (const line of decodeURIComponent(given)
    .split('\n')
    .filter((text) => text.trim() !== '')) {
    const words = line.trim().split(/\s+/)
    const at = words.findIndex((word) => keyType.test(word))
    const body = Buffer.from(words[at + 1] ?? '', 'base64')
    const named = body.length > 4 ? body.subarray(4, 4 + Math.min(body.readUInt32BE(0), 64)).toString() : ''
    if (at < 0 || named !== words[at]) fail('SSH public key validation error')
  }
}

export const newUuid = (): string => randomUUID()
/** The value with its `uuid=` replaced by a new one. */
export function withNewUuid(smbios1: string | undefined): string {
  const rest = (smbios1 ?? '').split(',').filter((part) => part !== '' && !part.startsWith('uuid='))
  return [`uuid=${newUuid()}`, ...rest].join(',')
}
