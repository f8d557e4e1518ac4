/** Who runs this, for other people to read. */
import { hostname, userInfo } from 'node:os'

/** USER@COMPUTER. */
export function who(): string {
  try {
    return `${userInfo().username}@${hostname()}`
  } catch {
    // A container's user may have no name.
    return `${process.getuid?.() ?? 'unknown'}@${hostname()}`
  }
}
