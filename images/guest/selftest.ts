/** Acceptance checks of a slot from the inside. What they change they take away again. */
import type { Part, SelftestCheck } from '../contract/selftest.ts'
import { dashboardProblems } from './dashboards.ts'
import { firstBootProblem, hygieneProblems, unitProblems } from './condition.ts'
import { frontProblems, nameOf, readProbe, sessionProblems } from './front.ts'
import type { Machine } from './machine.ts'
import { jailedProjectsFolder, owner, presentContainers, run, workspacesFolder } from './places.ts'
import type { Slot } from './slot.ts'
import { describe, observe } from './status.ts'

/** The status code of an answer, or why there was none. The certificate is checked from outside, by who knows its CA. */
async function statusOf(
  machine: Machine,
  asked: { https: boolean; port: number; path: string; host: string; method?: string },
): Promise<string> {
  const { https, port, path, host, method } = asked
  try {
    const { status } = await machine.ask({
      to: { host: '127.0.0.1', port },
      ...(https ? { tls: nameOf(host) } : {}),
      path,
      ...(method === undefined ? {} : { method }),
      headers: { host },
      timeoutMs: 15_000,
      until: '',
    })
    return String(status)
  } catch (error) {
    return (error as Error).message
  }
}

export async function selftest(machine: Machine, slot: Slot): Promise<SelftestCheck[]> {
  const succeeds = async (program: string, args: string[]): Promise<boolean> => (await machine.run(program, args)).status === 0
  const canWrite = (uid: number, path: string): Promise<boolean> =>
    succeeds('setpriv', ['--reuid', String(uid), '--clear-groups', '--regid', String(uid), 'test', '-w', path])
  const checks: SelftestCheck[] = []
  const add = (part: Part, name: string, ok: boolean, detail?: string): void => {
    checks.push(ok || detail === undefined ? { part, name, ok } : { part, name, ok, detail })
  }
  const none = (part: Part, name: string, problems: readonly string[]): void => add(part, name, problems.length === 0, problems.join('; '))
  const { seed } = slot
  const status = describe(slot, await observe(machine, slot))
  const edge = new Set<string>(
    presentContainers(seed, slot.image)
      .filter((container) => container.unit === 'edge')
      .map((container) => container.name),
  )
  for (const [name, service] of Object.entries(status.services)) {
    const expected = status.active || edge.has(name)
    if (expected) add('containers', `${name} answers`, service.state === 'running', service.state)
    else
      add(
        'containers',
        `${name} is not running without the data disk`,
        service.state === 'absent' || service.state === 'stopped',
        service.state,
      )
  }
  none('first-boot', 'cloud-init has nothing to complain of', await firstBootProblem(machine))
  none('units', 'every unit that should run does, and none has failed', await unitProblems(machine, seed, status.active))
  add('firewall', 'the firewall table is loaded', await succeeds('nft', ['list', 'table', 'inet', 'golden']))
  add(
    'ssh',
    'the SSH server runs with the host key of the seed',
    machine.files.exists(`${run}/ssh/ssh_host_ed25519_key`) &&
      ((await succeeds('systemctl', ['is-active', '--quiet', 'ssh.service'])) ||
        (await succeeds('systemctl', ['is-active', '--quiet', 'ssh.socket']))),
  )
  if (seed.roles.includes('serena')) {
    const { host } = seed.public
    const path = seed.serena?.transports.includes('streamable-http') ? '/mcp' : '/sse'
    const plain = await statusOf(machine, { https: false, port: 80, path: '/mcp', host })
    add('tls', 'plain HTTP is redirected', plain === '301', plain)
    const locked = await statusOf(machine, { https: true, port: 443, path, host })
    add('auth', `${path} asks for a password`, locked === '401', locked)
    const oauth = await statusOf(machine, { https: true, port: 443, path: '/.well-known/oauth-authorization-server', host })
    add('auth', 'OAuth probes get a plain 404', oauth === '404', oauth)
    const stranger = await statusOf(machine, { https: false, port: 80, path: '/', host: 'stranger.invalid' })
    add('tls', 'an unknown host name gets no answer', !/^\d+$/.test(stranger), stranger)
  }
  if (seed.roles.includes('logging') && seed.logging) {
    // nginx looks at the method before it asks who somebody is.
    const push = await statusOf(machine, {
      https: true,
      port: seed.logging.port,
      path: '/loki/api/v1/push',
      host: seed.service,
      method: 'POST',
    })
    add('auth', "Loki's push asks for a password", push === '401' || push === '403', push)
    const query = await statusOf(machine, { https: true, port: seed.logging.port, path: '/loki/api/v1/labels', host: seed.service })
    add('auth', 'of Loki nothing but the push is offered', query === '404', query)
  }
  none('tls', 'clients get in: TLS, the certificate, the password', await frontProblems(machine, seed, readProbe(machine.files)))
  none('hygiene', 'nothing of the bake is left, and no secret of the seed is on the disk', await hygieneProblems(machine))
  if (status.active) {
    if (seed.roles.includes('serena')) {
      none('session', 'a client can open a session with Serena and end it', await sessionProblems(machine, seed, readProbe(machine.files)))
      add('projects', 'the projects belong to their user', await canWrite(owner.projects, jailedProjectsFolder))
      add('projects', 'to Serena they are its own', await canWrite(owner.serena, workspacesFolder))
    }
    if (seed.roles.includes('logging') && slot.image.services.loki !== undefined)
      none('dashboards', 'every query of the dashboards runs', await dashboardProblems(machine, seed))
  }
  return checks
}
