/** The lab's base image: a Debian 13 qcow2 like Debian's own cloud image, from Debian's packages. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { bootstrap, here, inputsOf, type RootSpec } from './bootstrap.ts'
import { cached } from './cache.ts'
import { command, confined } from './command.ts'
import { makeDisk } from './disk.ts'
import { defaultCacheDir, EPOCH, mirrorOf, STAMP, SUITE, type BuildOptions } from './settings.ts'

/** Virtual size; the root grows at first boot to whatever disk a clone has. */
const MEBIBYTES = 3072
const UUID = '6f1d4c52-2b7e-4c0e-9a51-13d3b1a7e1f0'

/** `ubuntu`: in the points that matter to a bake like Ubuntu 24.04's cloud image (base/ubuntu.sh), which can't be had here. */
export type BaseShape = 'debian' | 'ubuntu'

const names: Readonly<Record<BaseShape, string>> = { debian: 'debian-13-lab-amd64.qcow2', ubuntu: 'debian-13-like-ubuntu-amd64.qcow2' }

const debian: RootSpec = {
  variant: 'minbase',
  packages: [
    // boot
    'linux-image-cloud-amd64',
    'initramfs-tools',
    'zstd',
    'grub-pc-bin',
    'grub2-common',
    'grub-common',
    'systemd-sysv',
    'udev',
    'kmod',
    // what Debian's cloud images bring for network, time and first boot
    'netplan.io',
    'systemd-resolved',
    'systemd-timesyncd',
    'libpam-systemd',
    'dbus',
    'cloud-init',
    'cloud-guest-utils',
    'fdisk',
    'e2fsprogs',
    'qemu-guest-agent',
    'openssh-server',
    'openssh-client',
    'sudo',
    'iproute2',
    'iputils-ping',
    'nftables',
    // tools a person or a provisioner expects
    'python3',
    'ca-certificates',
    'curl',
    'apt-utils',
    'procps',
    'less',
    'bash-completion',
    'dosfstools',
  ],
  customize: 'base/customize.sh',
  environment: { ROOT_UUID: UUID },
  keepLists: true,
}

const specs: Readonly<Record<BaseShape, RootSpec>> = {
  debian,
  ubuntu: {
    ...debian,
    packages: [
      ...debian.packages.filter((name) => name !== 'qemu-guest-agent'),
      // what Ubuntu's has besides, and Debian has packages for
      'apparmor',
      'cron',
      'rsyslog',
      'unattended-upgrades',
      'sysstat',
      'multipath-tools',
      'open-iscsi',
    ],
    customize: 'base/ubuntu.sh',
  },
}

export interface Base {
  /** A zstd-compressed qcow2. Beside it is FILE.sha256, as sha256sum writes it. */
  readonly file: string
  readonly sha256: string
}

/** Builds the base image or finds it in the cache. Needs root, mmdebstrap, sfdisk, mke2fs and qemu-img; 3 minutes, 250 MB. */
export async function buildBase(options: BuildOptions & { readonly shape?: BaseShape }): Promise<Base> {
  const cacheDir = options.cacheDir ?? defaultCacheDir()
  const shape = options.shape ?? 'debian'
  const spec = specs[shape]
  const inputs = [
    STAMP,
    SUITE,
    mirrorOf(options.mirror),
    await inputsOf(spec),
    await textsIn(join(here, 'base/rootfs')),
    await readFile(join(here, 'disk.ts'), 'utf8'),
    MEBIBYTES,
  ]
  if (shape === 'ubuntu') inputs.push(await readFile(join(here, 'base/customize.sh'), 'utf8'), await textsIn(join(here, 'base/ubuntu')))
  const folder = await cached(
    { cacheDir, name: shape === 'debian' ? 'base' : `base-${shape}`, inputs },
    async (part) => {
      const tree = join(part, 'tree')
      const raw = join(part, 'disk.raw')
      const file = join(part, names[shape])
      await bootstrap(spec, tree, options)
      // Nothing is newer than the stamp, as in mmdebstrap's own archives.
      await command(
        [...confined, 'find', tree, '-newermt', `@${EPOCH}`, '-exec', 'touch', '--no-dereference', `--date=@${EPOCH}`, '{}', '+'],
        { signal: options.signal },
      )
      options.log('  making the disk')
      await makeDisk({ tree, file: raw, mebibytes: MEBIBYTES, uuid: UUID, signal: options.signal })
      options.log('  compressing')
      await command([...confined, 'qemu-img', 'convert', '-c', '-O', 'qcow2', '-o', 'compression_type=zstd', raw, file], {
        signal: options.signal,
      })
      await rm(raw)
      await rm(tree, { recursive: true })
      await writeFile(`${file}.sha256`, `${await sha256Of(file)}  ${names[shape]}\n`)
    },
    options.log,
    options.signal,
  )
  const file = join(folder, names[shape])
  return { file, sha256: (await readFile(`${file}.sha256`, 'utf8')).slice(0, 64) }
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return hash.digest('hex')
}

/** Path and text of every file below a folder, in a stable order. */
async function textsIn(folder: string): Promise<[string, string][]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
  return Promise.all(paths.map(async (path) => [path.slice(folder.length), await readFile(path, 'utf8')] as [string, string]))
}
