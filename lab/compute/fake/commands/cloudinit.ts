/** The `cloud-init` program. */
import { fail, ok, type Program } from '../shell.ts'
import { ROOT } from '../vfs.ts'

const status: Program = async (args, run) => {
  if (args.includes('--wait')) await run.guest.cloudInitDone
  const { status: state, errors, warnings } = run.guest.cloudInit
  const extended = errors.length > 0 ? 'error - done' : state === 'done' && warnings.length > 0 ? 'degraded done' : state
  const exitCode = errors.length > 0 ? 1 : warnings.length > 0 ? 2 : 0
  const recoverable = warnings.length === 0 ? '{}' : JSON.stringify({ WARNING: warnings })
  if (args.includes('--format') || args.includes('--format=json')) {
    return {
      stdout: `${JSON.stringify({ status: errors.length > 0 ? 'error' : state, extended_status: extended, errors, recoverable_errors: warnings.length > 0 ? { WARNING: warnings } : {}, datasource: 'nocloud', boot_status_code: 'enabled-by-generator', schema: '1' }, null, 1)}\n`,
      stderr: '',
      exitCode,
    }
  }
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
  if (args.includes('--machine-id')) vfs.write('/etc/machine-id', 'uninitialized\n')
  if (
    args.some(
      (word, at) =>
        word === '--configs=all' ||
        word === '--configs=network' ||
        (word === '--configs' && /all|network/.test(args[at + 1] ?? '')) ||
        (word === '-c' && /all|network/.test(args[at + 1] ?? '')),
    )
  )
    vfs.remove('/etc/netplan/50-cloud-init.yaml', ROOT, { force: true })
  return ok()
}

export const cloudInitPrograms: Readonly<Record<string, Program>> = {
  'cloud-init': (args, run) => {
    const [command, ...rest] = args
    if (command === 'status') return status(rest, run)
    if (command === 'clean') return clean(rest, run)
    if (command === '--version' || command === '-v') return ok('/usr/bin/cloud-init 25.1.4\n')
    if (command === 'schema') return ok('Valid schema\n')
    if (command === 'query')
      return rest[0] === 'instance_id'
        ? ok(run.guest.vfs.exists('/var/lib/cloud/data/instance-id') ? run.guest.vfs.readText('/var/lib/cloud/data/instance-id') : '')
        : fail(`cloud-init query ${rest[0] ?? ''}: not modelled by the fake guest`)
    return fail(`cloud-init ${command ?? ''}: not modelled by the fake guest`)
  },
  'cloud-id': () => ok('nocloud\n'),
}
