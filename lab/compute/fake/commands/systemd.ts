/** systemctl, journalctl and systemd's other programs. */
import { posix } from 'node:path'
import { enableUnit } from '../debian.ts'
import { fail, ok, type Program, type Result, type Run } from '../shell.ts'
import { unitName } from '../unit-file.ts'
import { ROOT } from '../vfs.ts'
import { options } from './files.ts'

function power(run: Run, event: 'powerdown' | 'reboot'): Result {
  if (run.as.uid !== 0) return fail('Call to PowerOff failed: Interactive authentication required.')
  // A moment later, so that who asked for it still gets the answer, as with a real one.
  setTimeout(() => void run.guest.powerOff(event), 30)
  return ok()
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
  const { flags, rest } = options(args)
  const [command = '', ...units] = rest
  const { systemd, vfs } = run.guest
  const quiet = flags.has('-q') || flags.has('--quiet')
  const changing = 'start stop restart try-restart enable disable mask unmask daemon-reload reset-failed'.split(' ')
  if (changing.includes(command) && run.as.uid !== 0) return fail(`Failed to ${command}: Interactive authentication required.`)
  switch (command) {
    case 'daemon-reload':
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
    case 'enable':
      return each(units, async (unit) => {
        if (systemd.enabled(unit) === 'masked') return `Failed to enable unit: Unit file /etc/systemd/system/${unit} is masked.`
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
    case 'list-units':
    case 'list-unit-files': {
      const states = flags.get('--state')?.split(',')
      const shown = systemd
        .known()
        .filter(
          (name) =>
            (units.length === 0 || units.some((glob) => posix.matchesGlob(name, glob))) &&
            (states === undefined || states.includes(systemd.state(name))) &&
            (command === 'list-unit-files' || systemd.state(name) !== 'inactive'),
        )
      return ok(
        shown
          .map((name) => (command === 'list-units' ? `${name} loaded ${systemd.state(name)}\n` : `${name} ${systemd.enabled(name)}\n`))
          .join(''),
      )
    }
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

export const systemdPrograms: Readonly<Record<string, Program>> = {
  systemctl,
  // What is in memory goes to the disk: nothing is in memory.
  journalctl: (args) => (args.includes('--relinquish-var') ? ok() : fail('journalctl: not modelled by the fake guest')),
  reboot: (_args, run) => power(run, 'reboot'),
}
