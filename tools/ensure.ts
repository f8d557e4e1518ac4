/** `node tools/ensure.ts --for test|demo|all`: provides a set of tools. Exit code 0, or 1 with the reason, 2 for bad usage. */
import { parseArgs } from 'node:util'
import { Failure } from '../core/failure.ts'
import { ensureTools, prepareEnvironment, TOOL_SETS } from './index.ts'
import { plainLines, terminalLines } from './progress.ts'

const usage = 'usage: node tools/ensure.ts --for test|demo|all'

function chosenSet(): keyof typeof TOOL_SETS | undefined {
  try {
    const { values } = parseArgs({ options: { for: { type: 'string' } } })
    return values.for !== undefined && Object.hasOwn(TOOL_SETS, values.for) ? (values.for as keyof typeof TOOL_SETS) : undefined
  } catch {
    return undefined
  }
}

const set = chosenSet()
if (set === undefined) {
  console.error(usage)
  process.exit(2)
}

const stop = new AbortController()
process.once('SIGINT', () => stop.abort())
process.once('SIGTERM', () => stop.abort())
const report = process.stderr.isTTY ? terminalLines(process.stderr) : plainLines((line) => console.error(line))

try {
  const options = { report, signal: stop.signal }
  await ensureTools(TOOL_SETS[set], options)
  await prepareEnvironment({ signal: stop.signal })
} catch (error) {
  if (stop.signal.aborted) console.error('tools: interrupted; what was complete stays in the cache')
  else if (error instanceof Failure) console.error(error.toText())
  else throw error
  process.exitCode = 1
}
