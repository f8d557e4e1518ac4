/** The lab imports nothing of the product, so its failures are of its own types; here they cross over. */
import { Failure } from '../core/failure.ts'
import { DebianFailure } from '../lab/debian/failure.ts'
import { LabFailure } from '../lab/failure.ts'

/** What the lab does, with its failures as the product's. */
export async function ofLab<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw error instanceof LabFailure || error instanceof DebianFailure
      ? new Failure(error.code, error.message, error.next, { cause: error })
      : error
  }
}
