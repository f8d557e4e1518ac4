import { mkdir, readFile, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { ChildFailure, failureOf, run, starter } from '../core/child.ts'
import { keyOf } from './cache.ts'
import { Failure } from '../core/failure.ts'
import { goEnvironment, type Go } from './go.ts'
import { endOfGroup } from './group.ts'
import type { GoBuild, Platform } from './pins.ts'

/** The pinned Go modules. */
export const MODULES = join(import.meta.dirname, 'go')

/**
 * Everything that decides how the binary comes out. `-buildvcs=false`, because the module lies in this project's
 * repository, whose commit has nothing to do with it.
 */
export function buildArguments(go: GoBuild, target: string): readonly string[] {
  const variables = Object.entries(go.variables ?? {}).map(([name, value]) => ` -X ${name}=${value}`)
  return [
    'build',
    '-mod=readonly',
    '-trimpath',
    '-buildvcs=false',
    '-v',
    `-ldflags=-s -w${variables.join('')}`,
    ...(go.tags === undefined ? [] : [`-tags=${go.tags.join(',')}`]),
    '-o',
    target,
    go.package,
  ]
}

/** The key of a build: another module, sum, flag, platform or Go family is another binary. */
export async function buildKey(go: GoBuild, platform: Platform, compiler: Pick<Go, 'family'>, modules = MODULES): Promise<string> {
  const read = (file: string): Promise<string> => readFile(join(modules, go.module, file), 'utf8')
  // A program of our own: what little there is of it stands beside go.mod.
  const sources = (await readdir(join(modules, go.module))).filter((file) => file.endsWith('.go')).sort()
  const own = Object.fromEntries(await Promise.all(sources.map(async (file) => [file, await read(file)] as const)))
  return keyOf({
    ...own,
    'go.mod': await read('go.mod'),
    'go.sum': await read('go.sum'),
    arguments: buildArguments(go, 'TARGET').join('\n'),
    cgo: String(go.cgoHeader !== undefined),
    platform,
    go: compiler.family,
  })
}

export interface BuildOptions {
  /** Told what is going on whenever that changes. */
  readonly onStep?: (text: string) => void
  readonly signal?: AbortSignal | undefined
}

/**
 * Compiles to `target`; `work` is a folder for Go's temporary files, gone afterwards. An interrupted `go build` leaves its
 * compilers running and its files behind, so it gets a process group and a folder of its own.
 * @throws Failure `build-needs-package` or `build-failed`
 */
export async function build(go: GoBuild, compiler: Go, target: string, work: string, options: BuildOptions = {}): Promise<void> {
  options.signal?.throwIfAborted()
  if (go.cgoHeader !== undefined) await requireHeader(go.cgoHeader, compiler.compiler)
  await mkdir(work)
  const follow = followBuild(options.onStep ?? (() => undefined))
  try {
    const child = (await starter())('go', buildArguments(go, target), {
      cwd: join(MODULES, go.module),
      env: { ...goEnvironment(go.cgoHeader !== undefined), GOTMPDIR: work },
      stdio: ['ignore', 'ignore', 'pipe'],
      buffer: false,
      detached: true,
    })
    createInterface({ input: child.stderr }).on('line', follow.line)
    const ended = await endOfGroup(child, options.signal)
    options.signal?.throwIfAborted()
    if (!ended.failed) return
    const said = follow.complaints().join('\n')
    const failure = failureOf(`go build ${go.package}`, { ...ended, stdout: undefined, stderr: said })
    throw new Failure('build-failed', failure.message, nextStep(said, go), { cause: failure })
  } finally {
    await rm(work, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** Turns what `go build -v` prints (downloads, then a line for each compiled package) into one short text. */
export function followBuild(onStep: (text: string) => void): { line(text: string): void; complaints(): readonly string[] } {
  let downloads = 0
  let packages = 0
  const rest: string[] = []
  return {
    line(text) {
      if (text.startsWith('go: downloading ')) {
        downloads += 1
        onStep(`fetching Go modules, ${downloads} so far, now ${text.slice(16)}`)
      } else if (/^[\w.~-]+(\/[\w.~-]+)*$/.test(text)) {
        packages += 1
        onStep(`${packages} packages compiled, last ${text}`)
      } else {
        rest.push(text)
        if (rest.length > 30) rest.shift()
      }
    },
    complaints: () => rest,
  }
}

async function requireHeader(need: NonNullable<GoBuild['cgoHeader']>, compiler: string): Promise<void> {
  const [command = 'cc', ...flags] = compiler.split(' ')
  const args = [...flags, '-E', '-x', 'c', '-', '-o', '/dev/null']
  // The compiler needs what its own environment says of folders, which is the user's.
  await run(command, args, { env: process.env, timeoutMs: 60_000, input: `#include <${need.header}>\n` }).catch((error: unknown) => {
    if (!(error instanceof ChildFailure)) throw error
    const what = error.missing ? `the C compiler "${command}" is missing` : `the C header <${need.header}> is missing`
    throw new Failure('build-needs-package', what, `On Debian or Ubuntu: apt-get install ${need.packages}`, { cause: error })
  })
}

function nextStep(said: string, go: GoBuild): string {
  if (/no space left on device/.test(said)) return "Make room: a cold build of everything needs about 13 GB in Go's caches and in /tmp."
  if (/dial tcp|no such host|i\/o timeout|TLS handshake/.test(said))
    return "Check this computer's way to the Go module proxy (go env GOPROXY)."
  return `Run it by hand in tools/go/${go.module} to see more: go build -mod=readonly ${go.package}`
}
