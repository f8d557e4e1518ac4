/** A systemd service and timer that run the night, for people without CI. Pure: the texts of both, and where they go. */

export interface TimerOptions {
  /** Names the units. */
  readonly site: string
  /** Absolute paths. */
  readonly project: string
  readonly node: string
  readonly folder: string
  /** `02:30` */
  readonly at: string
  readonly timeZone?: string | undefined
  /** What the service sees besides systemd's own: where programs and caches are, the way to the internet. */
  readonly variables: Readonly<Record<string, string>>
}

export interface Unit {
  readonly name: string
  readonly text: string
}

export const unitName = (site: string): string => `golden-nightly-${site}`

/** `%` begins a specifier, and a quote ends where one ends (systemd.syntax(7), systemd.unit(5)). */
const word = (text: string): string => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('%', '%%')}"`
/** Of a command line, `$` begins a variable, too (systemd.service(5)). */
const argument = (text: string): string => word(text).replaceAll('$', '$$$$')
const plain = (text: string): string => text.replaceAll('%', '%%')

export function serviceUnit({ site, project, node, folder, variables }: TimerOptions): Unit {
  const environment = Object.entries({ ...variables, GOLDEN_SITE: folder })
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `Environment=${word(`${name}=${value}`)}`)
  return {
    name: `${unitName(site)}.service`,
    text: [
      '[Unit]',
      `Description=The night of the golden images of ${plain(site)}`,
      // Only the system's own systemd has it: for a user's the night waits itself (night.ts).
      'Wants=network-online.target',
      'After=network-online.target',
      '',
      '[Service]',
      'Type=oneshot',
      `WorkingDirectory=${plain(project)}`,
      ...environment,
      '# Variables that the site file reads (fromEnv) go in there, NAME=value a line.',
      `EnvironmentFile=-${plain(folder)}/secrets/nightly.env`,
      `ExecStart=${word(node)} ${argument(`${project}/scripts/golden`)} nightly`,
      '# There is a new image.',
      'SuccessExitStatus=10',
      '# Ended by systemd it gets the time to put back what it is at; run again, it goes on.',
      'TimeoutStartSec=infinity',
      'TimeoutStopSec=15min',
      'KillMode=mixed',
      'Nice=5',
      'UMask=0077',
      'NoNewPrivileges=yes',
      '',
    ].join('\n'),
  }
}

export function timerUnit({ site, at, timeZone }: TimerOptions): Unit {
  return {
    name: `${unitName(site)}.timer`,
    text: [
      '[Unit]',
      `Description=Every night: the golden images of ${plain(site)}`,
      '',
      '[Timer]',
      `OnCalendar=*-*-* ${at}:00${timeZone === undefined ? '' : ` ${timeZone}`}`,
      '# A computer that slept through it does it when it wakes up.',
      'Persistent=yes',
      'RandomizedDelaySec=5min',
      '',
      '[Install]',
      'WantedBy=timers.target',
      '',
    ].join('\n'),
  }
}

/** Where units of this user belong. @param uid 0: the system's */
export const unitFolder = (uid: number, env: NodeJS.ProcessEnv): string =>
  uid === 0
    ? '/etc/systemd/system'
    : `${env.XDG_CONFIG_HOME?.startsWith('/') ? env.XDG_CONFIG_HOME : `${env.HOME ?? ''}/.config`}/systemd/user`
