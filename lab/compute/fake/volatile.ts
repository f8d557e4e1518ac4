/** What every boot of a fake guest makes anew: /dev, /proc, /sys, /run, /tmp, and the machine id if it is empty. */
import { randomBytes } from 'node:crypto'
import { Filesystem, specialNode } from './filesystem.ts'
import type { Guest } from './guest.ts'
import { ROOT } from './vfs.ts'

export function mountVolatile(guest: Guest): void {
  const { vfs } = guest
  for (const [path, mode] of [
    ['/dev', 0o755],
    ['/proc', 0o555],
    ['/sys', 0o555],
    ['/run', 0o755],
    ['/tmp', 0o1777],
  ] as const) {
    vfs.mkdir(path, ROOT, { parents: true })
    const filesystem = new Filesystem(path === '/proc' ? 'proc' : path === '/sys' ? 'sysfs' : path === '/dev' ? 'devtmpfs' : 'tmpfs')
    filesystem.root.mode = mode
    vfs.mount(path, filesystem, filesystem.type === 'devtmpfs' ? 'udev' : filesystem.type, 'rw,nosuid,relatime')
  }
  for (const path of [
    '/dev/shm',
    '/dev/pts',
    '/dev/disk/by-id',
    '/dev/disk/by-uuid',
    '/dev/disk/by-label',
    '/dev/fd',
    '/run/lock',
    '/run/systemd/system',
    '/run/cloud-init',
    '/run/udev',
    '/run/user',
    '/run/sshd',
    '/proc/self',
    '/proc/sys/net/ipv4',
    '/proc/sys/kernel/random',
    '/sys/class/net',
    '/sys/class/block',
    '/sys/block',
  ])
    vfs.mkdir(path, ROOT, { parents: true })
  vfs.chmod('/dev/shm', 0o1777)
  for (const name of ['null', 'stdin', 'stdout', 'stderr', 'tty', 'console', 'ttyS0'])
    vfs.place(
      `/dev/${name}`,
      specialNode(true, () => ''),
    )
  // Endless in reality: this much of them is more than anybody asks for.
  vfs.place(
    '/dev/zero',
    specialNode(true, () => Buffer.alloc(1 << 20)),
  )
  for (const name of ['random', 'urandom'])
    vfs.place(
      `/dev/${name}`,
      specialNode(true, () => randomBytes(1 << 16)),
    )
  vfs.place(
    '/dev/kmsg',
    specialNode(
      true,
      () => '',
      (data) => guest.serial(data.toString()),
    ),
  )
  vfs.place(
    '/proc/cmdline',
    specialNode(false, () => 'BOOT_IMAGE=/boot/vmlinuz root=LABEL=root ro console=ttyS0\n'),
  )
  vfs.place(
    '/proc/sys/kernel/random/boot_id',
    specialNode(false, () => `${guest.bootId}\n`),
  )
  vfs.place(
    '/proc/sys/kernel/random/uuid',
    specialNode(false, () => `${crypto.randomUUID()}\n`),
  )
  vfs.place(
    '/proc/uptime',
    specialNode(false, () => `${((Date.now() - guest.bootedAt) / 1000).toFixed(2)} 0.00\n`),
  )
  vfs.place(
    '/proc/meminfo',
    specialNode(false, () => `MemTotal:       ${guest.spec.memoryMiB * 1024} kB\nMemAvailable:   ${guest.spec.memoryMiB * 900} kB\n`),
  )
  vfs.place(
    '/proc/self/mounts',
    specialNode(false, () =>
      vfs.mounts.map((mount) => `${mount.source} ${mount.target} ${mount.filesystem.type} ${mount.options} 0 0\n`).join(''),
    ),
  )
  vfs.place(
    '/proc/self/mountinfo',
    specialNode(false, () =>
      vfs.mounts
        .map(
          ({ source, target, filesystem, options }, at) =>
            `${at + 21} 1 8:${at} / ${target} ${options} - ${filesystem.type} ${source} ${options}\n`,
        )
        .join(''),
    ),
  )
  vfs.place(
    '/proc/mounts',
    specialNode(false, () => vfs.readText('/proc/self/mounts')),
  )
  const id = vfs.exists('/etc/machine-id') ? vfs.readText('/etc/machine-id').trim() : ''
  if (id === '' || id === 'uninitialized') vfs.write('/etc/machine-id', `${randomBytes(16).toString('hex')}\n`)
}
