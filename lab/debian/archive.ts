/** Small archives of packages, signed, as apt reads them: made of real packages by dpkg-deb, gpg and xz. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { command } from './command.ts'

export interface ArchiveKey {
  /** In OpenPGP's text form. */
  readonly publicKey: string
  /** With the signature around it. */
  clearsign(text: string): Promise<string>
  /** The signature alone. */
  detach(text: string): Promise<string>
  /** Ends what keeps the secret key, and forgets it. */
  close(): Promise<void>
}

/** A key that lives until it is closed. */
export async function makeArchiveKey(): Promise<ArchiveKey> {
  // Its agent's socket is in there: a short path.
  const home = await mkdtemp(join(tmpdir(), 'gk-'))
  await chmod(home, 0o700)
  const gpg = (args: readonly string[], input?: string) =>
    command(['gpg', '--homedir', home, '--batch', '--quiet', '--no-tty', '--pinentry-mode', 'loopback', '--passphrase', '', ...args], {
      label: ['gpg', args[0] ?? ''],
      ...(input === undefined ? {} : { input }),
    })
  // The agent that gpg would start by itself goes on without anybody. This one ends with the program that it is given, and
  // that with its input: at the latest when this process has ended, in whatever way.
  const agent = spawn('gpg-agent', ['--homedir', home, '--quiet', '--daemon', 'sh', '-c', 'echo up; exec cat'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  const ended = once(agent, 'close')
  const close = async (): Promise<void> => {
    agent.stdin.end()
    await ended.catch(() => {})
    await command(['gpgconf', '--homedir', home, '--kill', 'gpg-agent']).catch(() => {})
    await rm(home, { recursive: true, force: true })
  }
  try {
    await Promise.race([once(agent.stdout, 'data'), ended])
    await gpg(['--quick-generate-key', 'an archive of the lab', 'ed25519', 'sign', 'never'])
    const { stdout } = await gpg(['--armor', '--export'])
    return {
      publicKey: stdout,
      clearsign: async (text) => (await gpg(['--clearsign', '--digest-algo', 'SHA512'], text)).stdout,
      detach: async (text) => (await gpg(['--armor', '--detach-sign', '--digest-algo', 'SHA512'], text)).stdout,
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

export interface SmallPackage {
  readonly name: string
  readonly version: string
  readonly depends?: string
  /** Text by path. @default none */
  readonly files?: Readonly<Record<string, string>>
}

export interface SmallSuite {
  readonly suite: string
  readonly packages: readonly SmallPackage[]
  readonly date: Date
  readonly validUntil?: Date
  /** @default as `suite` */
  readonly codename?: string
  /** How the index is compressed. @default gz */
  readonly index?: 'gz' | 'xz' | 'plain'
  /** Whether indexes can be had by digest; then those of before stay. @default true */
  readonly byHash?: boolean
  /** Nobody is to get its packages by itself; `upgrades`: but for who has them. @default all do */
  readonly notAutomatic?: 'upgrades' | 'at-all'
  /** Only what is in the index, and no package behind it. @default false: real ones, which takes a moment each */
  readonly hollow?: boolean
}

/** Writes (or renews) a suite with the component `main` for amd64 in an archive's folder. Packages of before stay in its pool. */
export async function writeSuite(folder: string, key: ArchiveKey, wanted: SmallSuite): Promise<void> {
  const { suite, packages, date, validUntil, codename = suite, index = 'gz', byHash = true, notAutomatic, hollow = false } = wanted
  const text = (await Promise.all(packages.map((one) => stanza(folder, one, hollow)))).join('\n')
  const dist = join(folder, 'dists', suite)
  const place = 'main/binary-amd64'
  const name = { gz: 'Packages.gz', xz: 'Packages.xz', plain: 'Packages' }[index]
  await mkdir(join(dist, place), { recursive: true })
  await writeFile(join(dist, place, 'Packages'), text)
  if (index === 'gz') await writeFile(join(dist, place, name), gzipSync(text))
  if (index === 'xz') await command(['xz', '--keep', '--force', join(dist, place, 'Packages')])
  const bytes = await readFile(join(dist, place, name))
  // As Debian's archive: the plain index is listed, whether it is there or not.
  const listed = [[`${place}/Packages`, Buffer.from(text)] as const, ...(index === 'plain' ? [] : [[`${place}/${name}`, bytes] as const])]
  if (index !== 'plain') await rm(join(dist, place, 'Packages'))
  if (byHash) {
    await mkdir(join(dist, place, 'by-hash/SHA256'), { recursive: true })
    await writeFile(join(dist, place, 'by-hash/SHA256', sha256(bytes)), bytes)
  }
  const release = [
    'Origin: lab',
    `Suite: ${suite}`,
    `Codename: ${codename}`,
    `Date: ${date.toUTCString().replace('GMT', 'UTC')}`,
    ...(validUntil === undefined ? [] : [`Valid-Until: ${validUntil.toUTCString().replace('GMT', 'UTC')}`]),
    ...(byHash ? ['Acquire-By-Hash: yes'] : []),
    ...(notAutomatic === undefined ? [] : ['NotAutomatic: yes']),
    ...(notAutomatic === 'upgrades' ? ['ButAutomaticUpgrades: yes'] : []),
    'Architectures: amd64',
    'Components: main',
    'SHA256:',
    ...listed.map(([path, content]) => ` ${sha256(content)} ${content.length} ${path}`),
    '',
  ].join('\n')
  await writeFile(join(dist, 'InRelease'), await key.clearsign(release))
}

/** A package's part of the index, and the package itself. */
async function stanza(folder: string, { name, version, depends, files = {} }: SmallPackage, hollow: boolean): Promise<string> {
  const control = `Package: ${name}
Version: ${version}
Architecture: all
Maintainer: the lab <lab@example.org>
${depends === undefined ? '' : `Depends: ${depends}\n`}Description: made by the lab
`
  const path = `pool/main/${name}_${version.replace(/^\d+:/, '')}_all.deb`
  const file = join(folder, path)
  let content = Buffer.alloc(0)
  if (!hollow) {
    const tree = await mkdtemp(join(tmpdir(), 'golden-deb-'))
    try {
      for (const [at, text] of [['DEBIAN/control', control] as const, ...Object.entries(files)]) {
        await mkdir(dirname(join(tree, at)), { recursive: true })
        await writeFile(join(tree, at), text)
      }
      await chmod(tree, 0o755)
      await mkdir(dirname(file), { recursive: true })
      await command(['dpkg-deb', '--root-owner-group', '--build', tree, file])
      content = await readFile(file)
    } finally {
      await rm(tree, { recursive: true, force: true })
    }
  }
  return `${control}Filename: ${path}\nSize: ${content.length}\nSHA256: ${sha256(content)}\n`
}

const sha256 = (content: Buffer): string => createHash('sha256').update(content).digest('hex')
