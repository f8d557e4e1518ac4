/** Debian roots made with mmdebstrap. */
import { existsSync } from 'node:fs'
import { mkdir, readFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { command, confined } from './command.ts'
import { DebianFailure } from './failure.ts'
import { EPOCH, mirrorOf, SUITE, type BuildOptions } from './settings.ts'

export const here = dirname(fileURLToPath(import.meta.url))

export interface RootSpec {
  /**
   * mmdebstrap's variants: `minbase` has apt, `essential` only what dpkg calls essential, `extract` nothing but the
   * named packages and what they depend on, unpacked and not configured.
   */
  readonly variant: 'minbase' | 'essential' | 'extract'
  readonly packages: readonly string[]
  /** dpkg --path-exclude patterns. */
  readonly exclude?: readonly string[]
  /** A script beside this file, run as root on the host as `sh SCRIPT ROOT` when all packages are there. */
  readonly customize?: string
  /** Further environment of that script. */
  readonly environment?: Readonly<Record<string, string>>
  /** Keeps apt's lists, so that a guest's first `apt-get update` has little to fetch. */
  readonly keepLists?: boolean
}

/** Docs that no service reads; licences stay. */
export const DOCS: readonly string[] = [
  '/usr/share/man/*',
  '/usr/share/info/*',
  '/usr/share/locale/*',
  '/usr/share/i18n/*',
  '/usr/share/lintian/*',
  '/usr/share/doc/*/changelog*',
  '/usr/share/doc/*/NEWS*',
  '/usr/share/doc/*/README*',
  '/usr/share/doc/*/examples/*',
]

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'

export function requireRoot(what: string): void {
  if (process.getuid?.() !== 0)
    throw new DebianFailure('not-root', `${what} must run as root: it makes a root file system`, 'run the same with sudo')
}

/**
 * Makes the root `spec` in the folder `target`, which must not exist yet. Everything is done in a mount and process
 * namespace of its own: an interrupted run leaves files, which the cache removes, and no mount or process.
 */
export async function bootstrap(spec: RootSpec, target: string, { log, mirror, signal }: BuildOptions): Promise<void> {
  requireRoot('mmdebstrap')
  if (!existsSync(KEYRING)) {
    throw new DebianFailure(
      'program-missing',
      `${KEYRING} is missing: packages can't be verified`,
      'apt-get install debian-archive-keyring mmdebstrap',
    )
  }
  const { main, security } = mirrorOf(mirror)
  const temporary = `${target}.tmp`
  await mkdir(temporary, { recursive: true })
  const sources = [`${main} ${SUITE}`, `${main} ${SUITE}-updates`, `${security} ${SUITE}-security`]
  const wanted = /^I: (running|downloading|extracting|installing|cleaning)|^E:|^Setting up linux-image/
  try {
    await command(
      [
        ...confined,
        'mmdebstrap',
        '--mode=root',
        '--format=directory',
        `--variant=${spec.variant}`,
        '--architectures=amd64',
        '--aptopt=APT::Install-Recommends "false"',
        // The cache may be in a home folder that the user _apt cannot enter.
        '--aptopt=APT::Sandbox::User "root"',
        ...(spec.exclude ?? []).map((pattern) => `--dpkgopt=path-exclude=${pattern}`),
        ...(spec.keepLists ? ['--skip=cleanup/apt/lists'] : []),
        // A root of packages that are only unpacked ends with the extract hooks.
        ...(spec.customize
          ? [`--${spec.variant === 'extract' ? 'extract' : 'customize'}-hook=sh ${quote(join(here, spec.customize))} "$1"`]
          : []),
        `--include=${spec.packages.join(',')}`,
        SUITE,
        target,
        ...sources.map((source) => `deb [signed-by=${KEYRING}] ${source} main`),
      ],
      {
        env: { SOURCE_DATE_EPOCH: String(EPOCH), TMPDIR: temporary, MIRROR: main, SECURITY_MIRROR: security, SUITE, ...spec.environment },
        onLine: (line) => wanted.test(line) && log(`  ${line.replace(/^I: /, '')}`),
        signal,
      },
    )
  } catch (error) {
    if (!(error instanceof DebianFailure) || error.code !== 'build-failed') throw error
    throw new DebianFailure(
      'bootstrap-failed',
      error.message,
      `is ${main} reachable from here? GOLDEN_DEBIAN_MIRROR names another mirror`,
      { cause: error },
    )
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}

/** What of `spec` decides the result, for the cache key: its own text, its script's and the file trees it copies. */
export async function inputsOf(spec: RootSpec): Promise<unknown> {
  return [spec, spec.customize ? await readFile(join(here, spec.customize), 'utf8') : '']
}

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`
