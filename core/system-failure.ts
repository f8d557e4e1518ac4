import { Failure } from './failure.ts'

/** Where such a file may be instead. */
const elsewhere =
  'GOLDEN_SITE names another site folder, XDG_CACHE_HOME another place for what is cached (without it HOME), TMPDIR one for temporary files.'

/** What the system refuses about a file is no bug of ours, whichever verb meets it. @returns undefined for everything else */
export function systemFailure(error: unknown): Failure | undefined {
  const { code, path, syscall } = (error ?? {}) as NodeJS.ErrnoException
  if (typeof path !== 'string') return undefined
  switch (code) {
    case 'ENOENT':
      // Of a file that is to be read, whoever reads it says what its absence means.
      if (syscall !== 'mkdir' && syscall !== 'mkdtemp') return undefined
      return new Failure(
        'folder-not-makeable',
        `the folder ${path} can't be made: the system says that a part of its path does not exist`,
        elsewhere,
        { cause: error },
      )
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new Failure(
        'file-not-allowed',
        `this user may not use ${path} (${code})`,
        `Give it to this user (chown, chmod). Or: ${elsewhere}`,
        { cause: error },
      )
    case 'EEXIST':
    case 'ENOTDIR':
    case 'EISDIR':
      return new Failure(
        'file-in-the-way',
        `${path} is a file where a folder has to be, or a folder where a file has to be (${code})`,
        `Move it away. Or: ${elsewhere}`,
        { cause: error },
      )
    case 'ENOSPC':
    case 'EDQUOT':
      return new Failure('disk-full', `there is no space left for ${path}`, 'Make space on that disk, then run the same command again.', {
        cause: error,
      })
    default:
      return undefined
  }
}
