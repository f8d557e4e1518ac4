/** The QEMU guest agent of a fake guest: the commands of `qapi/qga` that the lab's API hands on. */
import { AgentError, AgentUnavailable } from '../driver.ts'
import type { Guest } from './guest.ts'
import { loginContext, runArgv, type Result } from './shell.ts'
import { VfsError } from './errno.ts'
import { ROOT } from './vfs.ts'

type Arguments = Readonly<Record<string, unknown>>
interface OpenFile {
  readonly path: string
  data: Buffer
  at: number
  readonly write: boolean
  changed: boolean
}

export class Agent {
  readonly #guest: Guest
  readonly #processes = new Map<number, Result | undefined>()
  readonly #files = new Map<number, OpenFile>()
  #lastHandle = 1000

  constructor(guest: Guest) {
    this.#guest = guest
  }

  async command(name: string, args: Arguments, timeoutMs: number): Promise<unknown> {
    if (this.#guest.paused) throw new AgentUnavailable('QEMU guest agent is not running')
    if (!this.#guest.agentUp) {
      // A hung agent is noticed only when the time is over; an absent one is waited for as long.
      if (this.#guest.behaviour.agent === 'hung') await new Promise((resolve) => setTimeout(resolve, Math.min(timeoutMs, 200)))
      throw new AgentUnavailable('QEMU guest agent is not running')
    }
    const handler = this.#handlers[name]
    if (!handler) throw new AgentError('CommandNotFound', `The command ${name} has not been found`)
    try {
      return await handler(args)
    } catch (error) {
      if (error instanceof VfsError) throw new AgentError('GenericError', `${error.path}: ${error.reason}`)
      throw error
    }
  }

  readonly #handlers: Readonly<Record<string, (args: Arguments) => unknown>> = {
    'guest-ping': () => ({}),
    'guest-sync': ({ id }) => id,
    'guest-info': () => ({
      version: '10.0.3',
      supported_commands: Object.keys(this.#handlers).map((name) => ({
        name,
        enabled: true,
        'success-response': name !== 'guest-shutdown',
      })),
    }),
    'guest-get-osinfo': () => ({
      name: 'Debian GNU/Linux',
      'kernel-release': '6.12.48+deb13-cloud-amd64',
      version: '13 (trixie)',
      'pretty-name': 'Debian GNU/Linux 13 (trixie)',
      'version-id': '13',
      'kernel-version': '#1 SMP PREEMPT_DYNAMIC Debian 6.12.48-1',
      machine: 'x86_64',
      id: 'debian',
    }),
    'guest-get-host-name': () => ({ 'host-name': this.#guest.hostname }),
    'guest-get-timezone': () => ({ zone: 'UTC', offset: 0 }),
    'guest-get-time': () => Date.now() * 1_000_000,
    'guest-get-users': () => [],
    'guest-get-vcpus': () =>
      Array.from({ length: this.#guest.spec.cores * this.#guest.spec.sockets }, (_, id) => ({
        'logical-id': id,
        online: true,
        'can-offline': id !== 0,
      })),
    'guest-get-memory-blocks': () => [],
    'guest-get-fsinfo': () =>
      this.#guest.vfs.mounts
        .filter((mount) => mount.source.startsWith('/dev/'))
        .map((mount) => ({
          name: mount.source.slice(5),
          mountpoint: mount.target,
          type: mount.filesystem.type,
          'used-bytes': 1_500_000_000,
          'total-bytes': 8_000_000_000,
          disk: [],
        })),
    'guest-fstrim': async () => {
      await this.#guest.devices.flush()
      return { paths: [{ path: '/', minimum: 0, trimmed: 0 }] }
    },
    'guest-fsfreeze-status': () => 'thawed',
    'guest-fsfreeze-freeze': async () => {
      await this.#guest.devices.flush()
      return this.#guest.vfs.mounts.filter((mount) => mount.source.startsWith('/dev/')).length
    },
    'guest-fsfreeze-thaw': () => 0,
    'guest-network-get-interfaces': () => [
      {
        name: 'lo',
        'hardware-address': '00:00:00:00:00:00',
        'ip-addresses': [
          { 'ip-address-type': 'ipv4', 'ip-address': '127.0.0.1', prefix: 8 },
          { 'ip-address-type': 'ipv6', 'ip-address': '::1', prefix: 128 },
        ],
        statistics: counters(),
      },
      ...this.#guest.interfaces.map((card) => ({
        name: card.name,
        'hardware-address': card.mac.toLowerCase(),
        ...(card.addresses.length > 0 && {
          'ip-addresses': card.addresses.map(({ address, prefix }) => ({
            'ip-address-type': address.includes(':') ? 'ipv6' : 'ipv4',
            'ip-address': address,
            prefix,
          })),
        }),
        statistics: counters(),
      })),
      ...(this.#guest.systemd.state('docker.service') === 'active'
        ? [
            {
              name: 'docker0',
              'hardware-address': '02:42:00:00:00:01',
              'ip-addresses': [{ 'ip-address-type': 'ipv4', 'ip-address': '172.17.0.1', prefix: 16 }],
              statistics: counters(),
            },
          ]
        : []),
    ],
    'guest-shutdown': ({ mode }) => {
      if (!this.#guest.behaviour.ignoresShutdown) setTimeout(() => void this.#guest.powerOff(mode === 'reboot' ? 'reboot' : 'powerdown'), 5)
      return {}
    },
    'guest-exec': (args) => this.#exec(args),
    'guest-exec-status': ({ pid }) => {
      const id = Number(pid)
      if (!this.#processes.has(id)) throw new AgentError('GenericError', `PID ${id} does not exist`)
      const result = this.#processes.get(id)
      if (!result) return { exited: false }
      this.#processes.delete(id)
      return {
        exited: true,
        exitcode: result.exitCode,
        ...(result.stdout && { 'out-data': Buffer.from(result.stdout).toString('base64') }),
        ...(result.stderr && { 'err-data': Buffer.from(result.stderr).toString('base64') }),
      }
    },
    'guest-file-open': ({ path, mode }) => {
      const name = String(path)
      const how = String(mode ?? 'r')
      const { vfs } = this.#guest
      if (how.startsWith('r') && !vfs.exists(name))
        throw new AgentError('GenericError', `failed to open file '${name}' (mode: '${how}'): No such file or directory`)
      if (vfs.exists(name) && vfs.lookup(name, ROOT).kind === 'directory')
        throw new AgentError('GenericError', `failed to open file '${name}' (mode: '${how}'): Is a directory`)
      if (how.startsWith('w') || !vfs.exists(name)) vfs.write(name, '')
      const data = vfs.read(name)
      this.#files.set(++this.#lastHandle, {
        path: name,
        data,
        at: how.startsWith('a') ? data.length : 0,
        write: how !== 'r' && how !== 'rb',
        changed: false,
      })
      return this.#lastHandle
    },
    'guest-file-read': ({ handle, count }) => {
      const file = this.#file(handle)
      const data = file.data.subarray(file.at, file.at + Number(count ?? 4096))
      file.at += data.length
      return { count: data.length, 'buf-b64': data.toString('base64'), eof: file.at >= file.data.length }
    },
    'guest-file-write': ({ handle, 'buf-b64': text, count }) => {
      const file = this.#file(handle)
      if (!file.write) throw new AgentError('GenericError', `failed to write to file: Bad file descriptor`)
      const data = Buffer.from(String(text), 'base64').subarray(0, count === undefined ? undefined : Number(count))
      file.data = Buffer.concat([file.data.subarray(0, file.at), data, file.data.subarray(file.at + data.length)])
      file.at += data.length
      file.changed = true
      return { count: data.length, eof: false }
    },
    'guest-file-seek': ({ handle, offset, whence }) => {
      const file = this.#file(handle)
      file.at = Number(offset) + (whence === 'cur' || whence === 1 ? file.at : whence === 'end' || whence === 2 ? file.data.length : 0)
      return { position: file.at, eof: false }
    },
    'guest-file-flush': ({ handle }) => {
      this.#save(this.#file(handle))
      return {}
    },
    'guest-file-close': ({ handle }) => {
      this.#save(this.#file(handle))
      this.#files.delete(Number(handle))
      return {}
    },
    'guest-set-user-password': () => ({}),
    'guest-suspend-ram': () => ({}),
  }

  #file(handle: unknown): OpenFile {
    const file = this.#files.get(Number(handle))
    if (!file) throw new AgentError('GenericError', `handle '${Number(handle)}' has not been found`)
    return file
  }

  #save(file: OpenFile): void {
    if (file.changed) this.#guest.vfs.write(file.path, file.data)
    file.changed = false
  }

  #exec(args: Arguments): { pid: number } {
    const path = String(args.path)
    const argv = [path, ...((args.arg as string[] | undefined) ?? [])]
    const context = {
      ...loginContext(this.#guest, 'root'),
      cwd: '/',
      stdin: args['input-data'] === undefined ? '' : Buffer.from(String(args['input-data']), 'base64').toString('latin1'),
    }
    const environment = Object.fromEntries(
      ((args.env as string[] | undefined) ?? []).map((each) => [each.slice(0, each.indexOf('=')), each.slice(each.indexOf('=') + 1)]),
    )
    const found = path.includes('/')
      ? this.#guest.vfs.exists(path)
      : context.env.PATH?.split(':').some((folder) => this.#guest.vfs.exists(`${folder}/${path}`))
    if (!found)
      throw new AgentError(
        'GenericError',
        `Guest agent command failed, error was 'Failed to execute child process “${path}” (No such file or directory)'`,
      )
    const pid = this.#guest.nextPid()
    this.#processes.set(pid, undefined)
    void runArgv(argv, { ...context, env: { ...context.env, ...environment } }).then((result) => {
      this.#processes.set(
        pid,
        args['capture-output'] === true || typeof args['capture-output'] === 'string' ? result : { ...result, stdout: '', stderr: '' },
      )
    })
    return { pid }
  }
}

function counters(): Record<string, number> {
  return Object.fromEntries(
    ['rx-bytes', 'rx-packets', 'rx-errs', 'rx-dropped', 'tx-bytes', 'tx-packets', 'tx-errs', 'tx-dropped'].map((name) => [name, 0]),
  )
}
