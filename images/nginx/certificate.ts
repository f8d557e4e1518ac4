/**
 * Which pair of certificate and key nginx shows, in nginx (njs, as gate.ts): asked at each handshake, once for both, so that a
 * new pair counts without a reload. images/guest/certificate.ts writes it.
 */
import fs from 'fs'

const file = '/etc/golden/nginx/tls/current'

/** js_set: what the pair's files are called. Without a pair of an ACME server it is the site's own. */
function name(): string {
  try {
    const found = fs.readFileSync(file, 'utf8').trim()
    return /^acme-[0-9a-f]{16}$/.test(found) ? found : 'public'
  } catch (_error) {
    return 'public'
  }
}

export default { name }
