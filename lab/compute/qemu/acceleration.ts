/** Whether KVM really runs a guest here: `/dev/kvm` alone doesn't tell (nested virtualisation that hangs is common). */
import { access, constants, mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { release } from 'node:os'
import { join } from 'node:path'
import { defaultCacheDir } from '../../debian/settings.ts'
import { run } from '../../network/command.ts'
import { dieWithParent } from '../../network/namespaces.ts'
import type { Acceleration } from './arguments.ts'

const probeTimeoutMs = 30_000

export interface Probe {
  /** The host's kernel and QEMU's version: the answer holds for these. */
  readonly versions: string
  readonly works: boolean
}

export interface AccelerationOptions {
  readonly log: (line: string) => void
  /** A Linux kernel to try. @default one of the host's own */
  readonly kernel?: string
  /** @default the project's folder in the user's cache */
  readonly cacheDir?: string
}

/** KVM if it has been seen to boot a Linux kernel on this host with this QEMU, else TCG. */
export async function chooseAcceleration(options: AccelerationOptions): Promise<Acceleration> {
  const usable = await access('/dev/kvm', constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  )
  const kernel = usable ? (options.kernel ?? (await findKernel())) : undefined
  if (kernel === undefined) return 'tcg'
  const versions = `${release()} ${(await run(['qemu-system-x86_64', '--version'])).split('\n')[0]}`
  const cacheDir = options.cacheDir ?? defaultCacheDir()
  const cacheFile = join(cacheDir, 'kvm-probe.json')
  const known = await readFile(cacheFile, 'utf8')
    .then(
      (text) => JSON.parse(text) as Probe,
      () => undefined,
    )
    .catch(() => undefined)
  if (known?.versions === versions) return known.works ? 'kvm' : 'tcg'
  options.log('trying whether KVM runs a guest here')
  const works = await boots(kernel)
  await mkdir(cacheDir, { recursive: true })
  await writeFile(cacheFile, `${JSON.stringify({ versions, works } satisfies Probe)}\n`)
  options.log(works ? 'KVM works' : 'KVM does not run a Linux kernel here: guests are emulated')
  return works ? 'kvm' : 'tcg'
}

/** A kernel of the host's own, to boot in a guest. A host without one (a container, a microVM) gets TCG. */
async function findKernel(): Promise<string | undefined> {
  const names = await readdir('/boot').catch((): string[] => [])
  const own = `vmlinuz-${release()}`
  const name = names.includes(own)
    ? own
    : names
        .filter((entry) => entry.startsWith('vmlinuz-'))
        .sort()
        .at(-1)
  return name && join('/boot', name)
}

/** Boots the kernel on two CPUs until it misses its root file system: by then it has come far enough. */
async function boots(kernel: string): Promise<boolean> {
  const output = await run(
    [
      ...dieWithParent,
      'qemu-system-x86_64',
      '-no-user-config',
      '-nodefaults',
      '-display',
      'none',
      '-no-reboot',
      ...['-machine', 'pc', '-accel', 'kvm', '-cpu', 'max', '-smp', '2', '-m', '512M', '-serial', 'stdio'],
      ...['-kernel', kernel, '-append', 'console=ttyS0 panic=-1'],
    ],
    { signal: AbortSignal.timeout(probeTimeoutMs) },
  ).catch(() => '')
  return output.includes('Unable to mount root fs')
}
