/** The `cloud-init` program. */
import { fail, ok, type Program } from '../shell.ts'
import { ROOT } from '../vfs.ts'

const status: Program = async (args, run) => {
  if (args.includes('--wait')) await run.guest.cloudInitDone
  const { status: state, errors, warnings } = run.guest.cloudInit
  const extended = errors.length > 0 ? 'error - done' : state === 'done' && warnings.length > 0 ? 'degraded done' : state
  const exitCode = errors.length > 0 ? 1 : warnings.length > 0 ? 2 : 0
  const recoverable = warnings.length === 0 ? '{}' : JSON.stringify({ WARNING: warnings })
  const long =
    args.includes('--long') || args.includes('-l')
      ? `extended_status: ${extended}\nboot_status_code: enabled-by-generator\ndetail: DataSourceNoCloud [seed=/dev/sr0]\nerrors: ${errors.length === 0 ? '[]' : `\n${errors.map((each) => `\t- ${each}`).join('\n')}`}\nrecoverable_errors: ${recoverable}\n`
      : ''
  return { stdout: `status: ${errors.length > 0 ? 'error' : state}\n${long}`, stderr: '', exitCode }
}

const clean: Program = (args, run) => {
  const { vfs } = run.guest
  if (run.as.uid !== 0) return fail('Error: cloud-init must be run as root', 1)
  for (const path of [
    '/var/lib/cloud/instance',
    '/var/lib/cloud/instances',
    '/var/lib/cloud/data',
    '/var/lib/cloud/sem',
    ...(args.includes('--seed') || args.includes('-s') ? ['/var/lib/cloud/seed'] : []),
  ])
    vfs.remove(path, ROOT, { recursive: true, force: true })
  if (args.includes('--logs') || args.includes('-l'))
    for (const path of ['/var/log/cloud-init.log', '/var/log/cloud-init-output.log']) vfs.remove(path, ROOT, { force: true })
  return ok()
}

export const cloudInitPrograms: Readonly<Record<string, Program>> = {
  'cloud-init': (args, run) => {
    const [command, ...rest] = args
    if (command === 'status') return status(rest, run)
    if (command === 'clean') return clean(rest, run)
    return fail(`cloud-init ${command ?? ''}: not modelled by the fake guest`)
  },
}
