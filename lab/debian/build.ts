/** `node lab/debian/build.ts [base|root|containers|all]`: fills the cache ahead of time and prints where things are. */
import { buildBase } from './base.ts'
import { DebianFailure } from './failure.ts'
import { buildRoot } from './root.ts'

const log = (line: string) => console.error(line)
const abort = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => abort.abort(new Error(`stopped by ${name}`)))
const options = { log, signal: abort.signal }

const builders: Readonly<Record<string, () => Promise<unknown>>> = {
  base: () => buildBase(options),
  root: () => buildRoot(options),
}

const what = process.argv[2] ?? 'all'
try {
  if (what !== 'all' && !Object.hasOwn(builders, what)) {
    console.error(`usage: node lab/debian/build.ts [${[...Object.keys(builders), 'all'].join('|')}]`)
    process.exitCode = 2
  } else {
    for (const [name, build] of Object.entries(builders)) if (what === 'all' || what === name) console.log(name, await build())
  }
} catch (error) {
  if (error instanceof DebianFailure) console.error(`error ${error.code}: ${error.message}\n→ ${error.next}`)
  else if (abort.signal.aborted) console.error('stopped; nothing is left behind')
  else throw error
  process.exitCode = 1
}
