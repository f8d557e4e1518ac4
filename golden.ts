/** The CLI: finds the verb, parses its flags, shows its failure, sets the exit code. */
import { enableCompileCache } from 'node:module'
import { compileCacheFolder } from './core/compile-cache.ts'
import { dropSteering } from './core/environment.ts'
import { Failure } from './core/failure.ts'
import { loadLeanZod } from './core/lean-zod.ts'
import { systemFailure } from './core/system-failure.ts'
import { renderer } from './scripts/render.ts'
import { nextLines } from './scripts/next-step.ts'
import { parseWords, type Words } from './scripts/parse-words.ts'
import { verbs } from './verbs.ts'

/** One Ctrl-C may come more than once: from the terminal, which tells the whole group, and from npm or scripts/golden, which pass it on. */
const onePressMs = 1000

async function main(argv: readonly string[]): Promise<number> {
  const [first = 'help', ...more] = argv
  const isHelp = first === 'help' || first === '--help' || first === '-h'
  const [name, ...rest] = isHelp
    ? [more.find((word) => !word.startsWith('-') && word !== 'help'), '--help']
    : [first === '--version' || first === '-V' ? 'version' : first, ...more]
  if (name === undefined) {
    const { overview } = await import('./scripts/help.ts')
    console.log(overview(verbs))
    return 0
  }
  const entry = Object.hasOwn(verbs, name) ? verbs[name] : undefined
  if (entry === undefined) {
    const known = [...Object.keys(verbs).filter((verb) => verbs[verb]?.hidden !== true), 'help', '--help', '--version']
    const unknown = { said: name, known }
    return tell(
      new Failure('usage', `there is no verb "${name}"`, 'Run "npx golden help" for the list.', { unknown }),
      more.includes('--json'),
    )
  }
  await loadLeanZod()
  const { verb } = await entry.load()
  let words: Words
  try {
    words = parseWords(name, verb, rest)
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    return tell(error, rest.includes('--json'))
  }
  const { flags, operands, json } = words
  if (words.help) {
    const { verbHelp } = await import('./scripts/help.ts')
    console.log(verbHelp(name, entry.summary, verb))
    return 0
  }
  const abort = new AbortController()
  let asked: number | undefined
  const stop = (signal: NodeJS.Signals): void => {
    if (asked === undefined) {
      asked = performance.now()
      process.stderr.write(`\n${signal}: stopping and cleaning up; once more to leave at once\n`)
      abort.abort(new Failure('cancelled', 'stopped by you', 'Run the same command again: it goes on from there.'))
    } else if (performance.now() - asked > onePressMs) process.exit(130)
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop(signal))
  // A terminal that was closed says so of every line: what is under way is to be cleaned up all the same.
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EIO') throw error
    })
  const progress = renderer({
    isTTY: process.stderr.isTTY === true && process.env.CI === undefined,
    columns: () => process.stderr.columns,
    write: (text) => {
      process.stderr.write(text)
    },
  })
  try {
    return await verb.run({
      flags,
      arguments: operands,
      env: process.env,
      progress,
      json,
      signal: abort.signal,
      result: (text, document, next) => {
        if (json) {
          const whole = next === undefined ? document : { ...document, next: next.map(({ command }) => command) }
          process.stdout.write(`${JSON.stringify(whole, null, 2)}\n`)
          return
        }
        if (text !== '') process.stdout.write(`${text}\n`)
        for (const line of nextLines(next ?? [])) process.stderr.write(`${line}\n`)
      },
    })
  } catch (error) {
    const failure = error instanceof Failure ? error : abort.signal.aborted ? (abort.signal.reason as Failure) : systemFailure(error)
    return tell(
      failure ??
        new Failure(
          'bug',
          error instanceof Error ? (error.stack ?? error.message) : String(error),
          'This is a mistake in serena-golden: please report it with these lines.',
        ),
      json,
    )
  }
}

/** On standard error for people, with --json on standard output as well. @returns the exit code */
async function tell(failure: Failure, json: boolean): Promise<number> {
  const error = failure.unknown === undefined ? failure : (await import('./scripts/did-you-mean.ts')).withNearest(failure)
  if (json) process.stdout.write(`${JSON.stringify({ errors: error.toErrors() }, null, 2)}\n`)
  process.stderr.write(`${error.toText()}\n`)
  return error.exitCode
}

dropSteering(process.env)
const compiled = compileCacheFolder(process.env)
// Terraform calls `hook` several times. Node does without where it can't write.
if (compiled !== undefined) enableCompileCache(compiled)
process.exitCode = await main(process.argv.slice(2))
