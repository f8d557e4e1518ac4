/** Which lines of a text are others, and nothing of the rest: configurations have other people's secrets in them. Pure. */

/** Above it the lines are not compared one by one. */
const most = 2000

export function diffLines(before: string, after: string): string[] {
  const [old, now] = [linesOf(before), linesOf(after)]
  let start = 0
  while (start < old.length && start < now.length && old[start] === now[start]) start++
  let end = 0
  while (end < old.length - start && end < now.length - start && old[old.length - 1 - end] === now[now.length - 1 - end]) end++
  const [gone, come] = [old.slice(start, old.length - end), now.slice(start, now.length - end)]
  if (gone.length === 0 && come.length === 0) return []
  const shared = gone.length > most || come.length > most ? [] : common(gone, come)
  const lines: string[] = [`@@ line ${start + 1} @@`]
  const [left, right] = [[...gone], [...come]]
  for (const line of [...shared, undefined]) {
    while (left.length > 0 && left[0] !== line) lines.push(`- ${left.shift()}`)
    while (right.length > 0 && right[0] !== line) lines.push(`+ ${right.shift()}`)
    if (line === undefined) continue
    left.shift()
    right.shift()
    if (lines.at(-1) !== '  …') lines.push('  …')
  }
  return lines
}

const linesOf = (text: string): string[] => (text === '' ? [] : text.replace(/\r?\n$/, '').split(/\r?\n/))

/** The longest lines in common, in order. */
function common(one: readonly string[], two: readonly string[]): string[] {
  const length = Array.from({ length: one.length + 1 }, () => new Uint16Array(two.length + 1))
  for (let a = one.length - 1; a >= 0; a--)
    for (let b = two.length - 1; b >= 0; b--)
      length[a]![b] = one[a] === two[b] ? length[a + 1]![b + 1]! + 1 : Math.max(length[a + 1]![b]!, length[a]![b + 1]!)
  const found: string[] = []
  for (let [a, b] = [0, 0]; a < one.length && b < two.length; )
    if (one[a] === two[b]) {
      found.push(one[a]!)
      a++
      b++
    } else if (length[a + 1]![b]! >= length[a]![b + 1]!) a++
    else b++
  return found
}
