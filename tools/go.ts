import { ChildFailure, run } from '../core/child.ts'
import { childEnvironment } from '../core/environment.ts'
import { Failure } from '../core/failure.ts'

/** The oldest Go that knows every module of tools/go. With its default settings an older one, from 1.21, fetches it by itself. */
export const oldestGo = '1.26.6'

/** Which Go compiles the module in that folder. */
export interface Go {
  /** `go1.26`: what patch releases have in common. Binaries of one family stay in the cache when Go gets a patch. */
  readonly family: string
  readonly compiler: string
}

/** @throws Failure `go-missing` or `go-too-old` */
export async function findGo(folder: string): Promise<Go> {
  const hint = `Install Go ${oldestGo} or newer (https://go.dev/doc/install) and put its bin folder on PATH.`
  try {
    // In the module's folder, because Go may switch to another toolchain there.
    const { stdout } = await run('go', ['env', 'GOVERSION', 'CC'], { cwd: folder, timeoutMs: 300_000, env: goEnvironment() })
    const [version = '', compiler = 'cc'] = stdout.split('\n')
    const family = /^go\d+\.\d+/.exec(version)?.[0]
    if (family === undefined) throw new Failure('go-too-old', `"go env" says "${version}", which is no released version`, hint)
    return { family, compiler: compiler === '' ? 'cc' : compiler }
  } catch (error) {
    if (!(error instanceof ChildFailure)) throw error
    if (error.missing) throw new Failure('go-missing', 'Go is not installed (no "go" on PATH)', hint, { cause: error })
    throw new Failure('go-too-old', `this Go can't read the module: ${error.said || error.message}`, hint, { cause: error })
  }
}

/** Where modules come from, and where Go keeps things; not what it builds, and for which computer. */
const own =
  /^(GOPROXY|GOSUMDB|GONOSUMDB|GONOPROXY|GOPRIVATE|GOINSECURE|GOVCS|GOAUTH|NETRC|GOPATH|GOROOT|GOCACHE|GOMODCACHE|GOTMPDIR|GOTOOLCHAIN|GOMAXPROCS|GOENV|CC|PKG_CONFIG_PATH)$/

/** A go.work or GOFLAGS of the user's must not change what is built; their proxy and caches are used as they are. */
export function goEnvironment(cgo = false): NodeJS.ProcessEnv {
  // Flags that are set to nothing count as not set, and then those of "go env -w" do.
  return {
    ...childEnvironment(process.env, (name) => own.test(name)),
    CGO_ENABLED: cgo ? '1' : '0',
    GOWORK: 'off',
    GOFLAGS: '-mod=readonly',
  }
}
