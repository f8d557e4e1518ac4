/**
 * The Debian packages that the lab needs on its host, in one place, and how they get there.
 * None of them starts a service: what comes with one runs from the lab's own Debian root instead.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { ChildFailure, runChild, runChildSync } from '../child.ts'

/** Package → what the lab does with it. */
export const hostPackages: Readonly<Record<string, string>> = {
  'qemu-system-x86': 'runs the guests',
  'qemu-utils': 'qemu-img, for disk images',
  iproute2: "namespaces, bridge and taps of the lab's LAN",
  nftables: "the router's and the guests' firewall",
  slirp4netns: "the LAN's way out",
  'util-linux': 'nsenter and setpriv',
  kmod: 'loads br_netfilter, without which bridged packets pass no firewall',
  mmdebstrap: 'makes Debian roots: the base image, the container images',
  'debian-archive-keyring': 'signatures of those packages, on Ubuntu too',
  e2fsprogs: 'makes and fills file systems of images',
  fdisk: 'sfdisk, for the partition table of the base image',
  'ca-certificates': 'TLS to package mirrors',
  gpg: 'signs small archives of packages of its own',
  'gpg-agent': 'keeps the key of such an archive',
  gpgv: 'checks signatures of archives',
  'xz-utils': 'indexes of archives',
  gcc: 'Promtail reads the journal through libsystemd',
  'libc6-dev': 'Promtail reads the journal through libsystemd',
  'libsystemd-dev': 'Promtail reads the journal through libsystemd',
}

export type HostPackagesResult =
  | { readonly ok: true; readonly installed: readonly string[] }
  | {
      readonly ok: false
      readonly code: 'host-packages-missing' | 'host-packages-failed'
      /** What is wrong, in a sentence. */
      readonly cause: string
      /** What to type. */
      readonly next: string
    }

export interface HostPackagesOptions {
  /** Gets one line per step; never called when everything is there. */
  readonly log: (line: string) => void
  readonly packages?: readonly string[]
}

const policyFile = '/usr/sbin/policy-rc.d'
const policyMark = '# serena-golden lab, process'

/** Which of these packages are not fully installed. Everything counts as missing where there is no dpkg. */
export function missingPackages(packages: readonly string[]): string[] {
  const query = runChildSync(['dpkg-query', '-W', '-f', '${Package} ${db:Status-Status}\n', ...packages])
  const lines = new Set((query?.stdout ?? '').split('\n'))
  return packages.filter((name) => !lines.has(`${name} installed`))
}

/**
 * Makes sure that the packages are there. As root on Debian or Ubuntu it installs what is missing,
 * without starting any service; otherwise the failure names the command to type. With everything
 * there it takes a few milliseconds and changes nothing.
 */
export async function ensureHostPackages(options: HostPackagesOptions): Promise<HostPackagesResult> {
  const missing = missingPackages(options.packages ?? Object.keys(hostPackages))
  if (missing.length === 0) return { ok: true, installed: [] }
  const list = missing.join(' ')
  const hasApt = runChildSync(['apt-get', '--version'])?.code === 0
  if (!hasApt) {
    return {
      ok: false,
      code: 'host-packages-missing',
      cause: `the lab needs programs of these Debian packages, and this is neither Debian nor Ubuntu: ${list}`,
      next: 'install the same programs with your own package manager, or run the lab on Debian or Ubuntu',
    }
  }
  const command = `apt-get install --no-install-recommends ${list}`
  if (process.getuid?.() !== 0) {
    return {
      ok: false,
      code: 'host-packages-missing',
      cause: `the lab needs these packages: ${list}`,
      next: `sudo apt-get update && sudo ${command}`,
    }
  }
  const restore = forbidServices()
  try {
    options.log(`installing ${missing.length} packages: ${list}`)
    let outcome = await apt(['install', '--no-install-recommends', '-y', ...missing], options.log)
    if (outcome.code !== 0) {
      // No package lists yet, or lists so old that the versions in them are gone from the mirror.
      options.log('updating the package lists')
      const update = await apt(['update'], options.log)
      outcome = update.code === 0 ? await apt(['install', '--no-install-recommends', '-y', ...missing], options.log) : update
    }
    if (outcome.code !== 0) {
      return {
        ok: false,
        code: 'host-packages-failed',
        cause: `apt-get failed: ${outcome.errors.slice(-3).join('; ') || `exit code ${outcome.code}`}`,
        next: `look into what stops this command: apt-get update && ${command}`,
      }
    }
  } finally {
    restore()
  }
  return { ok: true, installed: missing }
}

/**
 * While packages are being installed, no service may start (Debian Policy 9.3.3.1: invoke-rc.d asks
 * policy-rc.d, and 101 forbids). One that the administrator put there stays as it is.
 */
function forbidServices(): () => void {
  const leftover = /process (\d+)/.exec(readOr(policyFile, ''))
  if (leftover && readOr(policyFile, '').includes(policyMark) && readOr(`/proc/${leftover[1]}/stat`, '') === '') {
    rmSync(policyFile, { force: true }) // of a run that was killed
  }
  try {
    writeFileSync(policyFile, `#!/bin/sh\n${policyMark} ${process.pid}\nexit 101\n`, { mode: 0o755, flag: 'wx' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return () => {}
    throw error
  }
  const remove = () => rmSync(policyFile, { force: true })
  process.once('exit', remove)
  return () => {
    process.off('exit', remove)
    remove()
  }
}

function readOr(path: string, fallback: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return fallback
  }
}

/** Runs apt-get without questions; one log line per package that is unpacked or set up. */
async function apt(args: readonly string[], log: (line: string) => void): Promise<{ code: number; errors: string[] }> {
  const errors: string[] = []
  const argv = ['apt-get', '-q', '-o', 'DPkg::Lock::Timeout=120', '-o', 'Dpkg::Use-Pty=0', ...args]
  const { code } = await runChild(argv, {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', NEEDRESTART_MODE: 'l' },
    onLine: (line) => {
      if (/^(Setting up|Need to get) /.test(line)) log(line)
      if (/^(E|W|dpkg): /.test(line)) errors.push(line)
    },
  }).catch((error: unknown) => {
    if (!(error instanceof ChildFailure) || error.missing) throw error
    return error
  })
  return { code, errors }
}
