/** The SSH server of a fake guest: public keys of the guest's files, commands, SFTP and scp as Packer uses them. */
import { timingSafeEqual } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { Socket } from 'node:net'
import ssh2, { type AuthContext, type Connection, type ParsedKey, type ServerChannel, type Session } from 'ssh2'
import { posix } from 'node:path'
import { findAccount, type Account } from './accounts.ts'
import type { Guest } from './guest.ts'
import { runScp } from './scp.ts'
import { serveSftp } from './sftp.ts'
import { loginContext, runShell, type ProcessContext } from './shell.ts'
import type { SshdConfig } from './sshd-config.ts'
import { ROOT, type Vfs } from './vfs.ts'

/** How long a client may say nothing before a command is started without input. */
const QUIET_MS = 150

/** Makes host keys, as cloud-init does for a new instance. RSA keys take a while to make and no client here needs them. */
export function makeHostKeys(vfs: Vfs, config: Record<string, unknown>): void {
  const wanted = Array.isArray(config.ssh_genkeytypes) ? (config.ssh_genkeytypes as string[]) : ['ed25519', 'ecdsa']
  vfs.mkdir('/etc/ssh', ROOT, { parents: true })
  for (const type of wanted.filter((each): each is 'ed25519' | 'ecdsa' => each === 'ed25519' || each === 'ecdsa')) {
    if (vfs.exists(`/etc/ssh/ssh_host_${type}_key`)) continue
    const pair = type === 'ecdsa' ? ssh2.utils.generateKeyPairSync('ecdsa', { bits: 256 }) : ssh2.utils.generateKeyPairSync('ed25519')
    vfs.write(`/etc/ssh/ssh_host_${type}_key`, pair.private, ROOT, { mode: 0o600 })
    vfs.write(`/etc/ssh/ssh_host_${type}_key.pub`, `${pair.public.trim()} root\n`)
  }
}

interface AuthorizedKey {
  readonly key: ParsedKey
  readonly command: string | undefined
}

function authorizedKeys(vfs: Vfs, file: string, { name, home }: Account): AuthorizedKey[] {
  const path = posix.resolve(home, file.replaceAll('%u', name).replaceAll('%h', home))
  if (!vfs.exists(path)) return []
  return vfs
    .readText(path)
    .split('\n')
    .flatMap((line) => {
      const [, options = '', text = ''] = /^(?:(.*?)\s+)??((?:ssh-|ecdsa-|sk-)\S+ [A-Za-z0-9+/=]+.*)$/.exec(line.trim()) ?? []
      const key = text ? ssh2.utils.parseKey(text) : undefined
      if (!key || key instanceof Error) return []
      const command = /command="((?:[^"\\]|\\.)*)"/.exec(options)?.[1]?.replaceAll('\\"', '"')
      return [{ key, command }]
    })
}

function same(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

/** Speaks SSH on `socket` until one of the two ends it. */
export function serveSsh(guest: Guest, config: SshdConfig, socket: Duplex): void {
  const server = new ssh2.Server({ hostKeys: [...config.hostKeys], ident: 'OpenSSH_10.0p2 Debian-7' })
  server.on('connection', (client) => serveClient(guest, config, client))
  server.injectSocket(socket as unknown as Socket)
}

function serveClient(guest: Guest, config: SshdConfig, client: Connection): void {
  let user = ''
  let forced: string | undefined
  client.on('authentication', (context: AuthContext) => {
    const account = findAccount(guest.vfs, context.username)
    if (context.method !== 'publickey' || !account || /nologin|false$/.test(account.shell)) return context.reject(['publickey'])
    if (config.allowUsers?.includes(account.name) === false || (account.uid === 0 && !config.permitRoot))
      return context.reject(['publickey'])
    const match = authorizedKeys(guest.vfs, config.authorizedKeysFile, account).find(({ key }) =>
      same(context.key.data, key.getPublicSSH()),
    )
    if (!match) return context.reject(['publickey'])
    if (context.signature && context.blob && match.key.verify(context.blob, context.signature, context.hashAlgo) !== true)
      return context.reject(['publickey'])
    user = account.name
    forced = config.forcedCommands.get(user) ?? match.command
    guest.journal('ssh.service', `Accepted publickey for ${user}`)
    context.accept()
  })
  client.on('ready', () => {
    client.on('session', (accept) => serveSession(guest, accept(), user, forced))
    client.on('request', (_accept, reject) => reject?.()) // keepalive@openssh.com and the like: any answer will do
  })
  client.on('error', () => {}) // a client that goes away is no mistake of ours
}

function serveSession(guest: Guest, session: Session, user: string, forced: string | undefined): void {
  const environment: Record<string, string> = {}
  session.on('pty', (accept) => accept?.())
  session.on('window-change', (accept) => accept?.())
  session.on('auth-agent', (_accept, reject) => reject?.())
  session.on('signal', (accept) => accept?.())
  session.on('env', (accept, reject, { key, val }) => {
    if (!/^(LANG|LC_\w+)$/.test(key)) return reject?.()
    environment[key] = val
    accept?.()
  })
  session.on('sftp', (accept, reject) => (forced === undefined ? serveSftp(guest, accept(), loginContext(guest, user)) : reject()))
  session.on('subsystem', (_accept, reject) => reject())
  session.on(
    'exec',
    (accept, _reject, { command }) =>
      void execute(
        guest,
        accept(),
        loginContext(guest, user),
        forced ?? command,
        forced === undefined ? environment : { ...environment, SSH_ORIGINAL_COMMAND: command },
      ),
  )
  session.on('shell', (accept) => void execute(guest, accept(), loginContext(guest, user), forced, environment))
}

async function execute(
  guest: Guest,
  channel: ServerChannel,
  login: ProcessContext,
  command: string | undefined,
  environment: Record<string, string>,
): Promise<void> {
  const context: ProcessContext = { ...login, env: { ...login.env, ...environment, SSH_CONNECTION: '10.77.0.1 40000 10.77.0.2 22' } }
  channel.on('error', () => {})
  const scp = /^(?:sudo\s+(?:-\w+\s+)*)?(?:\/usr\/bin\/)?scp\s+(.*)$/.exec(command ?? '')
  if (scp) {
    const root = /^sudo\s/.test(command ?? '')
    const exitCode = await runScp(guest, channel, root ? { ...context, as: ROOT } : context, scp[1] ?? '')
    guest.world.recorder?.ssh(guest.spec.vmid, command, '', { exitCode, stdout: '', stderr: '' })
    return finish(channel, exitCode)
  }
  const input = await readInput(channel, command === undefined)
  const result =
    command === undefined
      ? await runShell(input.toString('utf8'), context)
      : await runShell(command, { ...context, stdin: input.toString('latin1') })
  guest.world.recorder?.ssh(guest.spec.vmid, command, input.toString('utf8'), result)
  if (result.stdout) channel.write(result.stdout)
  if (result.stderr) channel.stderr.write(result.stderr)
  finish(channel, result.exitCode)
}

function finish(channel: ServerChannel, exitCode: number): void {
  if (channel.destroyed) return
  channel.exit(exitCode)
  channel.end()
  channel.close()
}

/** All input up to its end. A client that sends neither input nor its end is taken as having none. */
function readInput(channel: ServerChannel, wait: boolean): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    const done = (): void => {
      clearTimeout(timer)
      resolve(Buffer.concat(chunks))
    }
    const timer = wait ? undefined : setTimeout(done, QUIET_MS)
    channel.on('data', (chunk: Buffer) => {
      clearTimeout(timer)
      chunks.push(chunk)
    })
    channel.once('end', done)
    channel.once('close', done)
  })
}
