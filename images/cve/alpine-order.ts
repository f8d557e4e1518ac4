/** Alpine's order of versions: `1.2.3b_rc1-r4`, as apk-tools has it. Pure. */

/** What comes before the version without any, and what comes after it. */
const suffixes = ['alpha', 'beta', 'pre', 'rc', '', 'cvs', 'svn', 'git', 'hg', 'p']

const form = /^(\d+(?:\.\d+)*)([a-z]?)((?:_(?:alpha|beta|pre|rc|cvs|svn|git|hg|p)\d*)*)(?:~[0-9a-f]+)?(?:-r(\d+))?$/

interface Version {
  readonly numbers: readonly string[]
  readonly letter: string
  /** Each as its place in the order, and a number. */
  readonly suffixes: readonly (readonly [number, string])[]
  readonly revision: string
}

/** Below 0: `a` is older than `b`; undefined: one of them is no such version. */
export function compareAlpine(a: string, b: string): number | undefined {
  const [left, right] = [parse(a), parse(b)]
  if (left === undefined || right === undefined) return undefined
  return (
    compareNumbers(left.numbers, right.numbers) ||
    compareTexts(left.letter, right.letter) ||
    compareSuffixes(left, right) ||
    compareNumber(left.revision, right.revision)
  )
}

function parse(text: string): Version | undefined {
  const [, numbers, letter = '', rest = '', revision = '0'] = form.exec(text) ?? []
  if (numbers === undefined) return undefined
  const found = [...rest.matchAll(/_([a-z]+)(\d*)/g)].map(([, name = '', number = '']) => [suffixes.indexOf(name), number] as const)
  return { numbers: numbers.split('.'), letter, suffixes: found, revision }
}

/** After the first, a number that begins with 0 is a fraction. */
function compareNumbers(a: readonly string[], b: readonly string[]): number {
  for (let at = 0; at < Math.max(a.length, b.length); at++) {
    const [left, right] = [a[at], b[at]]
    if (left === undefined || right === undefined) return a.length - b.length
    const isFraction = at > 0 && (left.startsWith('0') || right.startsWith('0'))
    const order = isFraction ? compareTexts(left, right) : compareNumber(left, right)
    if (order !== 0) return order
  }
  return 0
}

function compareSuffixes(a: Version, b: Version): number {
  const none = [suffixes.indexOf(''), ''] as const
  for (let at = 0; at < Math.max(a.suffixes.length, b.suffixes.length); at++) {
    const [left, right] = [a.suffixes[at] ?? none, b.suffixes[at] ?? none]
    const order = left[0] - right[0] || compareNumber(left[1], right[1])
    if (order !== 0) return order
  }
  return 0
}

const compareTexts = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** Of any length. */
function compareNumber(a: string, b: string): number {
  const [left, right] = [a.replace(/^0+/, ''), b.replace(/^0+/, '')]
  return left.length - right.length || compareTexts(left, right)
}
