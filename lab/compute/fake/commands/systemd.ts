/** systemctl, journalctl and systemd's other programs. */
import { posix } from 'node:path'
import { randomBytes } from 'node:crypto'
import { enableUnit } from '../debian.ts'
import { fail, ok, type Program, type Result, type Run } from '../shell.ts'
import { deviceUnit, escapePath, unitName } from '../unit-file.ts'
import { ROOT } from '../vfs.ts'
import { options } from './files.ts'

function power(run: Run, event: 'powerdown' | 'reboot'): Result {
  if (run.as.uid !== 0) return fail('Call to PowerOff failed: Interactive authentication required.')
  // A moment later, so that who asked for it still gets the answer, as with a real one.
  setTimeout(() => void run.guest.powerOff(event), 30)
  return ok()
}

function properties(run: Run, unit: string): Record<string, string> {
  const { systemd } = run.guest
  const name = unitName(unit)
  const file = systemd.file(name)
  const state = systemd.state(name)
  const enabled = systemd.enabled(name)
  return {
    Id: name,
    Names: name,
    LoadState:
      enabled === 'masked' || file?.masked
        ? 'masked'
        : file || name.endsWith('.target') || name.endsWith('.device')
          ? 'loaded'
          : 'not-found',
    ActiveState: state,
    SubState:
      state === 'failed'
        ? 'failed'
        : state === 'active'
          ? name.endsWith('.mount')
            ? 'mounted'
            : name.endsWith('.service')
              ? file?.one('Service', 'Type') === 'oneshot'
                ? 'exited'
                : 'running'
              : 'active'
          : 'dead',
    Result: systemd.result(name),
    UnitFileState: enabled === 'not-found' ? '' : enabled,
    FragmentPath: file?.path ?? '',
    Description: file?.one('Unit', 'Description') ?? name,
    MainPID: state === 'active' ? '500' : '0',
    ExecMainStatus: state === 'failed' ? '1' : '0',
    NRestarts: '0',
    Type: file?.one('Service', 'Type') ?? 'simple',
    ConditionResult: systemd.result(name) === 'condition' ? 'no' : 'yes',
    NeedDaemonReload: 'no',
  }
}

async function each(units: readonly string[], work: (unit: string) => string | undefined | Promise<string | undefined>): Promise<Result> {
  let stderr = ''
  for (const unit of units) {
    const problem = await work(unitName(unit))
    if (problem) stderr += `${problem}\n`
  }
  return { stdout: '', stderr, exitCode: stderr ? 1 : 0 }
}

const systemctl: Program = async (args, run) => {
  const { flags, rest } = options(args, ['-p', '--property', '-t', '--type', '-n', '--lines', '-o', '--output', '--state', '-H', '--root'])
  const [command = 'list-units', ...units] = rest
  const { systemd, vfs } = run.guest
  const quiet = flags.has('-q') || flags.has('--quiet')
  const changing = [
    'start',
    'stop',
    'restart',
    'reload',
    'reload-or-restart',
    'try-restart',
    'enable',
    'disable',
    'mask',
    'unmask',
    'daemon-reload',
    'isolate',
    'kill',
    'reset-failed',
    'preset',
    'set-default',
  ]
  if (changing.includes(command) && run.as.uid !== 0) return fail(`Failed to ${command}: Interactive authentication required.`)
  switch (command) {
    case 'daemon-reload':
    case 'daemon-reexec':
    case 'set-default':
    case 'preset':
    case 'preset-all':
    case 'kill':
    case 'set-property':
    case 'import-environment':
      return ok()
    case 'start':
      if (flags.has('--no-block')) {
        for (const unit of units) void systemd.start(unit)
        return ok()
      }
      return each(units, (unit) => systemd.start(unit))
    case 'stop':
      return each(units, async (unit) => {
        await systemd.stop(unit)
        return undefined
      })
    case 'restart':
      return each(units, async (unit) => {
        await systemd.stop(unit)
        return systemd.start(unit)
      })
    case 'try-restart':
      return each(units, async (unit) => {
        if (systemd.state(unit) !== 'active') return undefined
        await systemd.stop(unit)
        return systemd.start(unit)
      })
    case 'reload':
      return each(units, (unit) => (systemd.state(unit) === 'active' ? undefined : `${unit} is not active, cannot reload.`))
    case 'reload-or-restart':
      return each(units, async (unit) => (systemd.state(unit) === 'active' ? undefined : systemd.start(unit)))
    case 'isolate':
      return ok()
    case 'reset-failed':
      for (const unit of units.length > 0 ? units : [undefined]) systemd.resetFailed(unit)
      return ok()
    case 'is-active':
    case 'is-failed': {
      const wanted = command === 'is-active' ? 'active' : 'failed'
      const states = units.map((unit) => systemd.state(unit))
      return {
        stdout: quiet ? '' : `${states.join('\n')}\n`,
        stderr: '',
        exitCode: states.includes(wanted) ? 0 : command === 'is-active' ? 3 : 1,
      }
    }
    case 'is-enabled': {
      const states = units.map((unit) => systemd.enabled(unit))
      return {
        stdout: quiet ? '' : `${states.join('\n')}\n`,
        stderr: '',
        exitCode: states.every((state) => ['enabled', 'static', 'alias'].includes(state)) ? 0 : 1,
      }
    }
    case 'is-system-running': {
      const degraded = systemd.failed().length > 0
      return { stdout: `${degraded ? 'degraded' : 'running'}\n`, stderr: '', exitCode: degraded ? 1 : 0 }
    }
    case 'enable':
    case 'reenable':
      return each(units, async (unit) => {
        if (systemd.enabled(unit) === 'masked') return `Failed to enable unit: Unit file /etc/systemd/system/${unit} is masked.`
        const path = units.find((word) => word.startsWith('/') && word.endsWith(`/${unit}`))
        if (path !== undefined && !vfs.exists(`/etc/systemd/system/${unit}`)) vfs.symlink(path, `/etc/systemd/system/${unit}`)
        if (enableUnit(vfs, unit) === undefined) return `Failed to enable unit: Unit file ${unit} does not exist.`
        return flags.has('--now') ? systemd.start(unit) : undefined
      })
    case 'disable':
      return each(units, async (unit) => {
        if (!systemd.file(unit) && systemd.enabled(unit) === 'not-found') return `Failed to disable unit: Unit ${unit} does not exist`
        unlink(run, unit)
        if (flags.has('--now')) await systemd.stop(unit)
        return undefined
      })
    case 'mask':
      return each(units, async (unit) => {
        const own = `/etc/systemd/system/${unit}`
        vfs.remove(own, ROOT, { force: true })
        vfs.symlink('/dev/null', own)
        if (flags.has('--now')) await systemd.stop(unit)
        return undefined
      })
    case 'unmask':
      return each(units, (unit) => {
        if (systemd.enabled(unit) === 'masked') vfs.remove(`/etc/systemd/system/${unit}`)
        return undefined
      })
    case 'show': {
      const names = (flags.get('-p') ?? flags.get('--property') ?? '').split(',').filter(Boolean)
      return ok(
        units
          .map((unit) =>
            Object.entries(properties(run, unit))
              .filter(([name]) => names.length === 0 || names.includes(name))
              .map(([name, value]) => (flags.has('--value') ? `${value}\n` : `${name}=${value}\n`))
              .join(''),
          )
          .join('\n'),
      )
    }
    case 'cat':
      return each(units, (unit) => (systemd.file(unit) ? undefined : `No files found for ${unit}.`)).then((result) => ({
        ...result,
        stdout: units
          .map((unit) => {
            const file = systemd.file(unit)
            return file ? [file.path, ...file.dropins].map((path) => `# ${path}\n${vfs.readText(path)}`).join('\n') : ''
          })
          .join('\n'),
      }))
    case 'status': {
      const [unit = ''] = units
      const all = properties(run, unit)
      return {
        stdout: `● ${all.Id ?? ''} - ${all.Description ?? ''}\n     Loaded: ${all.LoadState ?? ''} (${all.FragmentPath ?? ''}; ${all.UnitFileState ?? ''})\n     Active: ${all.ActiveState ?? ''} (${all.SubState ?? ''})\n`,
        stderr: '',
        exitCode: all.ActiveState === 'active' ? 0 : all.LoadState === 'not-found' ? 4 : 3,
      }
    }
    case 'list-units':
    case 'list-unit-files':
    case 'list-timers':
    case 'list-sockets': {
      const type =
        flags.get('-t') ?? flags.get('--type') ?? (command === 'list-timers' ? 'timer' : command === 'list-sockets' ? 'socket' : undefined)
      const state = flags.get('--state') ?? (flags.has('--failed') ? 'failed' : undefined)
      const shown = systemd
        .known()
        .filter(
          (name) =>
            (type === undefined || name.endsWith(`.${type}`)) &&
            (units.length === 0 || units.some((glob) => posix.matchesGlob(name, glob))) &&
            (state === undefined || state.split(',').some((each) => systemd.state(name) === each || systemd.enabled(name) === each)) &&
            (command !== 'list-units' || flags.has('-a') || flags.has('--all') || systemd.state(name) !== 'inactive'),
        )
      return ok(
        shown
          .map((name) =>
            command === 'list-unit-files'
              ? `${name} ${systemd.enabled(name)}\n`
              : `${name} loaded ${systemd.state(name)} ${properties(run, name).SubState ?? ''}\n`,
          )
          .join(''),
      )
    }
    case 'list-dependencies':
      return ok(
        `${units[0] ?? ''}\n${systemd
          .wantedBy(units[0] ?? '')
          .map((name) => `  ${name}\n`)
          .join('')}`,
      )
    case 'poweroff':
    case 'halt':
      return power(run, 'powerdown')
    case 'reboot':
      return power(run, 'reboot')
    case '--version':
      return ok('systemd 257 (257.8-1~deb13u2)\n')
    default:
      return fail(`Unknown command verb '${command}'.`)
  }
}

function unlink(run: Run, unit: string): void {
  const { vfs } = run.guest
  for (const path of vfs.paths('/etc/systemd/system')) {
    const inFolder = /\.(wants|requires|upholds)\/[^/]+$/.test(path) && path.endsWith(`/${unit}`)
    const node = vfs.lookup(path, ROOT, false)
    const alias = node.kind === 'link' && posix.dirname(path) === '/etc/systemd/system' && node.target.endsWith(`/${unit}`)
    if (inFolder || alias) vfs.remove(path)
  }
}

const journalctl: Program = (args, run) => {
  const { flags, rest } = options(args, [
    '-u',
    '--unit',
    '-n',
    '--lines',
    '-o',
    '--output',
    '--since',
    '-p',
    '-t',
    '--until',
    '-g',
    '--vacuum-size',
    '--vacuum-time',
  ])
  if (flags.has('--relinquish-var') || flags.has('--rotate') || flags.has('--flush') || flags.has('--sync')) {
    if ([...flags.keys()].some((flag) => flag.startsWith('--vacuum'))) clearJournal(run)
    return ok()
  }
  if ([...flags.keys()].some((flag) => flag.startsWith('--vacuum'))) {
    clearJournal(run)
    return ok()
  }
  const unit = flags.get('-u') ?? flags.get('--unit') ?? rest.find((word) => word.endsWith('.service'))
  const lines = run.guest.journalOf(unit === undefined ? undefined : unitName(unit))
  const count = flags.get('-n') ?? flags.get('--lines')
  const shown = count === undefined || count === '' ? lines : lines.slice(-Number(count))
  return ok(
    shown.length === 0
      ? '-- No entries --\n'
      : shown
          .map((line) =>
            (flags.get('-o') ?? '') === 'cat'
              ? `${line.text}\n`
              : `Jan 01 00:00:00 ${run.guest.hostname} ${line.unit.replace(/\.service$/, '')}[500]: ${line.text}\n`,
          )
          .join(''),
  )
}

function clearJournal(run: Run): void {
  for (const name of [...run.guest.vfs.readdir('/var/log/journal', ROOT).entries.keys()])
    run.guest.vfs.remove(`/var/log/journal/${name}`, ROOT, { recursive: true })
}

export const systemdPrograms: Readonly<Record<string, Program>> = {
  systemctl,
  journalctl,
  poweroff: (_args, run) => power(run, 'powerdown'),
  halt: (_args, run) => power(run, 'powerdown'),
  reboot: (_args, run) => power(run, 'reboot'),
  shutdown: (args, run) => power(run, args.includes('-r') ? 'reboot' : 'powerdown'),
  'systemd-detect-virt': () => ok('kvm\n'),
  'systemd-notify': () => ok(),
  networkctl: () => ok(),
  loginctl: () => ok(),
  resolvectl: () => ok(),
  'systemd-analyze': (args, run) => {
    if (args[0] !== 'verify') return ok()
    const missing = args.slice(1).find((path) => path.startsWith('/') && !run.guest.vfs.exists(path))
    return missing === undefined ? ok() : fail(`Failed to prepare filename ${missing}: No such file or directory`)
  },
  'systemd-run': async (args, run) => {
    const { rest } = options(args, ['--unit', '-p', '--property', '--on-active', '-E', '--setenv', '--description', '-u'])
    const valued = args.findIndex((word) => !word.startsWith('-'))
    return run.exec(valued >= 0 && rest.length > 0 ? rest : ['true'], { env: run.env })
  },
  'systemd-cat': async (args, run) => {
    const { rest } = options(args, ['-t', '-p'])
    const result = rest.length > 0 ? await run.exec(rest, { stdin: run.stdin }) : ok(run.stdin)
    run.guest.journal('systemd-cat', result.stdout + result.stderr)
    return { ...result, stdout: '', stderr: '' }
  },
  logger: (args, run) => {
    const { flags, rest } = options(args, ['-t', '-p', '--tag'])
    run.guest.journal(flags.get('-t') ?? flags.get('--tag') ?? run.account.name, rest.join(' ') || run.stdin)
    return ok()
  },
  'systemd-escape': (args) => {
    const { flags, rest } = options(args, ['--suffix', '--template'])
    const text = rest
      .map((word) =>
        flags.has('-p') || flags.has('--path')
          ? escapePath(word)
          : deviceUnit(`/${word}`)
              .replace(/\.device$/, '')
              .replaceAll('\\x2f', '-'),
      )
      .join(' ')
    return ok(`${text}${flags.has('--suffix') ? `.${flags.get('--suffix') ?? ''}` : ''}\n`)
  },
  'systemd-machine-id-setup': (_args, run) => {
    if (run.guest.vfs.readText('/etc/machine-id').trim() === '')
      run.guest.vfs.write('/etc/machine-id', `${randomBytes(16).toString('hex')}\n`)
    return ok()
  },
  hostnamectl: (args, run) => {
    const { rest } = options(args)
    if (rest[0] === 'set-hostname' || (rest[0] === 'hostname' && rest[1] !== undefined)) {
      run.guest.vfs.write('/etc/hostname', `${rest[1] ?? ''}\n`, run.as)
      return ok()
    }
    return rest[0] === 'hostname'
      ? ok(`${run.guest.hostname}\n`)
      : ok(
          ` Static hostname: ${run.guest.hostname}\n  Virtualization: kvm\nOperating System: Debian GNU/Linux 13 (trixie)\n          Kernel: Linux 6.12.48+deb13-cloud-amd64\n    Architecture: x86-64\n`,
        )
  },
  timedatectl: (args) => ok(args.includes('show') ? 'Timezone=Etc/UTC\nNTPSynchronized=yes\n' : ''),
}
