/** The verbs, as a person would run them in a site folder. */
import type { DemoWorld } from './run.ts'
import { verb } from './program.ts'

/** `golden` in one site folder. Resolves with the verb's document. */
export interface Golden {
  (...words: string[]): Promise<any>
  /** With the lab's root for an administrator. */
  asAdministrator(...words: string[]): Promise<any>
  /** The same, with somebody who hears each line of its progress. */
  heardBy(onLine: (line: string) => void): (...words: string[]) => Promise<any>
  /** Shows a line of a verb's progress, as it does for those above, and lets somebody hear it. */
  shows(hear: (line: string) => void): (line: string) => void
}

export function at(folder: string, world: DemoWorld): Golden {
  const { connection, signal } = world
  const [id, secret] = connection.rootToken.split(/=(.*)/s) as [string, string]
  const env = { ...world.env, GOLDEN_SITE: folder }
  const onLine = shows(world)
  const heard =
    (hear: (line: string) => void) =>
    (line: string): void => {
      onLine(line)
      hear(line)
    }
  return Object.assign((...words: string[]) => verb(words, { env, signal, onLine }), {
    asAdministrator: (...words: string[]) =>
      verb([...words, '--admin', id], { env: { ...env, PROXMOX_ADMIN_TOKEN: secret }, signal, onLine }),
    heardBy:
      (hear: (line: string) => void) =>
      (...words: string[]) =>
        verb(words, { env, signal, onLine: heard(hear) }),
    shows: heard,
  })
}

/** Shows a verb's progress, and when a VM has to be reset, how it hung. */
const shows =
  ({ progress, checks, look }: DemoWorld) =>
  (line: string): void => {
    checks.heard(line)
    progress.info(line)
    if (/^\s*warning: VM \d+ does not answer/.test(line)) void look()
  }
