/** Where a project may be cloned from: by a VM without keys, files of yours, or ways out that the site does not list. */
import { isIP } from 'node:net'

const leaveOut = 'Leave git out and push the repository over SSH instead (ssh.projectKeys)'
const ports: Readonly<Record<string, number>> = { 'https:': 443, 'http:': 80, 'git:': 9418 }

/** Why this can never be cloned, in words that follow the setting's name. They never say the source again: it may hold a password. */
export function gitProblem(text: string): string | undefined {
  // Credentials would be readable in deployment.json, in the seed and in git's arguments.
  if (text.startsWith('-')) return 'must not start with a hyphen: git would take it for an option'
  if (/[\s\p{Cc}\p{Cf}]/u.test(text)) return 'must hold no blanks, line ends or invisible characters'
  const [, helper, scheme, userinfo] = /^((?:[a-z0-9]+::)*)([a-z][a-z0-9+.-]*):\/\/(?:([^/?#]*)@)?/i.exec(text) ?? []
  const overSsh = scheme === undefined ? /^[^/:]+:(?!:)/.test(text) : /ssh/i.test(scheme)
  if (overSsh && userinfo?.includes(':') !== true) return `can't be cloned over SSH: the VM has no key, and knows no hosts. ${leaveOut}`
  if (userinfo !== undefined && (/^https?$/i.test(scheme ?? '') || userinfo.includes(':')))
    return `must hold no credentials: they would be readable in deployment.json. ${leaveOut}`
  if (/^[a-z0-9]+::/i.test(text) || (helper !== undefined && helper !== ''))
    return "must be a plain URL: the VM has none of git's helpers for other transports"
  if (scheme === undefined)
    return `must begin with https://, http:// or git://: the VM sees no folder of yours, and guesses no scheme. ${leaveOut}`
  if (/^file$/i.test(scheme)) return `must not be a file: the VM sees none of yours. ${leaveOut}`
  if (ports[`${scheme}:`] === undefined) return 'must begin with https://, http:// or git:// (in lower case): the VM can get nothing else'
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || url.hostname === '') return 'must be a URL like https://git.example.org/me/project.git'
  if (url.port === '0' || /^[a-z]+:\/\/[^/?#]*:(?:[/?#]|$)/.test(text)) return 'has no port after its colon'
  if (text.includes('#'))
    return 'must have no #…: git would take it for a part of the path. The branch that its host names as the default is cloned'
  if (text.includes('?')) return `must have no ?…: a token in it would be readable in deployment.json. ${leaveOut}`
  if (url.pathname === '' || url.pathname === '/') return 'names a host, but no repository on it'
  const host = url.hostname
  if (host.startsWith('[')) return 'must not have an IPv6 address: the VM has no IPv6'
  if (/^localhost$|\.localhost$/i.test(host) || (isIP(host) === 4 && /^(127|0)\./.test(host))) return 'names the VM itself as its host'
  return undefined
}

/** Whom a source is fetched from. Undefined for what `gitProblem` refuses. */
export function gitHost(text: string): { readonly host: string; readonly port: number } | undefined {
  if (gitProblem(text) !== undefined) return undefined
  const { protocol, hostname, port } = new URL(text)
  return { host: hostname, port: port === '' ? (ports[protocol] ?? 0) : Number(port) }
}
