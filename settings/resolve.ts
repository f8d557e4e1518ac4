/** Turns a secret's reference into the secret, at the moment it is needed. */
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { ChildFailure, lastLinesOf, runForBytes } from '../core/child.ts'
import { Failure } from '../core/failure.ts'
import { plainText, type TextKind } from '../core/plain-text.ts'
import type { SecretRef } from './secret.ts'

/** How a reference looks in messages; never the secret itself. */
export function nameSecret(ref: SecretRef): string {
  switch (ref.kind) {
    case 'file':
      return `fromFile('${ref.path}')`
    case 'env':
      return `fromEnv('${ref.name}')`
    case 'command':
      return `fromCommand('${ref.command[0]}', …)`
  }
}

/**
 * @param setting path of the setting in the site, for messages
 * @param kind what it has to be: one line, or text in PEM
 * @throws Failure `secret-unavailable`, `secret-unfit`
 */
export async function resolveSecret(
  ref: SecretRef,
  setting: string,
  folder: string,
  env: NodeJS.ProcessEnv = process.env,
  kind: 'line' | 'pem' = 'line',
): Promise<string> {
  const named = `${setting} = ${nameSecret(ref)}`
  const unavailable = (why: string, hint: string, cause?: unknown): Failure =>
    new Failure('secret-unavailable', `${named}: ${why}`, hint, { cause })
  switch (ref.kind) {
    case 'file': {
      const path = resolve(folder, ref.path)
      const bytes = await readFile(path).catch((cause: unknown) => {
        throw unavailable(
          `${path} can't be read`,
          'Run "npx golden init" (makes missing passwords and keys) or "npx golden setup" (makes the token), or put the secret there.',
          cause,
        )
      })
      return fit(named, bytes, kind)
    }
    case 'env': {
      const value = env[ref.name]
      if (value === undefined) throw unavailable('is not set', `Set ${ref.name} in the environment.`)
      return fit(named, value, kind)
    }
    case 'command': {
      const [program, ...args] = ref.command
      const { stdout } = await runForBytes(program, args, { cwd: folder, env, maxBytes: 1 << 20, secret: true }).catch((cause: unknown) => {
        if (!(cause instanceof ChildFailure)) throw cause
        // The program's own words may quote the secret's place, never the arguments: those may be private.
        throw unavailable(
          cause.missing ? `${program} is not installed` : `${program} failed: ${lastLinesOf(cause.said, 1)}`,
          'Run that program by hand in the site folder.',
        )
      })
      return fit(named, stdout, kind)
    }
  }
}

/**
 * A file of the site folder with a secret, a key or a certificate.
 * @param named what messages call it, e.g. its path
 * @throws Failure `secret-unavailable`, `secret-unfit`
 */
export async function readHandedIn(
  file: string,
  kind: TextKind,
  named: string = file,
  hint = 'Run "npx golden init": it makes what is missing and replaces nothing.',
): Promise<string> {
  const bytes = await readFile(file).catch((cause: unknown) => {
    throw new Failure('secret-unavailable', `${named === file ? file : `${named}: ${file}`} can't be read`, hint, { cause })
  })
  return fit(named, bytes, kind)
}

function fit(named: string, found: Uint8Array | string, kind: TextKind): string {
  const read = plainText(found, kind)
  if (read.ok) return read.text
  throw new Failure('secret-unfit', `${named}: it ${read.problem}`, 'Nothing was changed. Mend it there, then run the same command again.')
}
