import { Failure } from '../core/failure.ts'
import type { Platform } from './pins.ts'

/** This computer in Go's words. @throws Failure `unsupported-platform` */
export function currentPlatform(os: string = process.platform, cpu: string = process.arch): Platform {
  const arch = cpu === 'x64' ? 'amd64' : cpu
  const name = `${os}_${arch}`
  if (name === 'linux_amd64' || name === 'linux_arm64' || name === 'darwin_amd64' || name === 'darwin_arm64') return name
  throw new Failure(
    'unsupported-platform',
    `${os} on ${cpu} is not supported`,
    'Use Linux or macOS on an x86-64 or ARM64 computer (on Windows: WSL 2).',
  )
}
