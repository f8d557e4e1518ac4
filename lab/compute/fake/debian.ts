/** The modelled Debian 13 cloud image: its root file system, and how packages come onto it. */
import { posix } from 'node:path'
import { directoryNode, fileNode, Filesystem, linkNode, type DirectoryNode } from './filesystem.ts'
import { CATALOGUE, CLOUD_IMAGE, type PackageModel } from './packages.ts'
import { programFile } from './shell.ts'
import { addGroup, addUser } from './accounts.ts'
import { ROOT, Vfs } from './vfs.ts'

const STATUS = '/var/lib/dpkg/status'

export interface InstalledPackage {
  readonly name: string
  readonly version: string
  readonly held: boolean
}

const PASSWD = [
  'root:x:0:0:root:/root:/bin/bash',
  'daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin',
  'bin:x:2:2:bin:/bin:/usr/sbin/nologin',
  'sys:x:3:3:sys:/dev:/usr/sbin/nologin',
  'www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin',
  'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin',
  'systemd-network:x:998:998:systemd Network Management:/:/usr/sbin/nologin',
]
const GROUP = [
  'root:x:0:',
  'daemon:x:1:',
  'bin:x:2:',
  'sys:x:3:',
  'adm:x:4:',
  'disk:x:6:',
  'cdrom:x:24:',
  'sudo:x:27:',
  'www-data:x:33:',
  'shadow:x:42:',
  'users:x:100:',
  'nogroup:x:65534:',
  'systemd-network:x:998:',
  'systemd-journal:x:997:',
]

/** A fresh root file system. `extra`: packages on top of those of Debian's own cloud image. */
export function debianRoot(extra: readonly string[] = []): DirectoryNode {
  const root = directoryNode()
  const filesystem = new Filesystem('ext4', { root })
  for (const path of `
    boot
    dev etc/apt/apt.conf.d etc/apt/sources.list.d etc/cloud/cloud.cfg.d etc/default etc/docker etc/netplan etc/profile.d etc/skel
    etc/ssh/sshd_config.d etc/ssl/certs etc/ssl/private etc/sysctl.d etc/systemd/network etc/systemd/system etc/tmpfiles.d
    etc/udev/rules.d home media mnt opt proc run srv sys usr/bin usr/include usr/lib/systemd/system usr/lib/tmpfiles.d
    usr/lib/udev/rules.d usr/local/bin usr/local/lib usr/local/sbin usr/local/share/ca-certificates usr/local/etc usr/sbin
    usr/share/doc usr/share/keyrings usr/src var/backups var/cache/apt/archives var/lib/apt/lists var/lib/cloud var/lib/dpkg/info
    var/lib/systemd var/log/apt var/log/journal var/mail var/opt var/spool/cron var/www
  `
    .trim()
    .split(/\s+/))
    filesystem.put(path, directoryNode())
  filesystem.put('root', directoryNode(0o700))
  filesystem.put('etc/sudoers.d', directoryNode(0o750))
  for (const path of ['tmp', 'var/tmp']) filesystem.put(path, directoryNode(0o1777))
  for (const [path, target] of [
    ['bin', 'usr/bin'],
    ['sbin', 'usr/sbin'],
    ['lib', 'usr/lib'],
    ['lib64', 'usr/lib64'],
    ['var/run', '/run'],
    ['var/lock', '/run/lock'],
    ['etc/os-release', '../usr/lib/os-release'],
    ['etc/mtab', '../proc/self/mounts'],
    ['etc/localtime', '/usr/share/zoneinfo/Etc/UTC'],
  ] as const)
    filesystem.put(path, linkNode(target))
  const text: Record<string, [string, number?]> = {
    'usr/lib/os-release': [
      'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nNAME="Debian GNU/Linux"\nVERSION_ID="13"\nVERSION="13 (trixie)"\nVERSION_CODENAME=trixie\nID=debian\nHOME_URL="https://www.debian.org/"\n',
    ],
    'etc/debian_version': ['13.1\n'],
    'etc/hostname': ['localhost\n'],
    'etc/hosts': ['127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n'],
    'etc/machine-id': ['', 0o444],
    'etc/fstab': [''],
    'etc/passwd': [`${PASSWD.join('\n')}\n`],
    'etc/group': [`${GROUP.join('\n')}\n`],
    'etc/shadow': [PASSWD.map((line) => `${line.split(':')[0]}:*:20000:0:99999:7:::\n`).join(''), 0o640],
    'etc/sudoers': ['Defaults\tenv_reset\nroot\tALL=(ALL:ALL) ALL\n%sudo\tALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n', 0o440],
    'etc/ssh/sshd_config': [
      'Include /etc/ssh/sshd_config.d/*.conf\nKbdInteractiveAuthentication no\nUsePAM yes\nSubsystem sftp /usr/lib/openssh/sftp-server\n',
    ],
    'etc/resolv.conf': [''],
    'etc/environment': [''],
    'etc/profile': ['# /etc/profile\n'],
    'etc/bash.bashrc': [''],
    'root/.bashrc': [''],
    'root/.profile': [''],
    'etc/skel/.bashrc': [''],
    'etc/cloud/cloud.cfg': ['users:\n  - default\ndisable_root: true\n'],
    'etc/apt/sources.list.d/debian.sources': [
      'Types: deb\nURIs: http://deb.debian.org/debian\nSuites: trixie trixie-updates\nComponents: main\n',
    ],
    'var/log/dpkg.log': [''],
    'var/log/wtmp': [''],
    'var/log/btmp': [''],
    'var/log/lastlog': [''],
    'var/lib/dpkg/status': [''],
    'usr/share/zoneinfo/Etc/UTC': [''],
  }
  for (const [path, [content, mode]] of Object.entries(text)) filesystem.put(path, fileNode(content, mode))
  const vfs = new Vfs(filesystem, '/dev/sda1')
  for (const name of [...CLOUD_IMAGE, ...extra]) installPackage(vfs, name)
  return root
}

export function installedPackages(vfs: Vfs): InstalledPackage[] {
  if (!vfs.exists(STATUS)) return []
  return vfs
    .readText(STATUS)
    .split('\n\n')
    .flatMap((entry) => {
      const field = (name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(entry)?.[1] ?? ''
      return field('Package') ? [{ name: field('Package'), version: field('Version'), held: field('Status').startsWith('hold') }] : []
    })
}

export function writePackages(vfs: Vfs, packages: readonly InstalledPackage[]): void {
  vfs.write(
    STATUS,
    packages
      .map(
        ({ name, version, held }) =>
          `Package: ${name}\nStatus: ${held ? 'hold' : 'install'} ok installed\nArchitecture: amd64\nVersion: ${version}\n`,
      )
      .join('\n'),
  )
}

/** The package and what it depends on that is not there yet, in the order to install; undefined if unknown. */
export function missingPackages(vfs: Vfs, name: string): string[] | undefined {
  const there = new Set(installedPackages(vfs).map((each) => each.name))
  const list: string[] = []
  const add = (each: string): boolean => {
    const model = CATALOGUE[each]
    if (!model) return false
    if (there.has(each)) return true
    there.add(each)
    for (const dependency of model.depends ?? []) add(dependency)
    list.push(each)
    return true
  }
  return add(name) ? list : undefined
}

/** Puts one package's files, users and unit links onto the disk. Does not start anything. */
export function installPackage(vfs: Vfs, name: string): PackageModel {
  const model = CATALOGUE[name]
  if (!model) throw new Error(`the fake guest does not model the package ${name}`)
  writePackages(vfs, [...installedPackages(vfs).filter((each) => each.name !== name), { name, version: model.version, held: false }])
  for (const program of model.programs ?? []) {
    const path = program.startsWith('/') ? program : `/usr/bin/${program}`
    if (!vfs.exists(posix.dirname(path))) vfs.mkdir(posix.dirname(path), ROOT, { parents: true })
    vfs.write(path, programFile(posix.basename(path)), undefined, { mode: 0o755 })
  }
  for (const [unit, text] of Object.entries(model.units ?? {})) vfs.write(`/usr/lib/systemd/system/${unit}`, text)
  for (const [path, text] of Object.entries(model.files ?? {})) {
    if (vfs.exists(path)) continue
    vfs.mkdir(posix.dirname(path), ROOT, { parents: true })
    vfs.write(path, text)
  }
  for (const group of model.groups ?? []) addGroup(vfs, group, { system: true })
  for (const user of model.users ?? []) addUser(vfs, { name: user, system: true, home: '/nonexistent', shell: '/usr/sbin/nologin' })
  for (const unit of model.enable ?? []) enableUnit(vfs, unit)
  vfs.write(`/var/lib/dpkg/info/${name}.list`, '')
  vfs.write('/var/log/dpkg.log', `2026-01-01 00:00:00 install ${name}\n`, undefined, { append: true })
  return model
}

/** Follows `WantedBy=`, `RequiredBy=` and `Alias=` of an installed unit file. Returns the links made, or undefined without any. */
export function enableUnit(vfs: Vfs, unit: string): string[] | undefined {
  const template = unit.replace(/@[^.]*\./, '@.')
  const source = [template, unit]
    .flatMap((name) => ['/etc/systemd/system', '/run/systemd/system', '/usr/lib/systemd/system'].map((folder) => `${folder}/${name}`))
    .find((path) => vfs.exists(path))
  if (source === undefined) return undefined
  const install = /\[Install\]([\s\S]*)/.exec(vfs.readText(source))?.[1] ?? ''
  const links: string[] = []
  for (const [, key, value = ''] of install.matchAll(/^(WantedBy|RequiredBy|UpheldBy|Alias)=(.*)$/gm)) {
    for (const word of value.split(/\s+/).filter(Boolean)) {
      const link =
        key === 'Alias'
          ? `/etc/systemd/system/${word}`
          : `/etc/systemd/system/${word}.${key === 'RequiredBy' ? 'requires' : key === 'UpheldBy' ? 'upholds' : 'wants'}/${unit}`
      if (!vfs.exists(posix.dirname(link))) vfs.mkdir(posix.dirname(link), undefined, { parents: true })
      if (!vfs.exists(link)) {
        vfs.remove(link, undefined, { force: true })
        vfs.symlink(source, link)
      }
      links.push(link)
    }
  }
  return links
}
