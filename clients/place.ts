/** Where programs keep their configuration, by operating system. */
import { posix, win32 } from 'node:path'

export interface Place {
  readonly platform: NodeJS.Platform
  readonly home: string
  readonly env: Readonly<Record<string, string | undefined>>
}

export const inHome = ({ platform, home }: Place, ...parts: readonly string[]): string => pathsOf(platform).join(home, ...parts)

/** `%APPDATA%`, `~/Library/Application Support`, or `~/.config`. */
export function inAppData(place: Place, ...parts: readonly string[]): string {
  const { platform, env } = place
  if (platform === 'win32') return win32.join(env.APPDATA || inHome(place, 'AppData', 'Roaming'), ...parts)
  if (platform === 'darwin') return inHome(place, 'Library', 'Application Support', ...parts)
  return inConfigHome(place, ...parts)
}

/** The XDG base directory specification's. */
export const inConfigHome = (place: Place, ...parts: readonly string[]): string =>
  posix.join(place.platform === 'linux' && place.env.XDG_CONFIG_HOME ? place.env.XDG_CONFIG_HOME : inHome(place, '.config'), ...parts)

const pathsOf = (platform: NodeJS.Platform): typeof posix => (platform === 'win32' ? win32 : posix)
