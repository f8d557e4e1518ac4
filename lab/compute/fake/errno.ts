/** As strerror(3) words them. */
const MEANING: Readonly<Record<string, string>> = {
  ENOENT: 'No such file or directory',
  EEXIST: 'File exists',
  ENOTDIR: 'Not a directory',
  EISDIR: 'Is a directory',
  EACCES: 'Permission denied',
  EPERM: 'Operation not permitted',
  ENOTEMPTY: 'Directory not empty',
  ELOOP: 'Too many levels of symbolic links',
  EROFS: 'Read-only file system',
  EINVAL: 'Invalid argument',
  EBUSY: 'Device or resource busy',
  ENOSPC: 'No space left on device',
}

/** An operation failed as a system call would; `code` is its errno's name. */
export class VfsError extends Error {
  readonly code: string
  readonly path: string
  /** The errno in words. */
  readonly reason: string
  constructor(code: string, operation: string, path: string) {
    const reason = MEANING[code] ?? 'Unknown error'
    super(`${code}: ${reason.toLowerCase()}, ${operation} '${path}'`)
    this.code = code
    this.path = path
    this.reason = reason
  }
}
