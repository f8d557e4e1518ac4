/**
 * A small systemd: unit files of the guest's tree, dependencies, conditions, what a starting unit runs, and device
 * units that udev makes. A service whose program is not modelled is simply `active` once it is started.
 */
import { posix } from 'node:path'
import type { Device } from './devices.ts'
import type { Guest } from './guest.ts'
import { loginContext, programOf, runArgv } from './shell.ts'
import { deviceUnit, parseUnit, unitName, type UnitFile } from './unit-file.ts'
import { ROOT } from './vfs.ts'

const FOLDERS = ['/etc/systemd/system', '/run/systemd/system', '/usr/lib/systemd/system']

export type ActiveState = 'active' | 'inactive' | 'failed'

export class Systemd {
  readonly #guest: Guest
  readonly #states = new Map<string, ActiveState>()
  readonly #starting = new Set<string>()
  /** Services whose program was brought along and runs. */
  readonly #processes = new Map<string, AbortController>()
  #halted = false

  constructor(guest: Guest) {
    this.#guest = guest
  }

  /** The machine is off: nothing starts any more. */
  halt(): void {
    this.#halted = true
    for (const process of this.#processes.values()) process.abort()
  }

  state(unit: string): ActiveState {
    const name = unitName(unit)
    if (name.endsWith('.device')) return this.#deviceFor(name) ? 'active' : 'inactive'
    if (name.endsWith('.mount')) return this.#mounted(name) ? 'active' : this.#states.get(name) === 'failed' ? 'failed' : 'inactive'
    return this.#states.get(name) ?? 'inactive'
  }

  known(): string[] {
    const names = new Set(this.#states.keys())
    for (const folder of FOLDERS)
      if (this.#guest.vfs.exists(folder))
        for (const [name, node] of this.#guest.vfs.readdir(folder, ROOT).entries) if (node.kind !== 'directory') names.add(name)
    return [...names].sort()
  }

  resetFailed(unit?: string): void {
    for (const [name, state] of this.#states)
      if (state === 'failed' && (unit === undefined || posix.matchesGlob(name, unit))) this.set(name, 'inactive')
  }

  /** Records a state that the model itself brought about. */
  set(unit: string, active: ActiveState): void {
    this.#states.set(unitName(unit), active)
  }

  file(unit: string): UnitFile | undefined {
    const name = unitName(unit)
    const { vfs } = this.#guest
    const candidates = [name, name.replace(/@[^.]+\./, '@.')]
    for (const candidate of candidates)
      for (const folder of FOLDERS) {
        const path = `${folder}/${candidate}`
        if (!vfs.exists(path)) {
          // A link to a file that is gone is no unit.
          continue
        }
        const node = vfs.lookup(path, ROOT)
        const masked = node.kind === 'special' || (node.kind === 'file' && node.data.length === 0)
        const dropins = FOLDERS.flatMap((each) =>
          vfs.exists(`${each}/${candidate}.d`)
            ? [...vfs.readdir(`${each}/${candidate}.d`, ROOT).entries.keys()]
                .filter((entry) => entry.endsWith('.conf'))
                .map((entry) => `${each}/${candidate}.d/${entry}`)
            : [],
        )
        const text = [path, ...dropins].map((each) => vfs.readText(each)).join('\n')
        return parseUnit(name, vfs.realpath(path, ROOT), text, masked, dropins)
      }
    return undefined
  }

  enabled(unit: string): 'enabled' | 'disabled' | 'static' | 'masked' | 'not-found' | 'alias' {
    const name = unitName(unit)
    const { vfs } = this.#guest
    const own = `/etc/systemd/system/${name}`
    try {
      const node = vfs.lookup(own, ROOT, false)
      if (node.kind === 'link' && node.target === '/dev/null') return 'masked'
    } catch {
      /* not there */
    }
    const file = this.file(name)
    if (!file) return 'not-found'
    if (this.#linkFolders().some((folder) => vfs.readdir(folder, ROOT).entries.has(name))) return 'enabled'
    return file.all('Install', 'WantedBy').length + file.all('Install', 'RequiredBy').length + file.all('Install', 'Also').length > 0
      ? 'disabled'
      : 'static'
  }

  #linkFolders(target = ''): string[] {
    const { vfs } = this.#guest
    return FOLDERS.flatMap((folder) =>
      vfs.exists(folder)
        ? [...vfs.readdir(folder, ROOT).entries]
            .filter(
              ([name, node]) =>
                node.kind === 'directory' &&
                (target ? name === `${target}.wants` || name === `${target}.requires` : /\.(wants|requires|upholds)$/.test(name)),
            )
            .map(([name]) => `${folder}/${name}`)
        : [],
    )
  }

  wantedBy(target: string): string[] {
    return this.#linkFolders(unitName(target)).flatMap((folder) => [...this.#guest.vfs.readdir(folder, ROOT).entries.keys()])
  }

  /** Starts what the boot targets want, in an order that respects After= and Before=. */
  async boot(): Promise<void> {
    for (const target of [
      'sysinit.target',
      'local-fs.target',
      'sockets.target',
      'timers.target',
      'basic.target',
      'cloud-init.target',
      'multi-user.target',
    ])
      await this.start(target)
    for (const device of this.#guest.devices.all()) await this.deviceAppeared(device)
    await this.#startWanted('dev-virtio\\x2dports-org.qemu.guest_agent.0.device')
  }

  /** Starts a unit and what it needs. Resolves to an error text, or undefined. Starting what is active does nothing. */
  async start(unit: string): Promise<string | undefined> {
    const name = unitName(unit)
    if (this.#halted) return `Failed to start ${name}: the machine is off.`
    if (this.state(name) === 'active' || this.#starting.has(name)) return undefined
    if (name.endsWith('.device')) return `Timed out waiting for device ${name}.`
    const file = this.file(name)
    if (file?.masked || this.enabled(name) === 'masked') return `Failed to start ${name}: Unit ${name} is masked.`
    if (!file && !name.endsWith('.target')) return `Failed to start ${name}: Unit ${name} not found.`
    this.#starting.add(name)
    try {
      const requires = [
        ...(file?.all('Unit', 'Requires') ?? []),
        ...(file?.all('Unit', 'BindsTo') ?? []),
        ...(file?.all('Unit', 'RequiresMountsFor') ?? []).flatMap((path) => this.#mountUnitFor(path)),
      ]
      for (const other of requires) {
        if (await this.start(other)) {
          this.set(name, 'inactive')
          return `A dependency job for ${name} failed. See 'journalctl -xe' for details.`
        }
      }
      for (const other of [...(file?.all('Unit', 'Requisite') ?? [])])
        if (this.state(other) !== 'active') return `A dependency job for ${name} failed. See 'journalctl -xe' for details.`
      for (const other of file?.all('Unit', 'Conflicts') ?? []) await this.stop(other)
      await this.#startWanted(name, file?.all('Unit', 'Wants') ?? [])
      if (file && !this.#conditionsHold(file)) {
        this.set(name, 'inactive')
        return undefined
      }
      const problem = await this.#run(name, file)
      if (problem) this.#guest.journal(name, problem)
      return problem
    } finally {
      this.#starting.delete(name)
    }
  }

  async #startWanted(name: string, also: readonly string[] = []): Promise<void> {
    const names = [...new Set([...also, ...this.wantedBy(name)])]
    const order = new Map(names.map((each) => [each, this.file(each)?.all('Unit', 'After') ?? []]))
    const before = new Map(names.map((each) => [each, this.file(each)?.all('Unit', 'Before') ?? []]))
    const done = new Set<string>()
    const visit = async (each: string): Promise<void> => {
      if (done.has(each)) return
      done.add(each)
      for (const other of names) if (order.get(each)?.includes(other) || before.get(other)?.includes(each)) await visit(other)
      await this.start(each)
    }
    for (const each of names) await visit(each)
  }

  #conditionsHold(file: UnitFile): boolean {
    return file
      .all('Unit', 'ConditionPathExists')
      .every((path) => (path.startsWith('!') ? !this.#guest.vfs.exists(path.slice(1)) : this.#guest.vfs.exists(path.replace(/^\|/, ''))))
  }

  async #run(name: string, file: UnitFile | undefined): Promise<string | undefined> {
    const service = (key: string): string[] => file?.all('Service', key) ?? []
    if (name.endsWith('.mount') && file) return this.#mount(name, file)
    if (!name.endsWith('.service') || !file) {
      this.set(name, 'active')
      return undefined
    }
    const type = file.one('Service', 'Type') ?? (service('ExecStart').length > 0 ? 'simple' : 'oneshot')
    const hook = this.#guest.serviceHooks[name]
    for (const line of service('ExecStartPre')) {
      const problem = await this.#exec(name, file, line)
      if (problem) {
        this.set(name, 'failed')
        return problem
      }
    }
    for (const line of type === 'oneshot' ? service('ExecStart') : []) {
      const problem = await this.#exec(name, file, line)
      if (problem) {
        this.set(name, 'failed')
        return problem
      }
    }
    const problem = hook ? await hook.start?.() : undefined
    if (problem) {
      this.set(name, 'failed')
      return problem
    }
    this.set(name, type === 'oneshot' && !/^(yes|true|on|1)$/.test(file.one('Service', 'RemainAfterExit') ?? '') ? 'inactive' : 'active')
    if (type !== 'oneshot') this.#keep(name, file)
    for (const line of service('ExecStartPost')) await this.#exec(name, file, line)
    return undefined
  }

  /** Runs the program of a service until it ends or is stopped, if it was brought along. */
  #keep(name: string, file: UnitFile): void {
    const line = file.one('Service', 'ExecStart') ?? ''
    const { vfs, programFiles } = this.#guest
    const [path = ''] = wordsOf(line, {})
    if (!vfs.exists(path) || programFiles[vfs.realpath(path, ROOT)] === undefined) return
    const process = new AbortController()
    this.#processes.set(name, process)
    void this.#exec(name, file, line, process.signal).then((problem) => {
      if (process.signal.aborted || this.#halted) return
      this.#processes.delete(name)
      this.set(name, problem === undefined ? 'inactive' : 'failed')
      const again = file.one('Service', 'Restart') ?? 'no'
      if (again === 'always' || (again === 'on-failure' && problem !== undefined)) setTimeout(() => void this.start(name), 10)
    })
  }

  /** Runs a command line of a unit if its program is a script or is modelled; others count as having worked. */
  async #exec(name: string, file: UnitFile, line: string, signal = this.#guest.life): Promise<string | undefined> {
    const [, prefix = '', command = ''] = /^([-+!@:]*)(.*)$/.exec(line) ?? []
    const { vfs } = this.#guest
    const path = command.split(/\s+/)[0]?.replaceAll('"', '') ?? ''
    const instance = /@([^.]+)\./.exec(name)?.[1] ?? ''
    const text = command.replaceAll('%i', instance).replaceAll('%n', name).replaceAll('%%', '%')
    if (!vfs.exists(path))
      return prefix.includes('-') ? undefined : `${name}: Failed to locate executable ${path}: No such file or directory`
    const node = vfs.lookup(path, ROOT)
    if (node.kind !== 'file') return `${name}: ${path} is not a file`
    const program = programOf(node.data)
    const modelled =
      this.#guest.programFiles[vfs.realpath(path, ROOT)] !== undefined ||
      (program !== undefined && (this.#guest.programs[program] !== undefined || posix.dirname(vfs.realpath(path, ROOT)) === '/usr/bin'))
    if (!modelled && !/^#!.*\b(sh|bash|dash)\b/.test(node.data.toString('latin1', 0, 80))) return undefined
    const user = file.one('Service', 'User') ?? 'root'
    const environment: Record<string, string> = {}
    for (const each of file.all('Service', 'Environment'))
      for (const [, key = '', value = ''] of each.matchAll(/"?(\w+)=((?:[^"\s]|\s(?=[^"]*"))*)"?/g)) environment[key] = value
    for (const each of file.all('Service', 'EnvironmentFile')) {
      const from = each.replace(/^-/, '')
      if (!vfs.exists(from)) {
        if (!each.startsWith('-')) return `${name}: Failed to load environment files: No such file or directory`
        continue
      }
      for (const [, key = '', value = ''] of vfs.readText(from).matchAll(/^\s*(\w+)=(.*?)\s*$/gm))
        environment[key] = value.replace(/^(["'])(.*)\1$/, '$2')
    }
    const context = loginContext(this.#guest, user)
    const result = await runArgv(wordsOf(text, environment), {
      ...context,
      signal,
      cwd: file.one('Service', 'WorkingDirectory')?.replace(/^-/, '') ?? '/',
      env: { ...context.env, ...environment },
    })
    if (result.stdout + result.stderr) this.#guest.journal(name, result.stdout + result.stderr)
    const accepted = ['0', ...file.all('Service', 'SuccessExitStatus')]
    return accepted.includes(String(result.exitCode)) || prefix.includes('-')
      ? undefined
      : `${name}: Main process exited, code=exited, status=${result.exitCode}`
  }

  async stop(unit: string): Promise<void> {
    const name = unitName(unit)
    // What has failed stays so until somebody resets it.
    if (this.state(name) !== 'active') return
    const file = this.file(name)
    this.set(name, 'inactive')
    for (const other of this.#states.keys()) {
      if (this.state(other) !== 'active' || other === name) continue
      const their = this.file(other)
      if (
        their &&
        ['Requires', 'BindsTo', 'PartOf', 'RequiresMountsFor'].some((key) =>
          (key === 'RequiresMountsFor' ? their.all('Unit', key).flatMap((path) => this.#mountUnitFor(path)) : their.all('Unit', key))
            .map(unitName)
            .includes(name),
        )
      )
        await this.stop(other)
    }
    for (const line of [...(file?.all('Service', 'ExecStop') ?? []), ...(file?.all('Service', 'ExecStopPost') ?? [])])
      if (file) await this.#exec(name, file, line)
    this.#processes.get(name)?.abort()
    this.#processes.delete(name)
    await this.#guest.serviceHooks[name]?.stop?.()
    if (name.endsWith('.mount') && file) {
      const where = file.one('Mount', 'Where') ?? ''
      if (this.#guest.vfs.mounts.some((mount) => mount.target === where)) this.#guest.vfs.unmount(where)
      await this.#guest.devices.flush()
    }
  }

  /** A disk has come: udev's links are there, now the units that wait for it. */
  async deviceAppeared(device: Device): Promise<void> {
    const rules = this.#guest.udev.apply(device)
    for (const wanted of rules.wants) await this.start(wanted)
    for (const path of [`/dev/${device.name}`, ...rules.links.map((link) => `/dev/${link}`)]) await this.#startWanted(deviceUnit(path))
  }

  /** A disk has gone: what is bound to it stops. */
  async deviceGone(paths: readonly string[]): Promise<void> {
    const gone = paths.map(deviceUnit)
    for (const name of [...this.#states.keys()]) {
      const file = this.file(name)
      const what = file?.one('Mount', 'What')
      if (file?.all('Unit', 'BindsTo').some((each) => gone.includes(unitName(each))) || (what !== undefined && paths.includes(what)))
        await this.stop(name)
    }
  }

  async #mount(name: string, file: UnitFile): Promise<string | undefined> {
    const [what = '', where = ''] = [file.one('Mount', 'What'), file.one('Mount', 'Where')]
    this.#guest.vfs.mkdir(where, ROOT, { parents: true })
    const options = file.one('Mount', 'Options')
    const bind = options?.split(',').includes('bind') === true
    // systemd makes the source of a bind mount too.
    if (bind) this.#guest.vfs.mkdir(what, ROOT, { parents: true })
    const problem = bind
      ? this.#guest.bindFolder(what, where, options)
      : this.#guest.mountDevice(what, where, file.one('Mount', 'Type'), options)
    this.set(name, problem ? 'failed' : 'active')
    return problem
  }

  #mounted(name: string): boolean {
    const where =
      this.file(name)?.one('Mount', 'Where') ??
      `/${name
        .replace(/\.mount$/, '')
        .replaceAll('-', '/')
        .replaceAll('\\x2d', '-')}`
    return this.#guest.vfs.mounts.some((mount) => mount.target === where)
  }

  #mountUnitFor(path: string): string[] {
    return this.known().filter(
      (name) =>
        name.endsWith('.mount') &&
        (path === this.file(name)?.one('Mount', 'Where') || path.startsWith(`${this.file(name)?.one('Mount', 'Where') ?? ' '}/`)),
    )
  }

  #deviceFor(name: string): Device | undefined {
    if (name.includes('virtio\\x2dports')) return this.#guest.spec.agent ? this.#guest.devices.all()[0] : undefined
    const path = `/${name
      .replace(/\.device$/, '')
      .replaceAll('-', '/')
      .replaceAll('\\x2d', '-')}`
    return this.#guest.deviceAt(path)
  }
}

/** The words of a command line as systemd.service(5) has them: quotes, `${NAME}` in a word, and `$NAME` as words of its own. */
function wordsOf(line: string, environment: Readonly<Record<string, string>>): string[] {
  const whole = (text: string): string => text.replaceAll(/\$\{(\w+)\}/g, (_, name: string) => environment[name] ?? '')
  return [...line.matchAll(/"((?:[^"\\]|\\.)*)"|'([^']*)'|(\S+)/g)].flatMap(([, double, single, bare = '']) => {
    if (double !== undefined) return [whole(double.replaceAll(/\\(.)/g, '$1'))]
    if (single !== undefined) return [whole(single)]
    const [, name] = /^\$(\w+)$/.exec(bare) ?? []
    return name === undefined ? [whole(bare)] : (environment[name] ?? '').split(/\s+/).filter(Boolean)
  })
}
