/** Writes the units of the night, or takes them away, and tells systemd. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ChildFailure, run } from '../core/child.ts'
import { childEnvironment } from '../core/environment.ts'
import { Failure } from '../core/failure.ts'
import { makeFolder } from '../core/folders.ts'
import { serviceUnit, timerUnit, unitFolder, unitName, type TimerOptions } from './timer.ts'
import { writeWhole } from '../core/write-whole.ts'

export interface Installing {
  readonly uid: number
  readonly env: NodeJS.ProcessEnv
}

/** `systemctl` of the user, or of the system for root. */
async function systemctl({ uid, env }: Installing, ...args: readonly string[]): Promise<void> {
  try {
    await run('systemctl', [...(uid === 0 ? [] : ['--user']), ...args], {
      env: childEnvironment(env, (name) => name === 'DBUS_SESSION_BUS_ADDRESS'),
      timeoutMs: 60_000,
      label: `systemctl ${args[0] ?? ''}`,
    })
  } catch (error) {
    if (!(error instanceof ChildFailure)) throw error
    throw new Failure(
      'timer-not-started',
      `systemd does not start the timer: ${error.message}`,
      error.missing
        ? 'Without systemd, let cron or your CI run "npx golden nightly" (docs/nightly.md).'
        : 'The units are written. Where a user has no systemd of their own, run "loginctl enable-linger", then the same command again.',
      { cause: error },
    )
  }
}

/** @returns the files. @throws Failure `timer-not-started`: they are written all the same */
export async function installTimer(options: TimerOptions, installing: Installing): Promise<readonly string[]> {
  const folder = unitFolder(installing.uid, installing.env)
  await makeFolder(folder)
  const files = []
  for (const { name, text } of [serviceUnit(options), timerUnit(options)]) {
    const file = join(folder, name)
    // A proxy's address may have a password in it.
    await writeWhole(file, text, { mode: 0o600 })
    files.push(file)
  }
  await systemctl(installing, 'daemon-reload')
  await systemctl(installing, 'enable', '--now', `${unitName(options.site)}.timer`)
  return files
}

/** @returns the files that are gone. @throws Failure `timer-not-started` */
export async function removeTimer(site: string, installing: Installing): Promise<readonly string[]> {
  const folder = unitFolder(installing.uid, installing.env)
  const name = unitName(site)
  await systemctl(installing, 'disable', '--now', `${name}.timer`)
  const files = [`${name}.timer`, `${name}.service`].map((unit) => join(folder, unit))
  for (const file of files) await rm(file, { force: true })
  await systemctl(installing, 'daemon-reload')
  return files
}
