/**
 * `node lab/debian/build.ts [base|ubuntu|root|browser|containers|all] [--loki FILE --otelcol FILE --promtail FILE --lego FILE]`: fills the
 * cache ahead of time and prints where things are. `ubuntu` and `browser` are for one test each, and no part of `all`. The
 * container images need the four programs, by default those on PATH.
 */
import { parseArgs } from 'node:util'
import { buildBase } from './base.ts'
import { buildBrowser } from './browser.ts'
import { command } from './command.ts'
import { buildContainers } from './containers.ts'
import { DebianFailure } from './failure.ts'
import { buildRoot } from './root.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { loki: { type: 'string' }, otelcol: { type: 'string' }, promtail: { type: 'string' }, lego: { type: 'string' } },
})
const what = positionals[0] ?? 'all'
const abort = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => abort.abort(new Error(`stopped by ${name}`)))
const options = { log: (line: string) => console.error(line), signal: abort.signal }

const builders: Readonly<Record<string, () => Promise<unknown>>> = {
  base: () => buildBase(options),
  ubuntu: () => buildBase({ ...options, shape: 'ubuntu' }),
  root: () => buildRoot(options),
  browser: () => buildBrowser(options),
  containers: async () =>
    buildContainers({
      ...options,
      tools: {
        loki: await program('loki'),
        otelcol: await program('otelcol'),
        promtail: await program('promtail'),
        lego: await program('lego'),
      },
    }),
}

async function program(name: 'loki' | 'otelcol' | 'promtail' | 'lego'): Promise<string> {
  const given = values[name]
  if (given !== undefined) return given
  const { code, stdout } = await command(['sh', '-c', 'command -v "$1"', 'sh', name], { accept: [1, 127] })
  if (code === 0) return stdout.trim()
  throw new DebianFailure(
    'program-missing',
    `there is no program "${name}" on PATH, which goes into its container image`,
    `give its file: node lab/debian/build.ts containers --${name} FILE`,
  )
}

if (what !== 'all' && !Object.hasOwn(builders, what)) {
  console.error(
    `usage: node lab/debian/build.ts [${[...Object.keys(builders), 'all'].join('|')}] [--loki FILE --otelcol FILE --promtail FILE --lego FILE]`,
  )
  process.exitCode = 2
} else {
  try {
    for (const [name, build] of Object.entries(builders))
      if (what === name || (what === 'all' && name !== 'ubuntu' && name !== 'browser')) console.log(name, await build())
  } catch (error) {
    process.exitCode = 1
    if (error instanceof DebianFailure) console.error(`error ${error.code}: ${error.message}\n→ ${error.next}`)
    else if (abort.signal.aborted) console.error('stopped; nothing is left behind')
    else throw error
  }
}
