/**
 * Text that a person hands in, as a file or otherwise: passwords, tokens, certificates. One reader for all of it, so that
 * nobody takes what another one refuses: Node decodes what Go's programs, nginx and bcrypt get byte by byte.
 */

/**
 * `line`: one line that stands for itself, such as a password or a token. `pem`: lines of printable text with PEM in them.
 * `pem-file`: the same in a file that other programs read as it is. `script`: a shell script, with its first line.
 */
export type TextKind = 'line' | 'pem' | 'pem-file' | 'script'

export type PlainText =
  | { readonly ok: true; readonly text: string }
  /** In words that follow "it"; they never quote what was read. */
  | { readonly ok: false; readonly problem: string }

const asUtf8 = 'save it as UTF-8 (in PowerShell: Set-Content -Encoding utf8)'

/** A byte order mark, which editors on Windows write, is taken off; line ends become LF; the last line's end goes from a `line`. */
export function plainText(found: Uint8Array | string, kind: TextKind): PlainText {
  const bytes = typeof found === 'string' ? Buffer.from(found, 'utf8') : found
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)) return bad(`is UTF-16: ${asUtf8}`)
  if (kind !== 'line' && kind !== 'script' && bytes[0] === 0x30 && (bytes[1] ?? 0) >= 0x80)
    return bad('is DER or PKCS#12, a binary form: convert it to PEM with openssl')
  if (bytes.includes(0)) return bad(`holds NUL bytes, so it is binary or UTF-16: ${asUtf8}`)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return bad(`is not UTF-8: ${asUtf8}`)
  }
  // What Node puts where a variable or a program's output was no UTF-8.
  if (text.includes('\ufffd')) return bad(`is not UTF-8: ${asUtf8}`)
  if (text.startsWith('\ufeff')) {
    if (kind === 'pem-file') return bad('begins with a byte order mark, which OpenSSL and Go do not read over: save it without one')
    text = text.slice(1)
  }
  return kind === 'line' ? line(text) : kind === 'script' ? script(text) : pem(text)
}

const bad = (problem: string): PlainText => ({ ok: false, problem })

function line(text: string): PlainText {
  const whole = text.replace(/(\r?\n)+$/, '')
  if (whole.trim() === '') return bad('is empty')
  if (/[\r\n\u2028\u2029]/.test(whole)) return bad('has more than one line')
  if (/[\p{Cc}\p{Cf}]/u.test(whole)) return bad('holds control characters, or characters that nobody sees')
  if (/^\s|\s$/.test(whole)) return bad('begins or ends with a blank, which nobody sees: take it off')
  // As clients send it (RFC 7617 and RFC 8265): an é that was typed as e and an accent is the same.
  return { ok: true, text: whole.normalize('NFC') }
}

function pem(text: string): PlainText {
  const whole = text.replace(/\r\n/g, '\n')
  if (whole.trim() === '') return bad('is empty')
  if (/[^\P{Cc}\n\t]/u.test(whole)) return bad('holds control characters: it is no text in PEM')
  if (!whole.includes('-----BEGIN ')) return bad('is no PEM: there is no line with -----BEGIN')
  return { ok: true, text: `${whole.trimEnd()}\n` }
}

function script(text: string): PlainText {
  const whole = text.replace(/\r\n/g, '\n')
  if (!/^#![ \t]*\/\S*\/sh[ \t]*\n/.test(whole)) return bad('is no shell script: its first line must be #!/bin/sh')
  return { ok: true, text: whole }
}
