/** `node lab/debian/build.ts [base|root|containers|all]`: fills the cache ahead of time. */
import { buildBase } from './base.ts'
import { DebianFailure } from './failure.ts'

const log = (line: string) => console.error(line)
const abort = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => abort.abort(new Error(`stopped by ${name}`)))

try {
  const options = { log, signal: abort.signal }
  console.log(await buildBase(options))
} catch (error) {
  if (error instanceof DebianFailure) console.error(`error ${error.code}: ${error.message}\n→ ${error.next}`)
  else if (abort.signal.aborted) console.error('stopped; nothing is left behind')
  else throw error
  process.exitCode = 1
}
