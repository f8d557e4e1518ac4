/** The CDKTF app (cdktf.json): what it does is in stacks/synth.ts. */
import { enableCompileCache } from 'node:module'
import { compileCacheFolder } from './core/compile-cache.ts'
import { Failure } from './core/failure.ts'

// Before anything large is imported: most of a start is compiling.
const compiled = compileCacheFolder(process.env)
if (compiled !== undefined) enableCompileCache(compiled)
const { synth } = await import('./stacks/synth.ts')
try {
  await synth(import.meta.dirname)
} catch (error) {
  if (!(error instanceof Failure)) throw error
  console.error(error.toText())
  process.exitCode = error.exitCode
}
