/** A key for one bake: made here, known to the build VM's seed and to Packer, gone with the bake. */
import { generateKeyPairSync } from 'node:crypto'

export interface BuildKey {
  /** PKCS #8 PEM, which Packer's SSH reads. */
  readonly privateKey: string
  /** One line, in OpenSSH's form (RFC 8709). */
  readonly publicKey: string
}

export function makeBuildKey(): BuildKey {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const point = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')
  const field = (value: string | Buffer): Buffer => {
    const bytes = Buffer.from(value)
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    return Buffer.concat([length, bytes])
  }
  const blob = Buffer.concat([field('ssh-ed25519'), field(point)])
  return {
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    publicKey: `ssh-ed25519 ${blob.toString('base64')} golden-bake`,
  }
}
