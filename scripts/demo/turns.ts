/** Takes one piece of work after another, however many come at once. */
export type Turns = <T>(work: () => Promise<T>) => Promise<T>

/** For what is there once and can't serve two at a time. A piece that fails fails alone. */
export function newTurns(): Turns {
  let last: Promise<unknown> = Promise.resolve()
  return (work) => {
    const next = last.then(work)
    last = next.catch(() => {})
    return next
  }
}
