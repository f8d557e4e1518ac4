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

/** The exit code is the first problem's: 5 where a unit is not there. */
async function each(units: readonly string[], work: (unit: string) => string | undefined | Promise<string | undefined>): Promise<Result> {
  let stderr = ''
  let exitCode = 0
  for (const unit of units) {
    const problem = await work(unitName(unit))
    if (problem === undefined) continue
    stderr += `${problem}\n`
    exitCode ||= /Unit \S+ not (found|loaded)\.$/.test(problem) ? 5 : 1
  }
  return { stdout: '', stderr, exitCode }
}

/** Whether systemd knows of it: by a file, or because it runs or has failed. Targets need no file here. */
const isThere = ({ guest: { systemd } }: Run, unit: string): boolean =>
  systemd.enabled(unit) !== 'not-found' || systemd.state(unit) !== 'inactive' || unit.endsWith('.target')

/** Starts one, in systemctl's words where that fails. */
async function start(run: Run, unit: string, verb: string): Promise<string | undefined> {
  const problem = await run.guest.systemd.start(unit)
  if (problem === undefined || /^(A dependency|Timed out)/.test(problem)) return problem
  return problem.startsWith('Failed to start ')
    ? problem.replace('start', verb)
    : `Job for ${unit} failed because the control process exited with error code.\nSee "systemctl status ${unit}" and "journalctl -xeu ${unit}" for details.`
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
      return each(units, (unit) => start(run, unit, command))
    case 'stop':
      return each(units, async (unit) => {
        if (!isThere(run, unit)) return `Failed to stop ${unit}: Unit ${unit} not loaded.`
        await systemd.stop(unit)
        return undefined
      })
    case 'restart':
      return each(units, async (unit) => {
        await systemd.stop(unit)
        return start(run, unit, command)
      })
    case 'try-restart':
      return each(units, async (unit) => {
        if (!isThere(run, unit)) return `Failed to ${command} ${unit}: Unit ${unit} not found.`
        if (systemd.state(unit) !== 'active') return undefined
        await systemd.stop(unit)
        return start(run, unit, command)
      })
    case 'reset-failed':
      if (units.length === 0) systemd.resetFailed()
      return each(units, (unit) => {
        systemd.resetFailed(unit)
        const isOne = !/[*?[]/.test(unit)
        return isOne && !isThere(run, unit) ? `Failed to reset failed state of unit ${unit}: Unit ${unit} not loaded.` : undefined
      }).then((result) => ({ ...result, exitCode: Math.min(result.exitCode, 1) }))
    case 'is-active':
    case 'is-failed': {
      const wanted = command === 'is-active' ? 'active' : 'failed'
      const states = units.map((unit) => systemd.state(unit))
      const isUnknown = !units.some((unit) => isThere(run, unit))
      return {
        stdout: quiet ? '' : `${states.join('\n')}\n`,
        stderr: '',
        exitCode: states.includes(wanted) ? 0 : isUnknown ? 4 : command === 'is-active' ? 3 : 1,
      }
    }
    case 'is-enabled': {
      const states = units.map((unit) => systemd.enabled(unit))
      return {
        stdout: quiet ? '' : `${states.join('\n')}\n`,
        stderr: '',
        // One is enough.
        exitCode: states.some((state) => ['enabled', 'static', 'alias'].includes(state))
          ? 0
          : states.every((state) => state === 'not-found')
            ? 4
            : 1,
      }
    }
    case 'enable':
      return each(units, async (unit) => {
        if (systemd.enabled(unit) === 'masked') return `Failed to enable unit: Unit file /etc/systemd/system/${unit} is masked`
        if (enableUnit(vfs, unit) === undefined) return `Failed to enable unit: Unit ${unit} does not exist`
        return flags.has('--now') ? start(run, unit, 'start') : undefined
      })
    case 'disable':
      return each(units, async (unit) => {
        if (!systemd.file(unit) && systemd.enabled(unit) === 'not-found') return `Failed to disable unit: Unit ${unit} does not exist`
        unlink(run, unit)
        if (flags.has('--now')) await systemd.stop(unit)
        return undefined
      })
    case 'mask': {
      const strange = units.filter((unit) => systemd.enabled(unit) === 'not-found')
      const masked = await each(units, async (unit) => {
        const own = `/etc/systemd/system/${unit}`
        vfs.remove(own, ROOT, { force: true })
        vfs.symlink('/dev/null', own)
        if (flags.has('--now')) await systemd.stop(unit)
        return undefined
      })
      return { ...masked, stderr: strange.map((unit) => `Unit ${unit} does not exist, proceeding anyway.\n`).join('') + masked.stderr }
    }
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
  /** `logger -t TAG TEXT` */
  logger: (args, run) => {
    const { flags, rest } = options(args, ['-t'])
    run.guest.journal(flags.get('-t') ?? run.account.name, rest.join(' '))
    return ok()
  },
  reboot: (_args, run) => power(run, 'reboot'),
}
