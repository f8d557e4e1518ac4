/** apt and dpkg. What a package brings is in ../packages.ts. */
import { installedPackages, installPackage, missingPackages, writePackages } from '../debian.ts'
import { CATALOGUE } from '../packages.ts'
import { fail, ok, type Program, type Result, type Run } from '../shell.ts'
import { ROOT } from '../vfs.ts'
import { options } from './files.ts'

const APT_VALUED = ['-o', '-t', '-c', '--option', '--target-release']

function offline(): Result {
  return fail(
    "Err:1 http://deb.debian.org/debian trixie InRelease\n  Temporary failure resolving 'deb.debian.org'\nE: Failed to fetch http://deb.debian.org/debian/dists/trixie/InRelease  Temporary failure resolving 'deb.debian.org'\nE: Some index files failed to download. They have been ignored, or old ones used instead.",
    100,
  )
}

async function install(run: Run, words: readonly string[], simulate: boolean): Promise<Result> {
  const { vfs } = run.guest
  const names = words.map((word) => word.replace(/[=:/].*$/, '').replace(/\+$/, ''))
  const unknown = names.filter((name) => CATALOGUE[name] === undefined)
  if (unknown.length > 0) return fail(unknown.map((name) => `E: Unable to locate package ${name}`).join('\n'), 100)
  const list: string[] = []
  for (const name of names) for (const each of missingPackages(vfs, name) ?? []) if (!list.includes(each)) list.push(each)
  if (list.length === 0) return ok('Reading package lists...\n0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.\n')
  if (simulate) return ok(list.map((name) => `Inst ${name} (${CATALOGUE[name]?.version ?? ''} Debian:13/stable [amd64])\n`).join(''))
  if (!run.guest.world.internet(run.guest, 80)) return offline()
  if (![...vfs.readdir('/var/lib/apt/lists', ROOT).entries.keys()].length)
    return fail(list.map((name) => `E: Unable to locate package ${name}`).join('\n'), 100)
  for (const name of list) {
    const model = installPackage(vfs, name)
    vfs.write(`/var/cache/apt/archives/${name}.deb`, '')
    for (const unit of model.enable ?? []) if (run.guest.systemd.enabled(unit) === 'enabled') await run.guest.systemd.start(unit)
  }
  vfs.write('/var/log/apt/history.log', `Commandline: apt-get install ${words.join(' ')}\n`, ROOT, { append: true })
  return ok(
    `Reading package lists...\nThe following NEW packages will be installed:\n  ${list.join(' ')}\n0 upgraded, ${list.length} newly installed, 0 to remove and 0 not upgraded.\n${list.map((name) => `Setting up ${name} (${CATALOGUE[name]?.version ?? ''}) ...\n`).join('')}`,
  )
}

async function remove(run: Run, names: readonly string[], purge: boolean): Promise<Result> {
  const { vfs, systemd } = run.guest
  const there = installedPackages(vfs)
  const known = names.filter((name) => there.some((each) => each.name === name))
  for (const name of names)
    if (CATALOGUE[name] === undefined && !known.includes(name)) return fail(`E: Unable to locate package ${name}`, 100)
  for (const name of known) {
    const model = CATALOGUE[name]
    for (const unit of model?.enable ?? []) {
      await systemd.stop(unit)
      for (const path of vfs.paths('/etc/systemd/system').filter((each) => each.endsWith(`/${unit}`))) vfs.remove(path)
    }
    for (const unit of Object.keys(model?.units ?? {})) vfs.remove(`/usr/lib/systemd/system/${unit}`, ROOT, { force: true })
    for (const program of model?.programs ?? [])
      vfs.remove(program.startsWith('/') ? program : `/usr/bin/${program}`, ROOT, { force: true })
    if (purge) for (const path of Object.keys(model?.files ?? {})) vfs.remove(path, ROOT, { force: true })
    vfs.remove(`/var/lib/dpkg/info/${name}.list`, ROOT, { force: true })
  }
  writePackages(
    vfs,
    there.filter((each) => !known.includes(each.name)),
  )
  return ok(
    known.length === 0
      ? '0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.\n'
      : `The following packages will be REMOVED:\n  ${known.join(' ')}\n`,
  )
}

const apt: Program = async (args, run) => {
  const { flags, rest } = options(args, APT_VALUED)
  const [command, ...names] = rest
  const { vfs } = run.guest
  if (run.as.uid !== 0 && !['policy', 'list', 'show'].includes(command ?? ''))
    return fail(
      'E: Could not open lock file /var/lib/dpkg/lock-frontend - open (13: Permission denied)\nE: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), are you root?',
      100,
    )
  switch (command) {
    case 'update':
      if (!run.guest.world.internet(run.guest, 80))
        return { ...offline(), exitCode: flags.has('--error-on') || run.name === 'apt-get' ? 100 : 0 }
      vfs.mkdir('/var/lib/apt/lists/partial', ROOT, { parents: true })
      vfs.write('/var/lib/apt/lists/deb.debian.org_debian_dists_trixie_InRelease', '')
      return ok('Get:1 http://deb.debian.org/debian trixie InRelease\nReading package lists...\n')
    case 'install':
      return install(run, names, flags.has('-s') || flags.has('--simulate') || flags.has('--dry-run'))
    case 'remove':
    case 'purge':
      return remove(run, names, command === 'purge' || flags.has('--purge'))
    case 'clean':
    case 'autoclean':
      for (const name of [...vfs.readdir('/var/cache/apt/archives', ROOT).entries.keys()])
        vfs.remove(`/var/cache/apt/archives/${name}`, ROOT, { recursive: true })
      return ok()
    case 'upgrade':
    case 'dist-upgrade':
    case 'full-upgrade':
      return run.guest.world.internet(run.guest, 80) ? ok('0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.\n') : offline()
    case 'autoremove':
    case 'check':
      return ok()
    case 'download':
      return fail(`${run.name} download: not modelled by the fake guest`, 100)
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
  if (flags.has('-L') || flags.has('--listfiles')) {
    const model = CATALOGUE[rest[0] ?? '']
    return chosen.length === 0
      ? fail(`dpkg-query: package '${rest[0] ?? ''}' is not installed`)
      : ok((model?.programs ?? []).map((program) => `${program.startsWith('/') ? program : `/usr/bin/${program}`}\n`).join(''))
  }
  if (flags.has('-s') || flags.has('--status'))
    return {
      stdout: chosen.map((each) => `Package: ${each.name}\nStatus: install ok installed\nVersion: ${each.version}\n\n`).join(''),
      stderr: stderr.replaceAll('no packages found matching', 'package'),
      exitCode: missing.length > 0 ? 1 : 0,
    }
  const format = flags.get('-f') ?? flags.get('--showformat')
  const stdout =
    flags.has('-l') || flags.has('--list')
      ? chosen.map((each) => `ii  ${each.name} ${each.version} amd64\n`).join('')
      : chosen.map((each) => show(format ?? '${Package}\t${Version}\n', each)).join('')
  return { stdout, stderr, exitCode: missing.length > 0 ? 1 : 0 }
}

const mark: Program = (args, run) => {
  const [command, ...names] = args
  const all = installedPackages(run.guest.vfs)
  if (command === 'showhold')
    return ok(
      all
        .filter((each) => each.held)
        .map((each) => `${each.name}\n`)
        .join(''),
    )
  if (command === 'showmanual') return ok(all.map((each) => `${each.name}\n`).join(''))
  if (command === 'hold' || command === 'unhold')
    writePackages(
      run.guest.vfs,
      all.map((each) => (names.includes(each.name) ? { ...each, held: command === 'hold' } : each)),
    )
  return ok()
}

/** `-qq` leaves only errors. */
const quietly =
  (program: Program): Program =>
  async (args, run) => {
    const result = await program(args, run)
    return args.includes('-qq') ? { ...result, stdout: '' } : result
  }

export const packagePrograms: Readonly<Record<string, Program>> = {
  apt: quietly(apt),
  'apt-get': quietly(apt),
  'apt-mark': mark,
  'apt-cache': (args, run) => {
    const [command, name = ''] = args.filter((word) => !word.startsWith('-'))
    const model = CATALOGUE[name]
    if (command !== 'policy' && command !== 'show' && command !== 'madison') return fail(`E: Invalid operation ${command ?? ''}`, 100)
    const there = installedPackages(run.guest.vfs).find((each) => each.name === name)
    return model
      ? ok(
          command === 'policy'
            ? `${name}:\n  Installed: ${there?.version ?? '(none)'}\n  Candidate: ${model.version}\n`
            : `Package: ${name}\nVersion: ${model.version}\n`,
        )
      : ok()
  },
  'apt-config': () => ok(),
  'debconf-set-selections': () => ok(),
  'dpkg-reconfigure': () => ok(),
  'dpkg-divert': () => ok(),
  'dpkg-statoverride': () => ok(),
  'update-alternatives': () => ok(),
  dpkg: (args, run) => {
    if (args.includes('--print-architecture')) return ok('amd64\n')
    if (args.includes('--configure') || args.includes('--audit')) return ok()
    if (args.includes('--compare-versions')) return ok()
    if (args.some((word) => /^(-[lsLW]|--(list|status|listfiles|show))$/.test(word))) return dpkgQuery(args, run)
    return fail(`dpkg ${args.join(' ')}: not modelled by the fake guest`, 2)
  },
  'dpkg-query': dpkgQuery,
  'update-ca-certificates': (_args, run) => {
    const { vfs } = run.guest
    if (run.as.uid !== 0) return fail('update-ca-certificates: Permission denied')
    const folder = '/usr/local/share/ca-certificates'
    const own = vfs.exists(folder) ? [...vfs.readdir(folder, ROOT).entries].filter(([name]) => name.endsWith('.crt')) : []
    vfs.write('/etc/ssl/certs/ca-certificates.crt', own.map(([, node]) => (node.kind === 'file' ? node.data.toString() : '')).join(''))
    for (const name of [...vfs.readdir('/etc/ssl/certs', ROOT).entries.keys()])
      if (name.endsWith('.pem')) vfs.remove(`/etc/ssl/certs/${name}`)
    for (const [name] of own) vfs.symlink(`${folder}/${name}`, `/etc/ssl/certs/${name.replace(/crt$/, 'pem')}`)
    return ok(`Updating certificates in /etc/ssl/certs...\n${own.length} added, 0 removed; done.\n`)
  },
  'unattended-upgrade': () => ok(),
}
