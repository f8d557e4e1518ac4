/** The nearest of the words that would have been right. */
import { closestMatch } from 'leven'
import { Failure, type UnknownWord } from '../core/failure.ts'

/** @returns the one that begins like it, or else differs by a letter in three, three at most; undefined: there is none */
export function nearest({ said, known }: UnknownWord): string | undefined {
  const word = said.toLowerCase()
  const letters = word.replace(/^-+/, '').length
  const longer = known.filter((one) => letters > 1 && one.toLowerCase().startsWith(word))
  if (longer.length === 1) return longer[0]
  const close = closestMatch(
    word,
    known.map((one) => one.toLowerCase()),
    { maxDistance: Math.min(3, Math.max(1, Math.floor(letters / 2))) },
  )
  return close === undefined ? undefined : known.find((one) => one.toLowerCase() === close)
}

/** The same failure; what somebody may have meant stands before its hint. */
export function withNearest(failure: Failure): Failure {
  const meant = failure.unknown && nearest(failure.unknown)
  return meant === undefined
    ? failure
    : new Failure(failure.code, failure.message, `Did you mean "${meant}"? ${failure.hint}`, { cause: failure })
}
