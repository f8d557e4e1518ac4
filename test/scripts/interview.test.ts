/** The way from questions to a site: on a cluster of two nodes, in a LAN that answers. */
import { expect, it } from 'vitest'
import type { Proxmox } from '../../proxmox/client.ts'
import { ProxmoxError } from '../../proxmox/error.ts'
import type { Given } from '../../settings/first/propose.ts'
import { Interview } from '../../scripts/interview.ts'
import type { Prompts } from '../../scripts/prompts.ts'
import { recorder } from '../recorder.ts'

const denied = new ProxmoxError('permission-denied', 'Permission check failed', '', { status: 403, method: 'GET', path: '' })

const bridge = (subnet: string, more: object = {}) => ({
  iface: 'vmbr0',
  type: 'bridge',
  address: `${subnet}.5`,
  cidr: `${subnet}.5/24`,
  gateway: `${subnet}.1`,
  ...more,
})
const thin = { storage: 'thin', type: 'lvmthin', content: 'images', active: 1, enabled: 1, avail: 2 ** 40 }
const answers: Readonly<Record<string, unknown>> = {
  '/nodes/one/storage': [thin],
  '/nodes/one/network': [bridge('10.1.0', { bridge_vlan_aware: 1 })],
  '/nodes/one/dns': { dns1: '10.1.0.1' },
  '/nodes/two/storage': [thin, { ...thin, storage: 'tank', type: 'zfspool' }],
  '/nodes/two/network': [bridge('10.2.0'), { iface: 'vmbr1', type: 'bridge' }],
  '/nodes/two/dns': {},
}

interface Held {
  readonly site: {
    readonly proxmox: object
    readonly network: object
    readonly groups: Readonly<Record<string, { readonly service: string }>>
  }
  readonly questions: readonly string[]
  /** What the LAN was asked for, each time. */
  readonly asked: readonly (readonly string[])[]
  readonly said: string
}

/** @param script what is answered: the first that fits a question, each once */
async function hold(script: readonly (readonly [RegExp, unknown])[], given: Given, there: readonly string[] = []): Promise<Held> {
  const left = [...script]
  const questions: string[] = []
  const reply = (question: string, usual: unknown): unknown => {
    questions.push(question)
    const index = left.findIndex(([pattern]) => pattern.test(question))
    return index < 0 ? usual : left.splice(index, 1)[0]?.[1]
  }
  const prompts: Prompts = {
    text: async (question, { usual, check }) => {
      const answer = String(reply(question, usual))
      expect(check?.(answer), `${question} ${answer}`).toBeUndefined()
      return answer
    },
    secret: async (question) => String(reply(question, '')),
    choose: async (question, choices, usual) => {
      const value = reply(question, usual ?? choices[0]?.value)
      const found = choices.find((choice) => choice.value === value)
      if (found === undefined) throw new Error(`${question} has no ${String(value)}`)
      return found.value
    },
  }
  const asked: string[][] = []
  const record = recorder()
  const get = async (path: string): Promise<unknown> => {
    const answer = answers[path]
    if (answer === undefined) throw denied
    return answer
  }
  const nodes = [
    { node: 'one', status: 'online' },
    { node: 'two', status: 'online' },
    { node: 'off', status: 'offline' },
  ]
  const { site } = await new Interview({
    context: { progress: record.progress, signal: new AbortController().signal },
    tools: {
      prompts,
      lan: {
        own: () => ['10.1.0.9/24', '10.2.0.9/24'],
        ask: async (addresses) => {
          asked.push([...addresses])
          return new Set(addresses.filter((address) => there.includes(address)))
        },
      },
    },
    admin: { get } as unknown as Proxmox,
    folder: '/nowhere',
    given,
    settings: [],
    url: 'https://10.1.0.5:8006',
    from: '10.1.0.9',
    host: { nodes, here: 'two', guests: [], tokens: [] },
  }).hold()
  expect(left).toEqual([])
  return { site, questions, asked, said: record.shown.join('\n') }
}

it('only where there is a choice is anything asked: node, storage, bridge, VMs, what clients call; and whether all of it is right', async () => {
  const { site, questions } = await hold([], {})
  expect(questions.map((question) => question.split(/[ (]/)[0])).toEqual(['Node', 'Storage', 'Bridge', 'Serena', 'Name', 'Is'])
  // The node that answers.
  expect(site.proxmox).toMatchObject({ node: 'two' })
  expect((await hold([], { node: 'one', oneVm: true, publicHost: { host: 'a.example', port: undefined } })).questions).toEqual([
    'Is it right?',
  ])
})

it('an address that somebody in the LAN answers for is not proposed, and none is asked for twice', async () => {
  const { site, asked, questions } = await hold([], { node: 'one', oneVm: true }, ['10.1.0.225', '10.1.0.229'])
  expect(site.groups.serena?.service).toBe('10.1.0.231')
  expect(asked.flat()).toEqual([...new Set(asked.flat())])
  expect(asked).toHaveLength(3)
  // What clients call is the address that is left in the end.
  expect(questions).toHaveLength(2)
})

it('another node has its own storages, bridges and network, and they are asked for anew', async () => {
  const { site, questions } = await hold(
    [
      [/^Node/, 'one'],
      [/Is it right/, 'node'],
      [/^Node/, 'two'],
      [/^Storage/, 'tank'],
    ],
    { oneVm: true },
  )
  expect(site).toMatchObject({
    proxmox: { node: 'two', storage: { disks: 'tank' } },
    network: { subnet: '10.2.0.0/24', gateway: '10.2.0.1' },
  })
  expect(questions.filter((question) => /^Bridge/.test(question))).toHaveLength(1)
})

it('a VLAN that the node has no address in has its network asked for', async () => {
  const { site, questions } = await hold(
    [
      [/Is it right/, 'vlan'],
      [/^VLAN/, '30'],
      [/^Network of the VMs/, '10.30.0.0/24 10.30.0.1 9.9.9.9'],
    ],
    { node: 'one', oneVm: true },
  )
  expect(site).toMatchObject({ proxmox: { vlan: 30 }, network: { subnet: '10.30.0.0/24', gateway: '10.30.0.1', nameservers: ['9.9.9.9'] } })
  // The host is not in that network, nor is this computer: the way there is nobody's to know.
  expect(questions.some((question) => /SOCKS5/.test(question))).toBe(true)
})

it('a network with too few addresses is asked for again, with what it takes', async () => {
  const { site, said } = await hold(
    [
      [/Is it right/, 'network'],
      [/^Network of the VMs/, '10.1.0.0/29 10.1.0.1'],
      [/^Network of the VMs/, '10.1.0.0/28 10.1.0.1'],
    ],
    { node: 'one', oneVm: false },
  )
  expect(site.network).toMatchObject({ subnet: '10.1.0.0/28' })
  expect(said).toMatch(/10\.1\.0\.0\/29 has 4 free addresses, and this site takes 7/)
})

it('what makes no site can not be said yes to, and why is told', async () => {
  const { said, site } = await hold(
    [
      [/Is it right/, 'publicHost'],
      [/clients call/, '10.1.0.226'],
      [/clients call/, '1.2.3'],
      [/Is it right/, 'publicHost'],
      [/clients call/, 'a.example'],
    ],
    { node: 'one', oneVm: true },
  )
  expect(said).toMatch(/public\.host: must be a host name or an IPv4 address/)
  expect(site).toMatchObject({ public: { host: 'a.example' } })
})
