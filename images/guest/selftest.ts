/** Acceptance checks of a slot from the inside. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { request as httpsRequest } from 'node:https'
import { request as httpRequest } from 'node:http'
import { isIP } from 'node:net'
import { frontProblems, readProbe, sessionProblems } from './front.ts'
import { jailedProjectsFolder, owner, presentContainers, run, workspacesFolder } from './places.ts'
import type { Slot } from './slot.ts'
import { describe, observe } from './status.ts'

export interface Check {
  name: string
  ok: boolean
  /** What was seen instead. */
  detail?: string
}

/** The status code of an answer, or why there was none. The certificate is checked from outside, by who knows its CA. */
function statusOf(options: { https: boolean; port: number; path: string; host: string }): Promise<string> {
  return new Promise((resolve) => {
    const common = {
      host: '127.0.0.1',
      port: options.port,
      path: options.path,
      agent: false,
      timeout: 15_000,
      headers: { host: options.host },
    }
    const named = isIP(options.host) ? {} : { servername: options.host }
    const sent = options.https ? httpsRequest({ ...common, rejectUnauthorized: false, ...named }) : httpRequest(common)
    sent.on('response', (response) => {
      response.resume()
      resolve(String(response.statusCode))
      sent.destroy()
    })
    sent.on('timeout', () => sent.destroy(new Error('timeout')))
    sent.on('error', (error) => resolve(error.message))
    sent.end()
  })
}

const succeeds = (program: string, args: string[]): boolean => spawnSync(program, args).status === 0

const canWrite = (uid: number, path: string): boolean =>
  succeeds('setpriv', ['--reuid', String(uid), '--clear-groups', '--regid', String(uid), 'test', '-w', path])

export async function selftest(slot: Slot): Promise<Check[]> {
  const checks: Check[] = []
  const add = (name: string, ok: boolean, detail?: string): void => {
    checks.push(ok || detail === undefined ? { name, ok } : { name, ok, detail })
  }
  const { seed } = slot
  const status = describe(slot, await observe(slot))
  const edge = new Set<string>(
    presentContainers(seed, slot.image)
      .filter((container) => container.unit === 'edge')
      .map((container) => container.name),
  )
  for (const [name, service] of Object.entries(status.services)) {
    const expected = status.active || edge.has(name)
    if (expected) add(`${name} answers`, service.state === 'running', service.state)
    else add(`${name} is not running without the data disk`, service.state === 'absent' || service.state === 'stopped', service.state)
  }
  add('the firewall table is loaded', succeeds('nft', ['list', 'table', 'inet', 'golden']))
  add(
    'the SSH server runs with the host key of the seed',
    existsSync(`${run}/ssh/ssh_host_ed25519_key`) &&
      (succeeds('systemctl', ['is-active', '--quiet', 'ssh.service']) || succeeds('systemctl', ['is-active', '--quiet', 'ssh.socket'])),
  )
  if (seed.roles.includes('serena')) {
    const { host } = seed.public
    const path = seed.serena?.transports.includes('streamable-http') ? '/mcp' : '/sse'
    const plain = await statusOf({ https: false, port: 80, path: '/mcp', host })
    add('plain HTTP is redirected', plain === '301', plain)
    const locked = await statusOf({ https: true, port: 443, path, host })
    add(`${path} asks for a password`, locked === '401', locked)
    const oauth = await statusOf({ https: true, port: 443, path: '/.well-known/oauth-authorization-server', host })
    add('OAuth probes get a plain 404', oauth === '404', oauth)
    const stranger = await statusOf({ https: false, port: 80, path: '/', host: 'stranger.invalid' })
    add('an unknown host name gets no answer', !/^\d+$/.test(stranger), stranger)
  }
  if (seed.roles.includes('logging') && seed.logging) {
    const push = await statusOf({ https: true, port: seed.logging.port, path: '/loki/api/v1/push', host: seed.service })
    add("Loki's push asks for a password", push === '401' || push === '403', push)
    const query = await statusOf({ https: true, port: seed.logging.port, path: '/loki/api/v1/labels', host: seed.service })
    add('of Loki nothing but the push is offered', query === '404', query)
  }
  const front = await frontProblems(seed, readProbe())
  add('clients get in: TLS, the certificate, the password', front.length === 0, front.join('; '))
  if (status.active) {
    const session = await sessionProblems(seed, readProbe())
    if (seed.roles.includes('serena')) add('a client can open a session with Serena and end it', session.length === 0, session.join('; '))
    add('the projects belong to their user', !seed.roles.includes('serena') || canWrite(owner.projects, jailedProjectsFolder))
    add('to Serena they are its own', !seed.roles.includes('serena') || canWrite(owner.serena, workspacesFolder))
  }
  return checks
}
