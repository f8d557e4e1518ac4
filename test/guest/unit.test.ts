import { describe, expect, it } from 'vitest'
import type { Machine, Reply } from '../../images/guest/machine.ts'
import { unit } from '../../images/guest/unit.ts'
import { image, seeds } from './seed.ts'

const seed = { ...seeds.serena, serena: { ...seeds.serena.serena!, transports: ['streamable-http'] } }
const all = ['nginx_proxy', 'otelcol', 'serena_mcp']

/** A machine with as much of Docker and Compose as a unit's containers need. @param broken what Compose can't make or start */
function machineWith(found: Readonly<Record<string, string>>, broken: readonly string[] = []) {
  const states = new Map(Object.entries(found))
  const asked: string[] = []
  const made: string[] = []
  const reply = (status: number, body = ''): Reply => ({ status, headers: {}, body })
  const machine = {
    files: {
      exists: (path: string) => path.endsWith('seed.json'),
      read: (path: string) => JSON.stringify(path.endsWith('seed.json') ? seed : image),
      mkdir: (path: string) => void made.push(path),
    },
    async run(_program: string, [, how, , ...names]: readonly string[]) {
      asked.push(`compose ${how} ${names.join(' ')}`)
      if (names.some((name) => broken.includes(name))) return { status: 1, stdout: '', stderr: 'no such image' }
      for (const name of names) if (how === '--detach' || !states.has(name)) states.set(name, how === '--detach' ? 'running' : 'created')
      return { status: 0, stdout: '', stderr: '' }
    },
    async ask({ method, path }: { method: string; path: string }) {
      if (method === 'GET')
        return reply(200, JSON.stringify([...states].map(([name, State]) => ({ Id: name, Names: [`/${name}`], State }))))
      const [, name = '', verb = ''] = /^\/containers\/(\w+)\/(\w+)$/.exec(path) ?? []
      asked.push(`${verb} ${name}`)
      if (!states.has(name)) return reply(404, 'No such container')
      const state = verb === 'stop' ? 'exited' : 'running'
      if (states.get(name) === state) return reply(304)
      states.set(name, state)
      return reply(204)
    },
    say: () => {},
    complain: () => {},
  }
  return { machine: machine as unknown as Machine, states, asked, made }
}

describe("a unit's containers", () => {
  it('are all made with the edge, which alone is started then, before there is a data disk', async () => {
    const { machine, states, asked, made } = machineWith({})
    expect(await unit(machine, ['start', 'edge'])).toBe(0)
    expect(Object.fromEntries(states)).toEqual({ nginx_proxy: 'running', otelcol: 'running', serena_mcp: 'created' })
    expect(asked).toEqual([`compose --no-start ${all.join(' ')}`, 'start nginx_proxy', 'start otelcol'])
    expect(made).toEqual(['/run/golden/workspaces', '/srv/golden/serena'])
  })

  it('are started and stopped without Compose', async () => {
    const { machine, states, asked } = machineWith({ serena_mcp: 'created' })
    expect(await unit(machine, ['start', 'serena'])).toBe(0)
    expect(states.get('serena_mcp')).toBe('running')
    expect([await unit(machine, ['stop', 'serena']), await unit(machine, ['stop', 'serena'])]).toEqual([0, 0])
    expect(states.get('serena_mcp')).toBe('exited')
    expect(asked).toEqual(['start serena_mcp', 'stop serena_mcp', 'stop serena_mcp'])
  })

  it('are made by Compose where somebody has removed them; what is not there need not be stopped', async () => {
    const { machine, states, asked } = machineWith({})
    expect(await unit(machine, ['stop', 'serena'])).toBe(0)
    expect(await unit(machine, ['start', 'serena'])).toBe(0)
    expect(states.get('serena_mcp')).toBe('running')
    expect(asked).toEqual(['start serena_mcp', 'compose --detach serena_mcp'])
  })

  it("that are another unit's do not keep nginx from starting", async () => {
    const { machine, states } = machineWith({}, ['serena_mcp'])
    expect(await unit(machine, ['start', 'edge'])).toBe(0)
    expect(states.get('nginx_proxy')).toBe('running')
    expect(await unit(machine, ['start', 'serena'])).toBe(1)
  })
})
