/** How dpkg orders versions (deb-version(7)): runs of what is no digit, then numbers, and a tilde before anything, even the end. */
export function compareVersions(one: string, other: string): number {
  const [a, b] = [one, other].map((text) => {
    const [, epoch = '0', rest = ''] = /^(?:(\d+):)?(.*)$/.exec(text) ?? []
    const at = rest.lastIndexOf('-')
    return [epoch, at < 0 ? rest : rest.slice(0, at), at < 0 ? '0' : rest.slice(at + 1)]
  }) as [string[], string[]]
  for (const [at, part] of a.entries()) {
    const order = compareParts(part, b[at] ?? '')
    if (order !== 0) return order
  }
  return 0
}

/** Of a character, or of the end. */
const rank = (letter: string | undefined): number =>
  letter === undefined ? 0 : letter === '~' ? -1 : /[A-Za-z]/.test(letter) ? letter.charCodeAt(0) : letter.charCodeAt(0) + 256

function compareParts(one: string, other: string): number {
  const split = (text: string): string[] => /^(\D*)(\d*)(.*)$/s.exec(text)?.slice(1) ?? []
  let [a, b] = [one, other]
  while (a !== '' || b !== '') {
    const [wordA = '', numberA = '', restA = ''] = split(a)
    const [wordB = '', numberB = '', restB = ''] = split(b)
    for (let at = 0; at < Math.max(wordA.length, wordB.length); at++) {
      const order = rank(wordA[at]) - rank(wordB[at])
      if (order !== 0) return order
    }
    const order = Number(numberA) - Number(numberB)
    if (order !== 0) return order
    ;[a, b] = [restA, restB]
  }
  return 0
}
