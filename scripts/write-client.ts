/** `golden client NAME --write`: Serena in the client's own file. */
import { readConfig, replaceConfig } from '../clients/config-file.ts'
import { withoutCredentials } from '../clients/credential.ts'
import { diffLines } from '../clients/diff.ts'
import { clients, type ClientName, type Wanted } from '../clients/known.ts'
import { mergeClient } from '../clients/merge.ts'
import { afterClient } from './after.ts'
import type { NextStep } from './next-step.ts'
import type { VerbContext } from './verb.ts'

export interface ClientToWrite {
  readonly name: ClientName
  readonly wanted: Wanted
  readonly file: string
  /** Whether there is anything to connect to. */
  readonly deployed: boolean
  readonly notes: readonly string[]
  /** Tells the notes. */
  say(): void
}

export async function writeClient(
  { name, wanted, file, deployed, notes, say }: ClientToWrite,
  { flags, result }: VerbContext,
): Promise<number> {
  const config = await readConfig(file)
  const merged = mergeClient(config.text, name, wanted, {
    file,
    replace: flags.replace === true,
    ...(typeof flags.name === 'string' ? { name: flags.name } : {}),
  })
  const diff = diffLines(config.text ?? '', merged.text).map((line) => withoutCredentials(line, wanted.credential))
  const next = (did: 'plan' | 'write'): NextStep[] => afterClient(name, { deployed, file, did })
  const facts = { client: name, file: config.path, name: merged.name, changed: merged.changed, diff, notes }
  if (!merged.changed) {
    result(`${config.path} has it already, as "${merged.name}": nothing to do`, { ...facts, backup: null }, next('write'))
    return 0
  }
  if (!merged.keptCredential) say()
  if (flags.plan === true) {
    result([`${config.path} would be changed:`, ...diff].join('\n'), { ...facts, backup: null }, next('plan'))
    return 0
  }
  const backup = await replaceConfig(config, merged.text, { secret: wanted.credential !== undefined, now: new Date() })
  result(
    [
      `${config.path} has it now, as "${merged.name}". ${backup === undefined ? '' : `What it was is in ${backup}. `}Start ${clients[name].title} again.`,
      ...diff,
    ].join('\n'),
    { ...facts, backup: backup ?? null },
    next('write'),
  )
  return 0
}
