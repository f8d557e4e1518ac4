/** Public SSH keys as people hand them in, checked as ssh-keygen and sshd do (RFC 4253, 5656; OpenSSH's PROTOCOL.u2f). */
import { createPublicKey } from 'node:crypto'

const nistCurves: Readonly<Record<string, { readonly crv: string; readonly bytes: number }>> = {
  nistp256: { crv: 'P-256', bytes: 32 },
  nistp384: { crv: 'P-384', bytes: 48 },
  nistp521: { crv: 'P-521', bytes: 66 },
}
/** sshd takes no shorter ones (RequiredRSASize in sshd_config.d/10-golden.conf). */
export const rsaBits = 2048
/** OpenSSH's own limit, SSHBUF_MAX_BIGNUM. */
const longestNumber = 16_384 / 8

/** Why sshd would not take this line, in words that follow the setting's name; undefined when it would. */
export function sshKeyProblem(line: string): string | undefined {
  if (line.includes('PRIVATE KEY')) return 'is a private key: give the public one, the file that ends in .pub'
  if (/[\r\n]/.test(line)) return 'must be one key in one line: give each key an entry of its own'
  if (/[\p{Cc}\u2028\u2029]/u.test(line)) return 'holds control characters'
  const [, type = '', text = ''] = /^(\S+) ([A-Za-z0-9+/=]+)(?: .*)?$/u.exec(line) ?? []
  if (/-cert-v\d+@openssh\.com$/.test(type)) return 'is a certificate: give the key itself'
  if (!(type in parts)) return 'must be an OpenSSH public key in one line: type, key, comment; without options before it'
  const blob = Buffer.from(text, 'base64')
  if (blob.toString('base64') !== text) return 'is not whole: its middle part is not base64'
  const fields = split(blob)
  if (fields === undefined || fields.length === 0) return 'is not whole: its middle part ends too early'
  const [inner, ...rest] = fields
  if (inner?.toString('latin1') !== type) return `says ${type}, but the key in it is of another type`
  return parts[type]?.(rest)
}

/** The fields of a blob, each with its length before it. */
function split(blob: Buffer): Buffer[] | undefined {
  const fields: Buffer[] = []
  for (let at = 0; at < blob.length; ) {
    if (at + 4 > blob.length) return undefined
    const end = at + 4 + blob.readUInt32BE(at)
    if (end > blob.length) return undefined
    fields.push(blob.subarray(at + 4, end))
    at = end
  }
  return fields
}

type Check = (fields: readonly Buffer[]) => string | undefined

const notWhole = 'is not whole: its middle part is not what its type has'

/** What a security key's key has besides: what it is for, a string of C (sshbuf_get_cstring: a zero only as its end). */
const isApplication = (field: Buffer): boolean => !field.subarray(0, -1).includes(0)

const ed25519 =
  (more: number): Check =>
  ([point, ...others]) =>
    point?.length === 32 && others.length === more && others.every(isApplication) ? undefined : notWhole

const ecdsa =
  (curve: string, more: number): Check =>
  ([name, point, ...others]) => {
    const known = nistCurves[curve]
    if (known === undefined || name?.toString('latin1') !== curve || others.length !== more || !others.every(isApplication)) return notWhole
    if (point?.length !== 1 + 2 * known.bytes || point[0] !== 4) return notWhole
    const half = (at: number): string => point.subarray(1 + at * known.bytes, 1 + (at + 1) * known.bytes).toString('base64url')
    try {
      createPublicKey({ format: 'jwk', key: { kty: 'EC', crv: known.crv, x: half(0), y: half(1) } })
      return undefined
    } catch {
      return 'is not whole: it is no point of its curve'
    }
  }

/** The bits of a number that is not negative, as `mpint` of RFC 4251. */
function bits(number: Buffer | undefined): number | undefined {
  if (number === undefined || (number[0] ?? 0) >= 0x80) return undefined
  const zeros = number.findIndex((byte) => byte !== 0)
  if (zeros === -1) return 0
  const digits = number.subarray(zeros)
  return digits.length <= longestNumber ? digits.length * 8 - Math.clz32(digits[0] ?? 0) + 24 : undefined
}

const rsa: Check = ([exponent, modulus, ...others]) => {
  const size = bits(modulus)
  if (others.length > 0 || size === undefined || bits(exponent) === undefined) return notWhole
  return size >= rsaBits
    ? undefined
    : `is an RSA key of ${size} bits: sshd takes ${rsaBits} and more. Make a new one: ssh-keygen -t ed25519`
}

const parts: Readonly<Record<string, Check>> = {
  'ssh-ed25519': ed25519(0),
  'ssh-rsa': rsa,
  'ecdsa-sha2-nistp256': ecdsa('nistp256', 0),
  'ecdsa-sha2-nistp384': ecdsa('nistp384', 0),
  'ecdsa-sha2-nistp521': ecdsa('nistp521', 0),
  'sk-ssh-ed25519@openssh.com': ed25519(1),
  'sk-ecdsa-sha2-nistp256@openssh.com': ecdsa('nistp256', 1),
}
