/** Turns a secret's reference into the secret, at the moment it is needed. */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import { Failure } from '../proxmox/failure.ts'
import type { SecretRef } from './secret.ts'

/** How a reference looks in messages; never the secret itself. */
export function nameSecret(ref: SecretRef): string {
  switch (ref.kind) {
    case 'file': return `fromFile('${ref.path}')`
    case 'env': return `fromEnv('${ref.name}')`
    case 'command': return `fromCommand('${ref.command[0]}', …)`
  }
}

/**
 * @param setting path of the setting in the site, for messages
 * @throws Failure `secret-unavailable`
 */
export async function resolveSecret(ref: SecretRef, setting: string, folder: string, env: NodeJS.ProcessEnv = process.env): Promise<string> {
  const unavailable = (why: string, hint: string, cause?: unknown): Failure =>
    new Failure('secret-unavailable', `${setting} = ${nameSecret(ref)}: ${why}`, hint, { cause })
  const checked = (text: string): string => {
    const secret = text.replace(/\r?\n$/, '')
    if (secret === '') throw unavailable('is empty', `Give ${setting} a value there.`)
    return secret
  }
  switch (ref.kind) {
    case 'file': {
      const path = resolve(folder, ref.path)
      try {
        return checked(await readFile(path, 'utf8'))
      } catch (cause) {
        if (cause instanceof Failure) throw cause
        throw unavailable(`${path} can't be read`, 'Run "npx golden init" (makes missing passwords and keys) or "npx golden setup" (makes the token), or put the secret there.', cause)
      }
    }
    case 'env': {
      const value = env[ref.name]
      if (value === undefined) throw unavailable('is not set', `Set ${ref.name} in the environment.`)
      return checked(value)
    }
    case 'command': {
      const [program, ...args] = ref.command
      try {
        const { stdout } = await promisify(execFile)(program, args, { cwd: folder, env, maxBuffer: 1 << 20 })
        return checked(stdout)
      } catch (cause) {
        if (cause instanceof Failure) throw cause
        // The program's own words may quote the secret's place, never the arguments: those may be private.
        const failure = cause as { code?: unknown; stderr?: string }
        throw unavailable(failure.code === 'ENOENT' ? `${program} is not installed` : `${program} failed: ${(failure.stderr ?? '').trim().split('\n').at(-1) ?? ''}`, 'Run that program by hand in the site folder.')
      }
    }
  }
}
