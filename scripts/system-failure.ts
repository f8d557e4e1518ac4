import { Failure } from '../proxmox/failure.ts'

/** What the system refuses about a file is no bug of ours, whichever verb meets it. @returns undefined for everything else */
export function systemFailure(error: unknown): Failure | undefined {
  const { code, path } = (error ?? {}) as NodeJS.ErrnoException
  if (typeof path !== 'string') return undefined
  switch (code) {
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new Failure('file-not-allowed', `this user may not use ${path} (${code})`, 'Give it to this user (chown, chmod), or choose another site folder with GOLDEN_SITE.', { cause: error })
    case 'EEXIST':
    case 'ENOTDIR':
    case 'EISDIR':
      return new Failure('file-in-the-way', `${path} is a file where a folder has to be, or a folder where a file has to be (${code})`, 'Move it away, or choose another site folder with GOLDEN_SITE.', { cause: error })
    case 'ENOSPC':
    case 'EDQUOT':
      return new Failure('disk-full', `there is no space left for ${path}`, 'Make space on that disk, then run the same command again.', { cause: error })
    default:
      return undefined
  }
}
