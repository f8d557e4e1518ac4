/** What the slots' ACME client is given beside its settings: what its DNS provider is told, a hook, an account's key, a CA. */
import { resolve } from 'node:path'
import { isCertificate } from '../proxmox/identity.ts'
import type { TextKind } from '../core/plain-text.ts'
import type { Acme } from './acme.ts'
import { readHandedIn, resolveSecret } from './resolve.ts'
import type { SecretRef } from './secret.ts'

/** In clear; lives in memory only. */
export interface AcmeFiles {
  /** Of the DNS provider, as lines `NAME="value"`. */
  readonly environment?: string
  /** The program of provider `exec`. */
  readonly hook?: string
  /** Of an account that is there already. */
  readonly externalKey?: string
  /** PEM. */
  readonly serverCa?: string
}

export interface Reading {
  readonly folder: string
  readonly env: NodeJS.ProcessEnv
  /** Has it read, or tells what is wrong with it; undefined then. */
  attempt(path: string, ref: SecretRef | undefined, read: () => Promise<string>): Promise<string | undefined>
  problem(path: string, message: string): void
}

const at = 'public.certificate'

/** The secrets among its settings, by where they come from. */
export const acmeSecrets = ({ externalAccount, dns }: Acme): SecretRef[] => [
  ...(externalAccount === undefined ? [] : [externalAccount.key]),
  ...Object.values(dns?.environment ?? {}).filter((value) => typeof value !== 'string'),
]

export async function readAcmeFiles(acme: Acme, { folder, env, attempt, problem }: Reading): Promise<AcmeFiles> {
  const { externalAccount, dns } = acme
  const file = (path: string, name: string, kind: TextKind): Promise<string | undefined> =>
    attempt(path, undefined, () => readHandedIn(resolve(folder, name), kind, `${path} = '${name}'`, 'Put it there.'))
  const authority = async (setting: 'caFile' | 'rootFile'): Promise<string | undefined> => {
    const name = acme[setting]
    const text = name === undefined ? undefined : await file(`${at}.${setting}`, name, 'pem')
    if (text !== undefined && !isCertificate(text)) problem(`${at}.${setting}`, 'holds no certificate in PEM')
    return text
  }
  const lines: string[] = []
  for (const [name, value] of Object.entries(dns?.environment ?? {})) {
    const path = `${at}.dns.environment.${name}`
    const text = typeof value === 'string' ? value : await attempt(path, value, () => resolveSecret(value, path, folder, env))
    // The client's reader takes the end of its quotes for a quoted one.
    if (text?.endsWith('\\') === true) problem(path, 'ends with a backslash, which lego does not take')
    else if (text !== undefined) lines.push(`${name}=${quoted(text)}\n`)
  }
  const hook = dns?.hook === undefined ? undefined : await file(`${at}.dns.hook`, dns.hook, 'script')
  const key = externalAccount?.key
  const externalKey =
    key === undefined
      ? undefined
      : await attempt(`${at}.externalAccount.key`, key, () => resolveSecret(key, `${at}.externalAccount.key`, folder, env))
  const serverCa = await authority('caFile')
  // The clients', not the VM's.
  await authority('rootFile')
  return {
    ...(dns === undefined ? {} : { environment: lines.join('') }),
    ...(hook === undefined ? {} : { hook }),
    ...(externalKey === undefined ? {} : { externalKey }),
    ...(serverCa === undefined ? {} : { serverCa }),
  }
}

/** As the client's reader takes it (godotenv): between double quotes it knows these, and would put other variables in for a $. */
const quoted = (text: string): string => `"${text.replaceAll(/[\\"$]/g, '\\$&')}"`
