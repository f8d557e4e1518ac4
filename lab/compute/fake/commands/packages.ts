/** apt and dpkg. What a package brings is in ../packages.ts. */
import { installedPackages, installPackage, missingPackages, writePackages } from '../debian.ts'
import { CATALOGUE } from '../packages.ts'
import { fail, ok, type Program, type Result, type Run } from '../shell.ts'
import { compareVersions } from '../version.ts'
import { ROOT } from '../vfs.ts'
import { options } from './files.ts'

const APT_VALUED = ['-o', '-t', '-c', '--option', '--target-release']

function offline(): Result {
  return fail(
    "Err:1 http://deb.debian.org/debian trixie InRelease\n  Temporary failure resolving 'deb.debian.org'\nE: Failed to fetch http://deb.debian.org/debian/dists/trixie/InRelease  Temporary failure resolving 'deb.debian.org'\nE: Some index files failed to download. They have been ignored, or old ones used instead.",
    100,
  )
}

/** Of packages that are there. */
function setVersions(vfs: Run['guest']['vfs'], versions: Readonly<Record<string, string>>): void {
  writePackages(
    vfs,
    installedPackages(vfs).map((each) => ({ ...each, version: versions[each.name] ?? each.version })),
  )
}

async function install(run: Run, words: readonly string[]): Promise<Result> {
  const { vfs } = run.guest
  const names = words.map((word) => word.replace(/[=:/].*$/, '').replace(/\+$/, ''))
  const unknown = names.filter((name) => CATALOGUE[name] === undefined)
  if (unknown.length > 0) return fail(unknown.map((name) => `E: Unable to locate package ${name}`).join('\n'), 100)
  const list: string[] = []
  for (const name of names) for (const each of missingPackages(vfs, name) ?? []) if (!list.includes(each)) list.push(each)
  if (list.length === 0) return ok('Reading package lists...\n0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.\n')
  if (!run.guest.world.internet(run.guest, 80)) return offline()
  if (![...vfs.readdir('/var/lib/apt/lists', ROOT).entries.keys()].length)
    return fail(list.map((name) => `E: Unable to locate package ${name}`).join('\n'), 100)
  for (const name of list) {
    const model = installPackage(vfs, name)
    const other = run.guest.behaviour.archive?.[name]
    if (other !== undefined) setVersions(vfs, { [name]: other })
    vfs.write(`/var/cache/apt/archives/${name}.deb`, '')
    for (const unit of model.enable ?? []) if (run.guest.systemd.enabled(unit) === 'enabled') await run.guest.systemd.start(unit)
  }
  vfs.write('/var/log/apt/history.log', `Commandline: apt-get install ${words.join(' ')}\n`, ROOT, { append: true })
  return ok(
    `Reading package lists...\nThe following NEW packages will be installed:\n  ${list.join(' ')}\n0 upgraded, ${list.length} newly installed, 0 to remove and 0 not upgraded.\n${list.map((name) => `Setting up ${name} (${CATALOGUE[name]?.version ?? ''}) ...\n`).join('')}`,
  )
}

const apt: Program = async (args, run) => {
  const { rest } = options(args, APT_VALUED)
  const [command, ...names] = rest
  const { vfs } = run.guest
  if (run.as.uid !== 0)
    return fail(
      'E: Could not open lock file /var/lib/dpkg/lock-frontend - open (13: Permission denied)\nE: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), are you root?',
      100,
    )
  switch (command) {
    case 'update':
      if (!run.guest.world.internet(run.guest, 80)) return offline()
      if (run.guest.behaviour.updateFails !== undefined) return fail(run.guest.behaviour.updateFails, 100)
      vfs.mkdir('/var/lib/apt/lists/partial', ROOT, { parents: true })
      vfs.write('/var/lib/apt/lists/deb.debian.org_debian_dists_trixie_InRelease', '')
      return ok('Get:1 http://deb.debian.org/debian trixie InRelease\nReading package lists...\n')
    case 'install':
      return install(run, names)
    case 'clean':
      for (const name of [...vfs.readdir('/var/cache/apt/archives', ROOT).entries.keys()])
        vfs.remove(`/var/cache/apt/archives/${name}`, ROOT, { recursive: true })
      return ok()
    case 'dist-upgrade': {
      if (!run.guest.world.internet(run.guest, 80)) return offline()
      const there = new Set(installedPackages(vfs).map(({ name }) => name))
      const upgraded = Object.entries(run.guest.behaviour.archive ?? {}).filter(([name]) => there.has(name))
      setVersions(vfs, Object.fromEntries(upgraded))
      return ok(`${upgraded.length} upgraded, 0 newly installed, 0 to remove and 0 not upgraded.\n`)
    }
    case 'check':
      return ok()
    default:
      return fail(`E: Invalid operation ${command ?? ''}`, 100)
  }
}

function show(format: string, each: { name: string; version: string; held: boolean }): string {
  const fields: Record<string, string> = {
    Package: each.name,
    'binary:Package': each.name,
    Version: each.version,
    Architecture: 'amd64',
    Status: `${each.held ? 'hold' : 'install'} ok installed`,
    'db:Status-Abbrev': each.held ? 'hi ' : 'ii ',
    'db:Status-Status': 'installed',
    'source:Package': each.name,
    'source:Version': each.version,
    Maintainer: 'Debian',
    'Installed-Size': '1000',
  }
  return format
    .replaceAll(/\$\{([\w:-]+)(?:;-?\d+)?\}/g, (_, name: string) => fields[name] ?? '')
    .replaceAll('\\n', '\n')
    .replaceAll('\\t', '\t')
}

const dpkgQuery: Program = (args, run) => {
  const { flags, rest } = options(args, ['-f', '--showformat'])
  const all = installedPackages(run.guest.vfs)
  const glob = (pattern: string): RegExp => new RegExp(`^${pattern.replaceAll(/[.+]/g, '\\$&').replaceAll('*', '.*')}$`)
  const chosen =
    rest.length === 0 ? all : all.filter((each) => rest.some((pattern) => glob(pattern.replace(/:amd64$/, '')).test(each.name)))
  const missing = rest.filter((pattern) => !all.some((each) => glob(pattern.replace(/:amd64$/, '')).test(each.name)))
  const stderr = missing.map((name) => `dpkg-query: no packages found matching ${name}\n`).join('')
  const format = flags.get('-f') ?? flags.get('--showformat')
  const stdout = chosen.map((each) => show(format ?? '${Package}\t${Version}\n', each)).join('')
  return { stdout, stderr, exitCode: missing.length > 0 ? 1 : 0 }
}

/** `-qq` leaves only errors. */
const quietly =
  (program: Program): Program =>
  async (args, run) => {
    const result = await program(args, run)
    return args.includes('-qq') ? { ...result, stdout: '' } : result
  }

export const packagePrograms: Readonly<Record<string, Program>> = {
  'apt-get': quietly(apt),
  dpkg: (args) => {
    if (args.includes('--configure') || args.includes('--audit')) return ok()
    const [command, a = '', relation, b = ''] = args
    if (command === '--compare-versions' && relation === 'gt') return compareVersions(a, b) > 0 ? ok() : fail('')
    return fail(`dpkg ${args.join(' ')}: not modelled by the fake guest`, 2)
  },
  'dpkg-query': dpkgQuery,
}
