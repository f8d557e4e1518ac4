/** A certificate for a service of the lab at an IP address, signed by an authority made for it alone. */
import { X509Certificate } from 'node:crypto'
import { mkdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { inRoot, type Root } from './root.ts'

export interface CertificateFiles {
  readonly caFile: string
  readonly certificateFile: string
  /** 0600. */
  readonly keyFile: string
}

/** P-256; the authority's key is in memory only and gone when it has signed, so nobody can make another. */
const SCRIPT = `set -eu
umask 077
cd /run/made
new() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 "$@"; }
new -days 3650 -subj '/CN=serena-golden lab registry CA' -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign \\
  -keyout /tmp/ca.key -out ca.pem
new -days 3650 -subj "/CN=$1" -CA ca.pem -CAkey /tmp/ca.key -addext "subjectAltName=IP:$1" -addext basicConstraints=critical,CA:FALSE \\
  -addext keyUsage=critical,digitalSignature -addext extendedKeyUsage=serverAuth -keyout tls.key -out tls.pem`

/** Returns the files in `folder`/tls; makes them if they are missing, for another address, or valid for less than 30 days. */
export async function certify(root: Root, folder: string, address: string): Promise<CertificateFiles> {
  const tls = join(folder, 'tls')
  const files = { caFile: join(tls, 'ca.pem'), certificateFile: join(tls, 'tls.pem'), keyFile: join(tls, 'tls.key') }
  if (await isGood(files, address)) return files
  const fresh = `${tls}.${process.pid}`
  await mkdir(fresh, { recursive: true, mode: 0o700 })
  try {
    await inRoot(root, ['sh', '-c', SCRIPT, 'certify', address], { binds: [{ from: fresh, to: '/run/made', writable: true }] })
    await rm(tls, { recursive: true, force: true })
    await rename(fresh, tls)
  } finally {
    await rm(fresh, { recursive: true, force: true })
  }
  return files
}

async function isGood({ caFile, certificateFile, keyFile }: CertificateFiles, address: string): Promise<boolean> {
  try {
    const [ca, certificate] = [new X509Certificate(await readFile(caFile)), new X509Certificate(await readFile(certificateFile))]
    await readFile(keyFile)
    const month = 30 * 24 * 3600 * 1000
    return (
      certificate.checkIP(address) === address && certificate.verify(ca.publicKey) && Date.parse(certificate.validTo) - Date.now() > month
    )
  } catch {
    return false // missing or unreadable: made anew
  }
}
