/** What an answer of Proxmox says, and what it means when there is none. */
import { Failure } from '../core/failure.ts'
import { conditionError, deniedError, saysFull, storageFullHint } from './conditions.ts'
import { ProxmoxError } from './error.ts'
import { isPassingStatus, mayBeDone } from './patience.ts'
import type { Answer, NoAnswer } from './transport.ts'

const servicesHint =
  'Something between here and Proxmox\'s services answers in their place: see "systemctl status pveproxy pvedaemon" on the node. Then run the same command again: it looks first, and goes on from what it finds.'

/** Who asked whom. */
export interface Asked {
  readonly url: string
  readonly auth: { readonly id: string } | { readonly username: string; readonly password: string }
}

/** @returns the answer's `data` @throws ProxmoxError */
export function readAnswer<T>({ url, auth }: Asked, method: string, path: string, answer: Answer): T {
  const parsed = parse(answer.body)
  if (answer.status >= 200 && answer.status < 300 && parsed !== undefined && 'data' in parsed) return parsed.data as T
  const message = (parsed?.message ?? answer.reason).trim() || `HTTP ${answer.status}`
  const parameters = parsed?.errors ?? {}
  const listed = Object.entries(parameters)
    .map(([name, text]) => `${name}: ${text.trim()}`)
    .join('; ')
  const what = `${method} ${path.split('?')[0]}: ${message}${listed === '' ? '' : ` (${listed})`}`
  const details = { status: answer.status, method, path, parameters }
  if (answer.status === 401) {
    if ('password' in auth)
      throw new ProxmoxError(
        'login-refused',
        `Proxmox at ${url} does not accept the password of ${auth.username}`,
        'Check the user, with its realm, and the password.',
        details,
      )
    throw new ProxmoxError(
      'not-authenticated',
      `Proxmox at ${url} does not accept the token ${auth.id}`,
      'If it is gone, has expired, or its secret is another: "npx golden setup --new-token" makes a new one. Or correct proxmox.tokenId and proxmox.token in site.ts.',
      details,
    )
  }
  if (answer.status === 403) throw deniedError(what, details)
  if (answer.status >= 200 && answer.status < 300)
    throw new ProxmoxError('not-proxmox', `${url} does not answer like Proxmox VE`, 'Check proxmox.url in site.ts.', details)
  if (isPassingStatus(answer.status))
    throw new ProxmoxError('proxmox-unreachable', `${what} (${answer.status})`, servicesHint, {
      ...details,
      lost: method !== 'GET' && mayBeDone(answer.status),
    })
  if (saysFull(what)) throw new ProxmoxError('storage-full', `a storage is full: ${what}`, storageFullHint, details)
  const known = conditionError(what, details)
  if (known !== undefined) throw known
  throw new ProxmoxError('proxmox-refused', what, 'Mend what Proxmox complains about, then run the same command again.', details)
}

/** Why there was no answer, and whether what was asked for may have been done. */
export function unreachable(url: string, method: string, path: string, noAnswer: NoAnswer, repeatable: boolean): Failure {
  const { cause } = noAnswer
  if (cause instanceof Failure) return cause
  const details = { status: 0, method, path, cause }
  if (cause.name === 'AbortError') return new ProxmoxError('cancelled', 'cancelled', 'Run the same command again.', details)
  const certificate = /CERT|SELF_SIGNED|ALTNAME|UNABLE_TO_VERIFY|ISSUER/.test(cause.code ?? '')
  if (certificate) {
    return new ProxmoxError(
      'certificate-not-trusted',
      `the certificate of ${url} is not trusted: ${cause.message}`,
      'If the host or its certificate changed on purpose, remove the pinned one (proxmox.caFile, secrets/proxmox-ca.pem by default) and run "npx golden setup" to see and pin the new one; otherwise somebody may be in between.',
      details,
    )
  }
  if (!repeatable && mayBeDone(noAnswer)) {
    return new ProxmoxError(
      'proxmox-unreachable',
      `Proxmox at ${url} did not say what became of ${method} ${path.split('?')[0]}: ${cause.message}`,
      'Run the same command again: it looks first, and goes on from what it finds.',
      { ...details, lost: true },
    )
  }
  return new ProxmoxError(
    'proxmox-unreachable',
    `Proxmox does not answer at ${url}: ${cause.message}`,
    'Check proxmox.url in site.ts, the network, and that the host is up.',
    details,
  )
}

function parse(body: string): { data?: unknown; message?: string; errors?: Record<string, string> } | undefined {
  try {
    const value: unknown = JSON.parse(body)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}
