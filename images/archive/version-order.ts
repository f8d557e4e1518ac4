/** Debian's order of versions: `[epoch:]upstream[-revision]`, as deb-version(7) has it. Pure. */

/** Below 0: `a` is older than `b`. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [split(a), split(b)]
  return (
    compareNumbers(left.epoch, right.epoch) || compareTexts(left.upstream, right.upstream) || compareTexts(left.revision, right.revision)
  )
}

/** The last hyphen begins the revision; none is the same as 0. */
function split(version: string): { readonly epoch: string; readonly upstream: string; readonly revision: string } {
  const [, epoch = '', rest = ''] = /^(?:(\d+):)?(.*)$/s.exec(version) ?? []
  const hyphen = rest.lastIndexOf('-')
  return { epoch, upstream: hyphen < 0 ? rest : rest.slice(0, hyphen), revision: hyphen < 0 ? '' : rest.slice(hyphen + 1) }
}

/** Piece by piece: what is no digit by the characters' weights, then a number. */
function compareTexts(a: string, b: string): number {
  const pieces = [...a.matchAll(piece)]
  const others = [...b.matchAll(piece)]
  for (let at = 0; at < Math.max(pieces.length, others.length); at++) {
    const [, text = '', number = ''] = pieces[at] ?? []
    const [, otherText = '', otherNumber = ''] = others[at] ?? []
    const order = compareWeights(text, otherText) || compareNumbers(number, otherNumber)
    if (order !== 0) return order
  }
  return 0
}

const piece = /(\D*)(\d*)/g

function compareWeights(a: string, b: string): number {
  for (let at = 0; at < Math.max(a.length, b.length); at++) {
    const order = weight(a[at]) - weight(b[at])
    if (order !== 0) return order
  }
  return 0
}

/** A tilde comes before the end, the end before letters, and letters before all else. */
function weight(character: string | undefined): number {
  if (character === undefined) return 0
  if (character === '~') return -1
  return /[A-Za-z]/.test(character) ? character.charCodeAt(0) : character.charCodeAt(0) + 256
}

/** Of any length; leading zeros and nothing at all count for nothing. */
function compareNumbers(a: string, b: string): number {
  const [left, right] = [a.replace(/^0+/, ''), b.replace(/^0+/, '')]
  return left.length - right.length || (left < right ? -1 : left > right ? 1 : 0)
}
