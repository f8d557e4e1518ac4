/** Acceptance checks of a slot from the inside. */
import { frontProblems, nameOf, readProbe, sessionProblems } from './front.ts'
import type { Machine } from './machine.ts'
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
async function statusOf(machine: Machine, asked: { https: boolean; port: number; path: string; host: string }): Promise<string> {
  const { https, port, path, host } = asked
  try {
    const { status } = await machine.ask({
      to: { host: '127.0.0.1', port },
      ...(https ? { tls: nameOf(host) } : {}),
      path,
      headers: { host },
      timeoutMs: 15_000,
      until: '',
    })
    return String(status)
  } catch (error) {
    return (error as Error).message
  }
}

export async function selftest(machine: Machine, slot: Slot): Promise<Check[]> {
  const succeeds = async (program: string, args: string[]): Promise<boolean> => (await machine.run(program, args)).status === 0
  const canWrite = (uid: number, path: string): Promise<boolean> =>
    succeeds('setpriv', ['--reuid', String(uid), '--clear-groups', '--regid', String(uid), 'test', '-w', path])
  const checks: Check[] = []
  const add = (name: string, ok: boolean, detail?: string): void => {
    checks.push(ok || detail === undefined ? { name, ok } : { name, ok, detail })
  }
  const { seed } = slot
  const status = describe(slot, await observe(machine, slot))
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
  add('the firewall table is loaded', await succeeds('nft', ['list', 'table', 'inet', 'golden']))
  add(
    'the SSH server runs with the host key of the seed',
    machine.files.exists(`${run}/ssh/ssh_host_ed25519_key`) &&
      ((await succeeds('systemctl', ['is-active', '--quiet', 'ssh.service'])) ||
        (await succeeds('systemctl', ['is-active', '--quiet', 'ssh.socket']))),
  )
  if (seed.roles.includes('serena')) {
    const { host } = seed.public
    const path = seed.serena?.transports.includes('streamable-http') ? '/mcp' : '/sse'
    const plain = await statusOf(machine, { https: false, port: 80, path: '/mcp', host })
    add('plain HTTP is redirected', plain === '301', plain)
    const locked = await statusOf(machine, { https: true, port: 443, path, host })
    add(`${path} asks for a password`, locked === '401', locked)
    const oauth = await statusOf(machine, { https: true, port: 443, path: '/.well-known/oauth-authorization-server', host })
    add('OAuth probes get a plain 404', oauth === '404', oauth)
    const stranger = await statusOf(machine, { https: false, port: 80, path: '/', host: 'stranger.invalid' })
    add('an unknown host name gets no answer', !/^\d+$/.test(stranger), stranger)
  }
  if (seed.roles.includes('logging') && seed.logging) {
    const push = await statusOf(machine, { https: true, port: seed.logging.port, path: '/loki/api/v1/push', host: seed.service })
    add("Loki's push asks for a password", push === '401' || push === '403', push)
    const query = await statusOf(machine, { https: true, port: seed.logging.port, path: '/loki/api/v1/labels', host: seed.service })
    add('of Loki nothing but the push is offered', query === '404', query)
  }
  const front = await frontProblems(machine, seed, readProbe(machine.files))
  add('clients get in: TLS, the certificate, the password', front.length === 0, front.join('; '))
  if (status.active) {
    const session = await sessionProblems(machine, seed, readProbe(machine.files))
    if (seed.roles.includes('serena')) add('a client can open a session with Serena and end it', session.length === 0, session.join('; '))
    add('the projects belong to their user', !seed.roles.includes('serena') || (await canWrite(owner.projects, jailedProjectsFolder)))
    add('to Serena they are its own', !seed.roles.includes('serena') || (await canWrite(owner.serena, workspacesFolder)))
  }
  return checks
}
