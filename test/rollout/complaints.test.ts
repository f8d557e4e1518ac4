/** What a slot says of itself when it does not serve, and the last line of one that ends. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { AgentResult } from '../../proxmox/agent.ts'
import { complaintsOf, quoted } from '../../rollout/complaints.ts'
import { lastLineArrives } from '../../rollout/last-line.ts'
import { deploy } from '../../rollout/deploy.ts'
import type { Proxmox } from '../../proxmox/client.ts'
import { Failure } from '../../core/failure.ts'
import { startOneVm, type OneVm } from './one-vm.ts'

const said = (stdout: string, exitCode = 0): AgentResult => ({ exitCode, stdout, stderr: '' })
const answering = (answer: (command: readonly string[]) => AgentResult): Proxmox =>
  ({ agentExec: async (_node: string, _vmid: number, command: readonly string[]) => answer(command) }) as unknown as Proxmox
const status = {
  schema: 1,
  release: 'r',
  image: 'f',
  group: 'g',
  slot: 'green',
  roles: [],
  active: true,
  dataDisk: 'mounted',
  missing: [],
  serviceAddress: { address: '', held: false },
  healthy: false,
  problems: [],
}

it('its units, and the containers that do not run, each by its name', async () => {
  const proxmox = answering(([program = '', ...words]) => {
    if (program.endsWith('slotctl'))
      return said(
        JSON.stringify({
          ...status,
          services: { serena_mcp: { state: 'unhealthy' }, nginx_proxy: { state: 'running' }, loki: { state: 'absent' } },
        }),
      )
    if (program.endsWith('journalctl')) return said('golden-serena.service failed\n')
    return said(`said by ${words.at(-1)}\n`)
  })
  expect(await complaintsOf(proxmox, 'pve', 1)).toEqual(['golden-serena.service failed', 'serena_mcp: said by serena_mcp'])
  expect(quoted(['one'])).toBe('\n  │ one')
})

it('of a guest that says nothing there is nothing, of an API that does not answer there is a failure', async () => {
  const silent = answering(() => {
    throw new Failure('agent-timeout', 'no agent', '')
  })
  expect(await complaintsOf(silent, 'pve', 1)).toEqual([])
  const away = answering(() => {
    throw new Failure('proxmox-unreachable', 'no host', '')
  })
  await expect(complaintsOf(away, 'pve', 1)).rejects.toMatchObject({ code: 'proxmox-unreachable' })
})

let t: OneVm
beforeAll(async () => {
  t = await startOneVm()
  await deploy(t.options())
})
afterAll(() => t?.close())

it('the last line is asked for at Loki, by the name of its host, until it is there', async () => {
  const asked: string[] = []
  let looks = 0
  let mark = ''
  const proxmox = answering(([program = '', ...words]) => {
    if (program.endsWith('logger')) {
      mark = words.at(-1)?.split(': ').at(-1) ?? ''
      return said('')
    }
    asked.push(words.join(' '))
    return said(JSON.stringify({ schema: 1, type: 'streams', streams: ++looks < 3 ? [] : [{ labels: {}, entries: [['1', mark]] }] }))
  })
  expect(await lastLineArrives({ ...t.options(), proxmox }, 'all', 'blue')).toBe(true)
  expect(asked).toHaveLength(3)
  expect(asked[0]).toBe(`logs {host="home-all-blue"} |= "${mark}" 60 1`)
})

it('a guest that can not write one is not waited for', async () => {
  expect(await lastLineArrives({ ...t.options(), proxmox: answering(() => said('', 127)) }, 'all', 'blue')).toBe(true)
})
