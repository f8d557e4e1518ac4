import { createHash } from 'node:crypto'

/** The fingerprint of the first public key: RFC 4880, 12.2 (version 4), its packet's header as 4.2 has it. */
export function fingerprintOf(packets: Buffer): string {
  // Tag 6, in the old format with a length of one octet or two, or in the new one with two: keys of Ed25519, of RSA, of RSA.
  const [tag = 0, first = 0, second = 0] = packets
  const [start, length] =
    tag === 0x98 ? [2, first] : tag === 0x99 ? [3, packets.readUInt16BE(1)] : tag === 0xc6 ? [3, ((first - 192) << 8) + second + 192] : []
  if (start === undefined || length === undefined) throw new Error(`a packet of another kind: ${tag}`)
  return createHash('sha1')
    .update(Buffer.from([0x99, length >> 8, length & 0xff]))
    .update(packets.subarray(start, start + length))
    .digest('hex')
    .toUpperCase()
}
