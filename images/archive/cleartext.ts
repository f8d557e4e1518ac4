/**
 * The frame of a cleartext-signed file (RFC 9580, 7), taken apart so that what is read is exactly what was checked. The
 * signature itself is checked by core/openpgp.ts.
 */

/** What holds the signed bytes and the signature; undefined: it is no such file, or has more in it than that. */
export function splitCleartext(file: string): { readonly text: string; readonly signature: string } | undefined {
  const lines = file.split('\n')
  if (lines.shift() !== '-----BEGIN PGP SIGNED MESSAGE-----') return undefined
  while (/^Hash: [A-Za-z0-9, ]+$/.test(lines[0] ?? '')) lines.shift()
  if (lines.shift() !== '') return undefined
  const end = lines.indexOf('-----BEGIN PGP SIGNATURE-----')
  if (end < 0) return undefined
  const signature = lines.slice(end)
  while (signature.at(-1) === '') signature.pop()
  if (signature.indexOf('-----END PGP SIGNATURE-----') !== signature.length - 1) return undefined
  const text = lines.slice(0, end)
  // A line that begins with a hyphen stands behind "- ", or it would be a frame of its own.
  if (text.some((line) => line.startsWith('-') && !line.startsWith('- '))) return undefined
  return { text: text.map((line) => line.replace(/^- /, '').replace(/[ \t\r]+$/, '')).join('\n'), signature: `${signature.join('\n')}\n` }
}
