import { createHash } from 'node:crypto'

/** The fingerprint of the first public key: RFC 4880, 12.2 (version 4), its packet's header as 4.2 has it. */
export function fingerprintOf(packets: Buffer): string {
  // Tag 6 in the old format or the new one, with a length of two octets each: so is every RSA key of some size.
  const [tag = 0, first = 0, second = 0] = packets
  if (tag !== 0x99 && tag !== 0xc6) throw new Error(`a packet of another kind: ${tag}`)
  const length = tag === 0x99 ? packets.readUInt16BE(1) : ((first - 192) << 8) + second + 192
  const head = Buffer.from([0x99, length >> 8, length & 0xff])
  return createHash('sha1')
    .update(head)
    .update(packets.subarray(3, 3 + length))
    .digest('hex')
    .toUpperCase()
}
