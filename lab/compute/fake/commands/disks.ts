/** Programs that look at, make and mount file systems. */
import { findGroup } from '../accounts.ts'
import type { Content } from '../devices.ts'
import { Filesystem } from '../filesystem.ts'
import { fail, ok, type Program, type Result, type Run } from '../shell.ts'
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
  const { flags, rest } = options(args, ['-L', '-U', '-E', '-O', '-m', '-b', '-i', '-T', '-N'])
  const path = run.path(rest[0] ?? '')
  const device = run.guest.deviceAt(path)
  if (!readable(run)) return fail(`${run.name}: Permission denied while trying to determine filesystem size`)
  if (!device) return fail(`The file ${path} does not exist and no size was specified.`)
  if (run.guest.vfs.mounts.some((mount) => mount.source === `/dev/${device.name}`))
    return fail(`/dev/${device.name} is mounted; will not make a filesystem here!`)
  const _there = signature(device.content)
  // mke2fs asks about an old file system only when a person sits at a terminal (PRS() of misc/mke2fs.c).
  const filesystem = new Filesystem('ext4', { label: flags.get('-L') ?? '', ...(flags.has('-U') && { uuid: flags.get('-U') ?? '' }) })
  filesystem.put('lost+found', new Filesystem('x').root)
  run.guest.devices.replace(device.name, { kind: 'filesystem', filesystem })
  run.guest.refreshDevice(device.name)
  await run.guest.devices.flush()
  return ok(flags.has('-q') ? '' : `Creating filesystem\nFilesystem UUID: ${filesystem.uuid}\n`)
}

/** `blkid [-p] [-o value|export] [-s TAG] DEVICE`. */
const blkid: Program = (args, run) => {
  const { flags, rest } = options(args, ['-s', '-o'])
  const [path = ''] = rest
  const device = run.guest.deviceAt(run.path(path))
  const found = device && signature(device.content)
  if (!found || !readable(run)) return fail('', 2)
  const tags = (
    found.type === 'gpt'
      ? [['PTTYPE', 'gpt']]
      : [
          ['LABEL', found.label],
          ['UUID', found.uuid],
          ['TYPE', found.type],
        ]
  ).filter(([name, value]) => value && (flags.get('-s') ?? name) === name)
  switch (flags.get('-o')) {
    case 'value':
      return ok(tags.map(([, value]) => `${value}\n`).join(''))
    case 'export':
      return ok([`DEVNAME=${path}`, ...tags.map(([name, value]) => `${name}=${value}`)].map((line) => `${line}\n`).join(''))
    default:
      return ok(`${path}: ${tags.map(([name, value]) => `${name}="${value}"`).join(' ')}\n`)
  }
}

/** `wipefs -a DEVICE`. */
const wipefs: Program = (args, run) => {
  const path = args.at(-1) ?? ''
  const device = run.guest.deviceAt(run.path(path))
  const refused = (reason: string): Result => fail(`wipefs: error: ${path}: probing initialization failed: ${reason}`)
  if (!device) return refused('No such file or directory')
  if (!readable(run)) return refused('Permission denied')
  if (run.guest.vfs.mounts.some((mount) => mount.source.startsWith(`/dev/${device.name}`))) return refused('Device or resource busy')
  run.guest.devices.wipe(device.name)
  run.guest.refreshDevice(device.name)
  return ok()
}

/** `lsblk -bdno SIZE DEVICE`. */
const lsblk: Program = (args, run) => {
  const path = args.at(-1) ?? ''
  const device = run.guest.deviceAt(run.path(path))
  return device ? ok(`${device.disk.bytes}\n`) : fail(`lsblk: ${path}: not a block device`, 32)
}

const mount: Program = (args, run) => {
  const { flags, rest } = options(args, ['-t', '-o'])
  const [what = '', where = ''] = rest
  if (run.as.uid !== 0) return fail(`mount: ${where}: must be superuser to use mount.`, 32)
  const choice = flags.get('-o')
  const target = run.path(where)
  if (where === '' || !run.guest.vfs.exists(target)) return fail(`mount: ${target}: mount point does not exist.`, 32)
  const isBind = flags.has('--bind') || choice?.includes('bind') === true
  if (isBind && !run.guest.vfs.exists(run.path(what))) return fail(`mount: ${target}: special device ${run.path(what)} does not exist.`, 32)
  const problem = isBind
    ? run.guest.bindFolder(run.path(what), target, choice)
    : run.guest.mountDevice(/^(LABEL|UUID)=/.test(what) || what === 'tmpfs' ? what : run.path(what), target, flags.get('-t'), choice)
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
      return fail(`umount: ${word}: ${run.guest.vfs.exists(path) ? 'not mounted' : 'no mount point specified'}.`, 32)
    run.guest.vfs.unmount(target)
  }
  await run.guest.devices.flush()
  return ok()
}

/** `findmnt -no COLUMNS PATH`. */
const findmnt: Program = (args, run) => {
  const { flags, rest } = options(args, ['-o'])
  const found = run.guest.vfs.mounts.filter((each) => each.target === rest[0])
  const line = (each: (typeof found)[number]): string =>
    (flags.get('-o') ?? '')
      .split(',')
      .map((column) => ({ TARGET: each.target, SOURCE: each.source, FSTYPE: each.filesystem.type, OPTIONS: each.options })[column] ?? '')
      .join(' ')
  return found.length === 0 ? fail('') : ok(found.map((each) => `${line(each)}\n`).join(''))
}

export const diskPrograms: Readonly<Record<string, Program>> = {
  'mkfs.ext4': mkfs,
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
  // Nobody fills a disk here: what is reserved of it makes no difference.
  tune2fs: (args) => ok(`tune2fs 1.47.2 (1-Jan-2025)\nSetting reserved blocks count to ${args[args.indexOf('-r') + 1]}\n`),
  udevadm: () => ok(),
}
