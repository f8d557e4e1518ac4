/** Programs that look at, make and mount file systems. */
import { findGroup } from '../accounts.ts'
import type { Content, Device } from '../devices.ts'
import { Filesystem } from '../filesystem.ts'
import { fail, ok, type Program, type Run } from '../shell.ts'
import { options } from './files.ts'

function signature(content: Content): { type: string; uuid?: string; label?: string } | undefined {
  if (content.kind === 'filesystem')
    return { type: content.filesystem.type, uuid: content.filesystem.uuid, label: content.filesystem.label }
  if (content.kind === 'foreign') return { type: content.type, uuid: content.uuid }
  return content.kind === 'partitions' ? { type: 'gpt' } : undefined
}

function readable(run: Run): boolean {
  return run.as.uid === 0 || run.as.groups.includes(findGroup(run.guest.vfs, 'disk')?.gid ?? 6)
}

const mkfs: Program = async (args, run) => {
  const { flags, rest } = options(args, ['-L', '-U', '-E', '-O', '-m', '-b', '-i', '-T', '-N', '-t', '-n'])
  const type = run.name === 'mkfs' ? (flags.get('-t') ?? 'ext2') : run.name.replace('mkfs.', '')
  const path = run.path(rest[0] ?? '')
  const device = run.guest.deviceAt(path)
  if (!readable(run)) return fail(`${run.name}: Permission denied while trying to determine filesystem size`)
  if (!device) return fail(`The file ${path} does not exist and no size was specified.`)
  if (run.guest.vfs.mounts.some((mount) => mount.source === `/dev/${device.name}`))
    return fail(`/dev/${device.name} is mounted; will not make a filesystem here!`)
  const there = signature(device.content)
  // mke2fs asks about an old file system only when a person sits at a terminal (PRS() of misc/mke2fs.c); mkfs.xfs always refuses.
  if (there && type === 'xfs' && !flags.has('-f'))
    return fail(
      `mkfs.xfs: /dev/${device.name} appears to contain an existing filesystem (${there.type}).\nmkfs.xfs: Use the -f option to force overwrite.`,
    )
  const filesystem = new Filesystem(type, {
    label: flags.get('-L') ?? flags.get('-n') ?? '',
    ...(flags.has('-U') && { uuid: flags.get('-U') ?? '' }),
  })
  filesystem.put('lost+found', new Filesystem('x').root)
  run.guest.devices.replace(device.name, { kind: 'filesystem', filesystem })
  run.guest.refreshDevice(device.name)
  await run.guest.devices.flush()
  return ok(flags.has('-q') ? '' : `Creating filesystem\nFilesystem UUID: ${filesystem.uuid}\n`)
}

const blkid: Program = (args, run) => {
  const { flags, rest } = options(args, ['-s', '-o', '-t', '-L', '-U', '--output', '--match-tag'])
  const wanted = flags.get('-s') ?? flags.get('--match-tag')
  const format = flags.get('-o') ?? flags.get('--output') ?? 'full'
  const all = run.guest.devices.all()
  if (flags.has('-L') || flags.has('-U')) {
    const found = all.find(
      ({ content }) => signature(content)?.[flags.has('-L') ? 'label' : 'uuid'] === (flags.get('-L') ?? flags.get('-U')),
    )
    return found ? ok(`/dev/${found.name}\n`) : fail('', 2)
  }
  const asked: (readonly [string, Device | undefined])[] =
    rest.length > 0
      ? rest.map((path) => [path, run.guest.deviceAt(run.path(path))] as const)
      : all.map((device) => [`/dev/${device.name}`, device] as const)
  if (!readable(run)) return fail('', 2)
  const lines = asked.flatMap(([path, device]) => {
    const found = device && signature(device.content)
    if (!found) return []
    const tags: [string, string][] =
      found.type === 'gpt'
        ? [['PTTYPE', 'gpt']]
        : [
            ...(found.label ? [['LABEL', found.label] as [string, string]] : []),
            ...(found.uuid ? [['UUID', found.uuid] as [string, string]] : []),
            ['TYPE', found.type],
          ]
    const shown = tags.filter(([name]) => wanted === undefined || name === wanted)
    if (flags.has('-p') && format === 'udev') return [shown.map(([name, value]) => `ID_FS_${name}=${value}`).join('\n')]
    if (format === 'value') return [shown.map(([, value]) => value).join('\n')]
    if (format === 'export') return [[`DEVNAME=${path}`, ...shown.map(([name, value]) => `${name}=${value}`)].join('\n')]
    if (format === 'device') return [path]
    return [`${path}: ${shown.map(([name, value]) => `${name}="${value}"`).join(' ')}`]
  })
  return lines.length === 0 ? fail('', 2) : ok(`${lines.join('\n')}\n`)
}

const wipefs: Program = (args, run) => {
  const { flags, rest } = options(args, ['-t', '-o', '-O', '--output', '--types'])
  const device = run.guest.deviceAt(run.path(rest[0] ?? ''))
  if (!device) return fail(`wipefs: error: ${rest[0] ?? ''}: probing initialization failed: No such file or directory`)
  if (!readable(run)) return fail(`wipefs: error: ${rest[0] ?? ''}: probing initialization failed: Permission denied`)
  const found = signature(device.content)
  if (flags.has('-a') || flags.has('--all')) {
    if (run.guest.vfs.mounts.some((mount) => mount.source.startsWith(`/dev/${device.name}`)))
      return fail(`wipefs: error: ${rest[0] ?? ''}: probing initialization failed: Device or resource busy`)
    if (!flags.has('-n') && !flags.has('--no-act')) {
      run.guest.devices.wipe(device.name)
      run.guest.refreshDevice(device.name)
    }
    return ok()
  }
  if (flags.has('--json') || flags.has('-J'))
    return ok(
      `${JSON.stringify({ signatures: found ? [{ device: device.name, offset: '0x438', type: found.type, uuid: found.uuid ?? null, label: found.label || null }] : [] }, null, 3)}\n`,
    )
  return ok(
    found
      ? `${flags.has('--noheadings') || flags.has('-i') ? '' : 'DEVICE OFFSET TYPE UUID LABEL\n'}${device.name} 0x438  ${found.type} ${found.uuid ?? ''} ${found.label ?? ''}\n`
      : '',
  )
}

const lsblk: Program = (args, run) => {
  const { flags, rest } = options(args, ['-o', '--output', '-I'])
  const columns = (flags.get('-o') ?? flags.get('--output') ?? 'NAME,SIZE,TYPE,MOUNTPOINTS').toUpperCase().split(',')
  const only = rest.map((path) => run.guest.deviceAt(run.path(path))?.name ?? '')
  if (only.includes('')) return fail(`lsblk: ${rest[only.indexOf('')] ?? ''}: not a block device`, 32)
  const value = (device: Device, column: string): string | number | null | (string | null)[] => {
    const mounts = run.guest.vfs.mounts.filter((mount) => mount.source === `/dev/${device.name}`).map((mount) => mount.target)
    const found = signature(device.content)
    const size = device.partition === undefined ? device.disk.bytes : Math.max(0, device.disk.bytes - (1 << 20))
    const values: Record<string, string | number | null | (string | null)[]> = {
      NAME: device.name,
      KNAME: device.name,
      PATH: `/dev/${device.name}`,
      SIZE: flags.has('-b') || flags.has('--bytes') ? size : `${+(size / 2 ** 30).toFixed(1)}G`,
      TYPE: device.disk.media === 'cdrom' ? 'rom' : device.partition === undefined ? 'disk' : 'part',
      MOUNTPOINT: mounts[0] ?? null,
      MOUNTPOINTS: mounts.length > 0 ? mounts : [null],
      FSTYPE: found && found.type !== 'gpt' ? found.type : null,
      LABEL: found?.label || null,
      UUID: found?.uuid ?? null,
      SERIAL: device.partition === undefined ? (device.disk.serial ?? `drive-${device.disk.slot}`) : null,
      PTTYPE: found?.type === 'gpt' ? 'gpt' : null,
      RO: device.disk.media === 'cdrom' ? 1 : 0,
      MODEL: device.disk.media === 'cdrom' ? 'QEMU DVD-ROM' : 'QEMU HARDDISK',
      PKNAME: device.partition === undefined ? null : device.disk.name,
    }
    return values[column] ?? null
  }
  const devices = run.guest.devices
    .all()
    .filter((device) => only.length === 0 || only.includes(device.name) || (!flags.has('-d') && only.includes(device.disk.name)))
    .filter((device) => !(flags.has('-d') || flags.has('--nodeps')) || device.partition === undefined || only.includes(device.name))
  if (flags.has('-J') || flags.has('--json')) {
    const show = (device: Device): Record<string, unknown> =>
      Object.fromEntries(columns.map((column) => [column.toLowerCase(), value(device, column)]))
    const tops = devices.filter((device) => device.partition === undefined || only.includes(device.name))
    return ok(
      `${JSON.stringify(
        {
          blockdevices: tops.map((top) => {
            const children = devices.filter((each) => each.partition !== undefined && each.disk === top.disk && each !== top)
            return { ...show(top), ...(children.length > 0 && { children: children.map(show) }) }
          }),
        },
        null,
        3,
      )}\n`,
    )
  }
  const text = (device: Device): string =>
    columns
      .map((column) => {
        const each = value(device, column)
        return Array.isArray(each) ? each.filter(Boolean).join(',') : String(each ?? '')
      })
      .join(' ')
  return ok(
    `${flags.has('-n') || flags.has('--noheadings') ? '' : `${columns.join(' ')}\n`}${devices.map((device) => `${text(device).trimEnd()}\n`).join('')}`,
  )
}

const mount: Program = (args, run) => {
  const { flags, rest } = options(args, ['-t', '--types', '-o', '--options', '-L', '-U'])
  if (rest.length === 0 && !flags.has('-a') && !flags.has('-L') && !flags.has('-U'))
    return ok(
      run.guest.vfs.mounts.map((each) => `${each.source} on ${each.target} type ${each.filesystem.type} (${each.options})\n`).join(''),
    )
  if (run.as.uid !== 0) return fail(`mount: ${rest.at(-1) ?? ''}: must be superuser to use mount.`, 32)
  const choice = flags.get('-o') ?? flags.get('--options')
  const fstab = run.guest.vfs.exists('/etc/fstab')
    ? run.guest.vfs
        .readText('/etc/fstab')
        .split('\n')
        .map((line) => line.trim().split(/\s+/))
        .filter((fields) => fields.length >= 3 && !fields[0]?.startsWith('#'))
    : []
  if (flags.has('-a')) {
    for (const [what = '', where = '', type, opts] of fstab)
      if (where !== '/' && where.startsWith('/') && !run.guest.vfs.mounts.some((each) => each.target === where))
        run.guest.mountDevice(what, where, type, opts)
    return ok()
  }
  let [what = '', where = ''] = flags.has('-L')
    ? [`LABEL=${flags.get('-L') ?? ''}`, rest[0]]
    : flags.has('-U')
      ? [`UUID=${flags.get('-U') ?? ''}`, rest[0]]
      : rest
  let type = flags.get('-t') ?? flags.get('--types')
  if (flags.has('--make-private') || flags.has('--make-rprivate')) return ok()
  if (choice?.includes('remount')) return ok()
  if (flags.has('--bind') || flags.has('-B') || choice?.includes('bind')) {
    const problem = run.guest.bindFolder(run.path(what), run.path(where), choice)
    return problem === undefined ? ok() : fail(problem, 32)
  }
  if (where === '') {
    const entry = fstab.find((fields) => fields[1] === what || fields[0] === what)
    if (!entry) return fail(`mount: ${what}: can't find in /etc/fstab.`, 32)
    ;[what = '', where = '', type] = entry
  }
  const target = run.path(where)
  if (!run.guest.vfs.exists(target)) return fail(`mount: ${target}: mount point does not exist.`, 32)
  const problem = run.guest.mountDevice(/^(LABEL|UUID)=/.test(what) || what === 'tmpfs' ? what : run.path(what), target, type, choice)
  return problem === undefined ? ok() : fail(problem, 32)
}

const umount: Program = async (args, run) => {
  const { rest } = options(args, ['-t'])
  if (run.as.uid !== 0) return fail(`umount: ${rest[0] ?? ''}: must be superuser to unmount.`, 32)
  for (const word of rest) {
    const path = run.path(word)
    const device = run.guest.deviceAt(path)
    const target = device ? run.guest.vfs.mounts.findLast((each) => each.source === `/dev/${device.name}`)?.target : path
    if (target === undefined || !run.guest.vfs.mounts.some((each) => each.target === target))
      return fail(`umount: ${word}: not mounted.`, 32)
    run.guest.vfs.unmount(target)
  }
  await run.guest.devices.flush()
  return ok()
}

const findmnt: Program = (args, run) => {
  const { flags, rest } = options(args, ['-o', '--output', '-S', '-t', '--source', '--target', '-T', '-M', '--mountpoint'])
  const columns = (flags.get('-o') ?? flags.get('--output') ?? 'TARGET,SOURCE,FSTYPE,OPTIONS').toUpperCase().split(',')
  const byTarget = flags.get('-T') ?? flags.get('--target')
  const name = flags.get('-M') ?? flags.get('--mountpoint') ?? rest[0]
  const source = flags.get('-S') ?? flags.get('--source')
  const found = run.guest.vfs.mounts.filter(
    (each) =>
      (byTarget === undefined || run.guest.vfs.mountOf(run.path(byTarget)) === each) &&
      (name === undefined || each.target === name || each.source === name || run.guest.deviceAt(name)?.name === each.source.slice(5)) &&
      (source === undefined || each.source === source || `LABEL=${each.filesystem.label}` === source) &&
      (flags.get('-t') === undefined || flags.get('-t') === each.filesystem.type),
  )
  if (found.length === 0) return fail('')
  const value = (each: (typeof found)[number], column: string): string =>
    ({
      TARGET: each.target,
      SOURCE: each.source,
      FSTYPE: each.filesystem.type,
      OPTIONS: each.options,
      LABEL: each.filesystem.label,
      UUID: each.filesystem.uuid,
    })[column] ?? ''
  if (flags.has('-J') || flags.has('--json'))
    return ok(
      `${JSON.stringify({ filesystems: found.map((each) => Object.fromEntries(columns.map((column) => [column.toLowerCase(), value(each, column)]))) }, null, 3)}\n`,
    )
  return ok(
    `${flags.has('-n') || flags.has('--noheadings') ? '' : `${columns.join(' ')}\n`}${found.map((each) => `${columns.map((column) => value(each, column)).join(' ')}\n`).join('')}`,
  )
}

/** Programs that check or grow a file system, which has no size or damage here. */
const fine =
  (text: string): Program =>
  (args, run) => {
    const path = args.findLast((word) => word.startsWith('/'))
    const device = path === undefined ? undefined : run.guest.deviceAt(path)
    if (!device) return fail(`${run.name}: No such file or directory while trying to open ${path ?? ''}`, 8)
    if (device.content.kind !== 'filesystem')
      return fail(`${run.name}: Bad magic number in super-block while trying to open ${path ?? ''}`, 8)
    return ok(text)
  }

export const diskPrograms: Readonly<Record<string, Program>> = {
  mkfs,
  'mkfs.ext4': mkfs,
  'mkfs.xfs': mkfs,
  'mkfs.vfat': mkfs,
  blkid,
  wipefs,
  lsblk,
  mount,
  umount,
  findmnt,
  mountpoint: (args, run) => {
    const { flags, rest } = options(args)
    const path = run.path(rest[0] ?? '')
    const is = run.guest.vfs.mounts.some((each) => each.target === path)
    return {
      stdout: flags.has('-q') ? '' : `${path} is ${is ? '' : 'not '}a mountpoint\n`,
      stderr: '',
      exitCode: is ? 0 : run.guest.vfs.exists(path) ? 32 : 1,
    }
  },
  e2label: (args, run) => {
    const device = run.guest.deviceAt(run.path(args[0] ?? ''))
    if (device?.content.kind !== 'filesystem') return fail(`e2label: Bad magic number in super-block while trying to open ${args[0] ?? ''}`)
    if (args[1] === undefined) return ok(`${device.content.filesystem.label}\n`)
    device.content.filesystem.label = args[1]
    device.content.filesystem.changes++
    run.guest.refreshDevice(device.name)
    return ok()
  },
  e2fsck: fine(''),
  'fsck.ext4': fine(''),
  resize2fs: fine(''),
  tune2fs: fine(''),
  growpart: () => ok('NOCHANGE: partition 1 could only be grown by 0\n'),
  swapoff: () => ok(),
  blockdev: (args, run) => {
    const device = run.guest.deviceAt(run.path(args.at(-1) ?? ''))
    return device
      ? ok(args.includes('--getsize64') ? `${device.disk.bytes}\n` : '')
      : fail(`blockdev: cannot open ${args.at(-1) ?? ''}: No such file or directory`)
  },
  udevadm: (args, run) => {
    const [command, ...rest] = args
    if (command !== 'info') return ok()
    const path = rest.find((word) => word.startsWith('/dev/')) ?? rest.find((word) => word.startsWith('--name='))?.slice(7)
    const device = path === undefined ? undefined : run.guest.deviceAt(path)
    if (!device) return fail(`Unknown device "${path ?? ''}": No such device`)
    return ok(`P: /devices/fake/${device.name}\nN: ${device.name}\n`)
  },
}
