/**
 * The same work for each of a list, so many at once.
 * @returns the results in the list's order @throws what the first of them throws; those that have begun go on, no other begins
 */
export async function sideBySide<T, R>(list: readonly T[], atMost: number, work: (one: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  let next = 0
  let failed = false
  const worker = async (): Promise<void> => {
    while (next < list.length && !failed) {
      const index = next++
      try {
        results[index] = await work(list[index] as T)
      } catch (error) {
        failed = true
        throw error
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(atMost, list.length) }, worker))
  return results
}
