/** Passwords for guests, as crypt(5) has them: what a configuration keeps and a cloud-init drive tells. */
import { createHash, randomBytes } from 'node:crypto'

const alphabet = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const sha256 = (...parts: readonly Uint8Array[]): Buffer => parts.reduce((sum, part) => sum.update(part), createHash('sha256')).digest()
/** The bytes of `unit`, over and over, `length` of them. */
const fill = (unit: Buffer, length: number): Buffer => Buffer.alloc(length, unit)

/** SHA-256 crypt with its default of 5000 rounds ("Unix crypt using SHA-256 and SHA-512", Drepper). */
export function sha256Crypt(password: string, salt: string): string {
  const key = Buffer.from(password, 'utf8')
  const grain = Buffer.from(salt, 'utf8')
  const start = sha256(key, grain, key)
  const byBits: Buffer[] = []
  for (let bits = key.length; bits > 0; bits >>>= 1) byBits.push(bits & 1 ? start : key)
  let sum = sha256(key, grain, key.length === 0 ? key : fill(start, key.length), ...byBits)
  const p = key.length === 0 ? key : fill(sha256(...Array<Buffer>(key.length).fill(key)), key.length)
  const s = fill(sha256(...Array<Buffer>(16 + (sum[0] as number)).fill(grain)), grain.length)
  for (let round = 0; round < 5000; round += 1) {
    const odd = round % 2 === 1
    sum = sha256(odd ? p : sum, ...(round % 3 === 0 ? [] : [s]), ...(round % 7 === 0 ? [] : [p]), odd ? sum : p)
  }
  return `$5$${salt}$${encode(sum)}`
}

/** Three bytes are four characters, the lowest six bits first, in crypt's own order of bytes. */
function encode(sum: Buffer): string {
  const digits = (value: number, count: number): string =>
    Array.from({ length: count }, (_, index) => alphabet[(value >>> (6 * index)) & 63]).join('')
  const at = (index: number): number => sum[index] as number
  let text = ''
  let [a, b, c] = [0, 10, 20]
  for (let group = 0; group < 10; group += 1) {
    text += digits((at(a) << 16) | (at(b) << 8) | at(c), 4)
    ;[a, b, c] = [c + 1, a + 1, b + 1]
  }
  return text + digits((at(31) << 8) | at(30), 3)
}

/** A hash stays as it is (PVE::API2::Qemu); an empty value is none. */
export function cryptPassword(password: string): string {
  if (password === '' || /^\$(?:[156]|2[ay])(\$.+){2}/.test(password)) return password
  return sha256Crypt(password, [...randomBytes(8)].map((byte) => alphabet[byte & 63]).join(''))
}
