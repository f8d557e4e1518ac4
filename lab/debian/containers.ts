/** The lab's container images: the same software as the official ones, from Debian's packages, PyPI and Go modules. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { chmod, copyFile, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { bootstrap, DOCS, here, inputsOf, type RootSpec } from './bootstrap.ts'
import { cached } from './cache.ts'
import { writeImage, readLayout, type ImageConfig } from './oci.ts'
import { buildRoot, inRoot, type Bind } from './root.ts'
import { defaultCacheDir, EPOCH, mirrorOf, STAMP, SUITE, type BuildOptions } from './settings.ts'

export const CONTAINERS = ['serena', 'nginx', 'otelcol', 'promtail', 'loki', 'lego'] as const
export type ContainerName = (typeof CONTAINERS)[number]

export interface ContainerImage {
  /** Digest of the manifest, `sha256:…`. */
  readonly digest: string
  /** Repository and digest, `serena@sha256:…`; a registry's `host:port/` before it makes it complete. */
  readonly ref: string
  readonly tag: string
}

export interface Containers {
  /** One OCI image layout per image, in a folder named after its repository. */
  readonly layoutDir: string
  readonly images: Readonly<Record<Exclude<ContainerName, 'promtail' | 'lego'>, ContainerImage>> & {
    readonly promtail?: ContainerImage
    readonly lego?: ContainerImage
  }
}

export interface ContainersOptions extends BuildOptions {
  /**
   * The programs that go into their images: Promtail linked with libsystemd, the others without libraries. It takes
   * minutes to compile, and only a site that asks for it needs it: without the program there is no such image. So with lego.
   */
  readonly tools: { readonly loki: string; readonly otelcol: string; readonly promtail?: string; readonly lego?: string }
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const SLIM = [...DOCS, '/usr/lib/x86_64-linux-gnu/gconv/*', '/usr/share/bug/*', '/usr/share/bash-completion/*', '/usr/share/zsh/*']

interface Recipe {
  readonly tag: string
  readonly root?: RootSpec
  readonly config: ImageConfig
  /** Program copied into the image: the host's file → its path there. */
  readonly program?: { readonly from: keyof ContainersOptions['tools']; readonly to: string }
  /** Further work on the tree. */
  readonly finish?: (tree: string, options: ContainersOptions) => Promise<void>
}

const recipes: Readonly<Record<ContainerName, Recipe>> = {
  serena: {
    tag: '2.1.0',
    root: {
      variant: 'essential',
      // libstdc++ and libatomic: for the Node that the VM image mounts into the container
      packages: ['python3', 'git', 'openssh-client', 'ca-certificates', 'libstdc++6', 'libatomic1', 'procps'],
      // git's everyday commands need no more of Perl than perl-base has
      exclude: [...SLIM, '/usr/share/perl/*', '/usr/lib/x86_64-linux-gnu/perl/*', '/usr/share/zoneinfo/right/*'],
      customize: 'containers/serena.sh',
    },
    config: {
      User: '1000:1000',
      Env: [
        `PATH=/opt/serena/bin:/opt/golden/language-servers/bin:/opt/golden/node/bin:${PATH}`,
        'LANG=C.UTF-8',
        'PYTHONUNBUFFERED=1',
        'PYTHONDONTWRITEBYTECODE=1',
        'SERENA_HOME=/workspaces/serena/config',
        'SERENA_USAGE_REPORTING=false',
      ],
      Cmd: ['serena', 'start-mcp-server', '--transport', 'streamable-http', '--host', '0.0.0.0', '--port', '9121'],
      WorkingDir: '/workspaces/serena',
      ExposedPorts: { '9121/tcp': {} },
    },
    finish: installSerena,
  },
  nginx: {
    tag: '1.26',
    root: {
      variant: 'extract',
      packages: ['base-files', 'nginx', 'libnginx-mod-http-js', 'netbase', 'tzdata'],
      exclude: SLIM,
      customize: 'containers/nginx.sh',
    },
    config: { Env: [`PATH=${PATH}`], Cmd: ['nginx', '-g', 'daemon off;'], ExposedPorts: { '80/tcp': {} }, StopSignal: 'SIGQUIT' },
  },
  // As the official one: from scratch.
  otelcol: {
    tag: '0.165.0',
    config: {
      User: '10001',
      Env: [`PATH=${PATH}`],
      Entrypoint: ['/otelcol-contrib'],
      Cmd: ['--config', '/etc/otelcol-contrib/config.yaml'],
    },
    program: { from: 'otelcol', to: 'otelcol-contrib' },
    finish: withTemporaryFolder,
  },
  promtail: {
    tag: '3.6.15',
    root: {
      variant: 'extract',
      packages: ['base-files', 'libc6', 'libsystemd0', 'libzstd1', 'liblz4-1', 'liblzma5', 'libgcrypt20', 'netbase', 'tzdata'],
      exclude: [...SLIM, '/usr/share/perl5/*'],
      customize: 'containers/promtail.sh',
    },
    config: { Env: [`PATH=${PATH}`], Entrypoint: ['/usr/bin/promtail'], Cmd: ['-config.file=/etc/promtail/config.yml'] },
    program: { from: 'promtail', to: 'usr/bin/promtail' },
  },
  loki: {
    tag: '3.7.8',
    config: {
      User: '10001',
      Env: ['PATH=/usr/bin'],
      Entrypoint: ['/usr/bin/loki'],
      Cmd: ['-config.file=/etc/loki/local-config.yaml'],
      ExposedPorts: { '3100/tcp': {} },
    },
    program: { from: 'loki', to: 'usr/bin/loki' },
    finish: async (tree) => {
      await mkdir(join(tree, 'etc'), { recursive: true })
      await withTemporaryFolder(tree)
      await writeFile(join(tree, 'etc/passwd'), 'root:x:0:0:root:/root:/sbin/nologin\nloki:x:10001:10001:Loki:/tmp:/sbin/nologin\n')
      await writeFile(join(tree, 'etc/group'), 'root:x:0:\nloki:x:10001:\n')
    },
  },
  // Without the shell of the official one, so without hooks.
  lego: {
    tag: 'v5.6.0',
    config: { Env: [`PATH=${PATH}`], Entrypoint: ['/lego'], ExposedPorts: { '80/tcp': {} } },
    program: { from: 'lego', to: 'lego' },
    finish: withTemporaryFolder,
  },
}

/** Builds the images or finds them in the cache, one after another. Needs root and mmdebstrap; 4 minutes, 1 GB on the way. */
export async function buildContainers(options: ContainersOptions): Promise<Containers> {
  const cacheDir = options.cacheDir ?? defaultCacheDir()
  const layouts: Record<string, string> = {}
  const images: Record<string, ContainerImage> = {}
  for (const name of CONTAINERS) {
    const needed = recipes[name].program?.from
    if (needed !== undefined && options.tools[needed] === undefined) continue
    const layout = await buildContainer(name, options, cacheDir)
    const [image] = await readLayout(layout)
    if (!image) throw new Error(`${layout} holds no image`)
    layouts[name] = layout
    images[name] = { digest: image.digest, ref: `${name}@${image.digest}`, tag: image.tag }
  }
  const layoutDir = await cached(
    { cacheDir, name: 'containers', inputs: layouts },
    async (part) => {
      for (const [name, layout] of Object.entries(layouts))
        await symlink(join('..', layout.slice(join(cacheDir, 'debian').length + 1)), join(part, name))
    },
    () => {},
    options.signal,
  )
  return { layoutDir, images: images as Containers['images'] }
}

async function buildContainer(name: ContainerName, options: ContainersOptions, cacheDir: string): Promise<string> {
  const { root, config, program, finish, tag } = recipes[name]
  const source = program && options.tools[program.from]
  const inputs = [
    STAMP,
    SUITE,
    mirrorOf(options.mirror),
    tag,
    config,
    root ? await inputsOf(root) : '',
    source ? await sha256Of(source) : '',
    String(finish),
    RUNTIME,
    finish === installSerena ? await readFile(REQUIREMENTS, 'utf8') : '',
    await readFile(join(here, 'oci.ts'), 'utf8'),
  ]
  return cached(
    { cacheDir, name: `image-${name}`, inputs },
    async (part) => {
      const tree = join(part, 'tree')
      if (root) {
        await bootstrap(root, tree, options)
        for (const folder of RUNTIME) await rm(join(tree, folder), { recursive: true, force: true })
        for (const folder of ['dev', 'proc', 'sys', 'run']) await mkdir(join(tree, folder), { recursive: true })
      } else await mkdir(tree)
      if (program && source) {
        await mkdir(join(tree, program.to, '..'), { recursive: true })
        await copyFile(source, join(tree, program.to))
        await chmod(join(tree, program.to), 0o755)
      }
      await finish?.(tree, options)
      options.log('  writing the image')
      await writeImage({ tree, layout: part, tag, config, epoch: EPOCH })
      await rm(tree, { recursive: true })
    },
    options.log,
    options.signal,
  )
}

async function withTemporaryFolder(tree: string): Promise<void> {
  await mkdir(join(tree, 'tmp'))
  await chmod(join(tree, 'tmp'), 0o1777)
}

/** What belongs to the container's runtime, or to an apt that is not there. */
const RUNTIME = ['dev', 'run', 'var/lib/apt', 'var/cache/apt', 'var/log/apt']

const REQUIREMENTS = join(here, 'containers/requirements.txt')

/**
 * Serena from PyPI into /opt/serena, with the Python of the lab's root, which is the image's too. Compiled files name
 * their sources by hash, not by date (PEP 552): the same bytes every time, and valid in a read-only root.
 */
async function installSerena(tree: string, options: ContainersOptions): Promise<void> {
  options.log('  installing Serena from PyPI')
  const script = `set -eu
python3 -m venv --without-pip /opt/serena
python3 -m pip wheel --quiet --no-deps --require-hashes --no-build-isolation --no-cache-dir --wheel-dir /tmp/wheels -r /run/requirements.txt
python3 -m pip --python /opt/serena/bin/python3 install --quiet --no-index --no-deps --no-compile --no-cache-dir --root-user-action ignore /tmp/wheels/*.whl
# where each file came from: a path of this build
find /opt/serena -name direct_url.json -delete
find /opt/serena -name tests -path '*/site-packages/*' -prune -exec rm -rf {} +
for library in /opt/serena/lib /image/usr/lib/python3 /image/usr/lib/python3.13; do
  python3 -m compileall -q -f --invalidation-mode unchecked-hash -s /image "$library"
done`
  // One process compiles all, in order: what a string's second use looks like in a compiled file depends on what the
  // interpreter has seen before (CPython's marshal flags objects by their reference counts).
  const root = await buildRoot(options)
  const { env, binds } = pipSettings()
  await inRoot(root, ['nice', '-n', '10', 'sh', '-c', script], {
    binds: [
      { from: join(tree, 'opt/serena'), to: '/opt/serena', writable: true },
      { from: tree, to: '/image', writable: true },
      { from: REQUIREMENTS, to: '/run/requirements.txt' },
      ...binds,
    ],
    env: { ...env, PYTHONHASHSEED: '0', SOURCE_DATE_EPOCH: String(EPOCH), PYTHONDONTWRITEBYTECODE: '1' },
    signal: options.signal,
  })
}

/** The user's own index, proxy and certificates for pip, also in the root. */
function pipSettings(): { env: Record<string, string>; binds: Bind[] } {
  const env: Record<string, string> = { PIP_DISABLE_PIP_VERSION_CHECK: '1' }
  for (const key of [
    'PIP_INDEX_URL',
    'PIP_EXTRA_INDEX_URL',
    'PIP_TRUSTED_HOST',
    'PIP_DEFAULT_TIMEOUT',
    'PIP_PROXY',
    'http_proxy',
    'https_proxy',
    'no_proxy',
    'HTTP_PROXY',
    'HTTPS_PROXY',
    'NO_PROXY',
  ]) {
    const value = process.env[key]
    if (value !== undefined) env[key] = value
  }
  return {
    env: { ...env, PIP_CERT: '/run/ca.crt' },
    binds: [{ from: process.env.PIP_CERT ?? '/etc/ssl/certs/ca-certificates.crt', to: '/run/ca.crt' }],
  }
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return hash.digest('hex')
}
