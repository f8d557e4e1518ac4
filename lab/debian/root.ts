/**
 * A Debian 13 root of the lab's own: what comes with a service (nginx, the registry, cloud-init, Docker) runs and is
 * checked in there, so that nothing of it has to be installed on the host.
 */
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { bootstrap, DOCS, inputsOf, requireRoot, type RootSpec } from './bootstrap.ts'
import { cached, cachePath } from './cache.ts'
import { command, enclosed, type CommandResult } from './command.ts'
import { defaultCacheDir, mirrorOf, STAMP, SUITE, type BuildOptions } from './settings.ts'

const spec: RootSpec = {
  variant: 'minbase',
  packages: [
    'systemd',
    'udev',
    'procps',
    'iproute2',
    'iputils-arping',
    'nftables',
    'e2fsprogs',
    'ca-certificates',
    'openssl',
    'curl',
    'nginx',
    'libnginx-mod-http-js',
    'apache2-utils',
    'docker-registry',
    'skopeo',
    'cloud-init',
    'netplan.io',
    'docker.io',
    'docker-cli',
    'docker-compose',
    'openssh-client',
    'openssh-server',
    'git',
    'rsync',
    'sudo',
    'python3',
    'python3-venv',
    'python3-pip',
    'python3-setuptools',
    'zstd',
    'xz-utils',
  ],
  exclude: [...DOCS, '/usr/share/doc/*'],
}

export interface Root {
  /** The root's folder. Never written to: every program gets a scratch layer of its own over it. */
  readonly folder: string
}

export interface CachedRoot {
  /** Builds the root or finds it in the cache. Needs root and mmdebstrap; minutes. */
  readonly build: (options: BuildOptions) => Promise<Root>
  /** Where the root is, if it is in the cache: lets tests skip instead of building for minutes. */
  readonly path: (options?: Partial<BuildOptions>) => Promise<string>
}

/** @param name of its entries in the cache */
export function cachedRoot(name: string, made: RootSpec): CachedRoot {
  const entryOf = async (options: Partial<BuildOptions>) => ({
    cacheDir: options.cacheDir ?? defaultCacheDir(),
    name,
    inputs: [STAMP, SUITE, mirrorOf(options.mirror), await inputsOf(made)],
  })
  return {
    build: async (options) => {
      const folder = await cached(
        await entryOf(options),
        async (part) => {
          await bootstrap(made, join(part, 'tree'), options)
          await mkdir(join(part, 'scratch'))
        },
        options.log,
        options.signal,
      )
      return { folder }
    },
    path: async (options = {}) => cachePath(await entryOf(options)),
  }
}

/** Of 2 minutes and 900 MB. */
export const { build: buildRoot, path: rootPath } = cachedRoot('root', spec)

export interface Bind {
  /** File or folder of the host. */
  readonly from: string
  /** Path in the root; made if it is missing. */
  readonly to: string
  readonly writable?: boolean
}

export interface InRootOptions {
  readonly binds?: readonly Bind[]
  /** Prefix that enters a network namespace, such as `nsenter --net=/run/netns/NAME --`. Without it: the host's network. */
  readonly enter?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string
  readonly signal?: AbortSignal | undefined
  readonly accept?: readonly number[]
}

/**
 * The shell's side: an overlay whose upper layer is in memory, in a mount namespace that ends with the program. Arguments:
 * folder, then `ro|rw FROM TO` for each bind, `--`, the program. The host's /dev is bound, not copied; /sys is not there.
 */
const ENTER_SCRIPT = `set -eu
cd "$1"; shift
mount -t tmpfs -o mode=0755 scratch scratch
mkdir scratch/upper scratch/work scratch/root
mount -t overlay -o "lowerdir=tree,upperdir=scratch/upper,workdir=scratch/work" root scratch/root
root=$PWD/scratch/root
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
mount -t tmpfs -o mode=0755 run "$root/run"
rm -f "$root/etc/resolv.conf"
cat /etc/resolv.conf > "$root/etc/resolv.conf" 2>/dev/null || true
while [ "$1" != -- ]; do
  if [ -d "$2" ]; then mkdir -p "$root$3"; else mkdir -p "$(dirname "$root$3")"; [ -e "$root$3" ] || : > "$root$3"; fi
  mount --bind "$2" "$root$3"
  [ "$1" = rw ] || mount -o remount,bind,ro "$root$3"
  shift 3
done
shift
# Not chroot alone: a container runtime in there would find the host's root again, setns(2).
cd "$root"
pivot_root . .
umount -l .
exec chroot . "$@"`

/** The whole command line that runs `program` in the root. */
export function enterRoot(
  root: Root,
  program: readonly string[],
  { binds = [], enter = [] }: Pick<InRootOptions, 'binds' | 'enter'> = {},
): string[] {
  requireRoot("a program of the lab's Debian root")
  return [
    ...enter,
    ...enclosed,
    '--',
    'sh',
    '-c',
    ENTER_SCRIPT,
    'enter-root',
    root.folder,
    ...binds.flatMap(({ from, to, writable }) => [writable ? 'rw' : 'ro', from, to]),
    '--',
    ...program,
  ]
}

/** What programs in the root see of this process's environment: nothing but a path and what is passed. */
const environment = (env: InRootOptions['env']): NodeJS.ProcessEnv => ({
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  LC_ALL: 'C.UTF-8',
  ...env,
})

/**
 * Runs a program of the root to its end. Calls do not see each other's files and may run at the same time; what the
 * program writes outside writable binds is gone afterwards. Rejects like `command` when it fails.
 */
export async function inRoot(root: Root, program: readonly string[], options: InRootOptions = {}): Promise<CommandResult> {
  return command(enterRoot(root, program, options), {
    env: environment(options.env),
    bareEnv: true,
    label: program,
    ...(options.input === undefined ? {} : { input: options.input }),
    ...(options.accept ? { accept: options.accept } : {}),
    signal: options.signal,
  })
}

/** Starts a program of the root that goes on running. Killing the child (SIGKILL too) ends it and all it started. */
export function spawnInRoot(
  root: Root,
  program: readonly string[],
  options: Pick<InRootOptions, 'binds' | 'enter' | 'env'> & { stdio?: StdioOptions } = {},
): ChildProcess {
  const [file = '', ...args] = enterRoot(root, program, options)
  return spawn(file, args, { stdio: options.stdio ?? ['ignore', 'pipe', 'pipe'], env: environment(options.env) })
}
