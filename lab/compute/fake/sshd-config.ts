/** sshd's configuration, as far as it decides who gets in and what runs: read when the service starts, as sshd does. */
import { ROOT, type Vfs } from './vfs.ts'

export interface SshdConfig {
  readonly hostKeys: readonly string[]
  /** With `%u` and `%h` as sshd_config(5) has them; relative to the home folder. */
  readonly authorizedKeysFile: string
  /** Undefined: everybody. */
  readonly allowUsers: readonly string[] | undefined
  readonly permitRoot: boolean
  readonly forcedCommands: ReadonlyMap<string, string>
}

/** Undefined without a host key: sshd does not start then. */
export function readSshdConfig(vfs: Vfs): SshdConfig | undefined {
  const folder = '/etc/ssh/sshd_config.d'
  const files = [
    ...(vfs.exists(folder)
      ? [...vfs.readdir(folder, ROOT).entries.keys()]
          .filter((name) => name.endsWith('.conf'))
          .sort()
          .map((name) => `${folder}/${name}`)
      : []),
    '/etc/ssh/sshd_config',
  ]
  const values = new Map<string, string[]>()
  const forcedCommands = new Map<string, string>()
  for (const file of files.filter((each) => vfs.exists(each))) {
    let user: string | undefined
    let matching = false
    for (const line of vfs.readText(file).split('\n')) {
      const [, key = '', value = ''] = /^\s*([A-Za-z]+)\s+(.*?)\s*$/.exec(line) ?? []
      if (key === 'Match') {
        user = /^User\s+(\S+)/i.exec(value)?.[1]
        matching = !/^all$/i.test(value)
      } else if (key === 'ForceCommand' && user !== undefined) forcedCommands.set(user, value)
      else if (key !== '' && !matching) values.set(key.toLowerCase(), [...(values.get(key.toLowerCase()) ?? []), value])
    }
  }
  const named = values.get('hostkey')
  const hostKeys = (named ?? ['ed25519', 'ecdsa', 'rsa'].map((type) => `/etc/ssh/ssh_host_${type}_key`))
    .filter((path) => vfs.exists(path))
    .map((path) => vfs.readText(path))
  if (hostKeys.length === 0) return undefined
  return {
    hostKeys,
    authorizedKeysFile: values.get('authorizedkeysfile')?.[0]?.split(/\s+/)[0] ?? '.ssh/authorized_keys',
    allowUsers: values.get('allowusers')?.flatMap((line) => line.split(/\s+/)),
    permitRoot: values.get('permitrootlogin')?.[0] !== 'no',
    forcedCommands,
  }
}
