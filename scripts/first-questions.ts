/** The questions of `golden init`, each of which has one answer go into what is given. */
import { vmidNames, addressNames } from '../settings/first/answers.ts'
import { vlansOn } from '../settings/first/place.ts'
import type { Given, Known, Proposal, Question } from '../settings/first/propose.ts'
import {
  oses,
  problemWith,
  readAddress,
  readLan,
  readName,
  readNetworks,
  readProxy,
  readPublicHost,
  readUser,
  readVlan,
  readVmid,
} from '../settings/first/words.ts'
import type { Choice, Prompts } from './prompts.ts'

export interface Asking {
  readonly prompts: Prompts
  readonly given: Given
  readonly known: Known
  readonly proposal: Proposal
  say(text: string): void
}

/** What may be changed once all of it is proposed. */
export type Change = Question | 'node' | 'vlan' | 'admin' | 'addresses' | 'vmids' | 'base' | 'name' | 'user'

export async function askFor(change: Change, asking: Asking): Promise<void> {
  await questions[change](asking)
}

/** Where it is open which node: the one that answers is first. */
export async function askNode({
  prompts,
  given,
  known,
}: Pick<Asking, 'prompts' | 'given'> & { known: Pick<Known, 'host'> }): Promise<void> {
  const { nodes, here } = known.host
  const online = nodes.filter(({ status }) => status === 'online').map(({ node }) => node)
  given.node = await prompts.choose('Node of the VMs', online.map(named), given.node ?? here)
}

const named = (value: string): Choice<string> => ({ value, name: value })

const questions: Readonly<Record<Change, (asking: Asking) => Promise<void>>> = {
  async node(asking) {
    await askNode(asking)
    forgetPlace(asking.given)
  },
  async disks({ prompts, given, proposal: { storages, answers }, say }) {
    if (storages.unfit.length > 0)
      say(`Not for disks of VMs:\n${storages.unfit.map(({ storage, why }) => `  ${storage}: ${why}`).join('\n')}`)
    const list = storages.fit.map(({ storage, about }) => ({ value: storage, name: `${storage} (${about})` }))
    given.disks = await prompts.choose("Storage of the VMs' disks", list, answers?.disks)
  },
  async bridge({ prompts, given, proposal: { bridges, bridge } }) {
    const list = bridges.map(({ name, about }) => ({ value: name, name: `${name} (${about})` }))
    given.bridge = await prompts.choose('Bridge of the VMs', list, bridge.name)
    delete given.vlan
    forgetNetwork(given)
  },
  async vlan({ prompts, given, known, proposal: { bridge }, say }) {
    const there = vlansOn(bridge.name, known.node.interfaces)
    if (there.length > 0) say(`The node is in these VLANs of ${bridge.name}: ${there.join(', ')}`)
    given.vlan = readVlan(
      await prompts.text(`VLAN of the VMs on ${bridge.name} (1 to 4094, or none)`, {
        usual: String(given.vlan ?? 'none'),
        check: by(readVlan),
      }),
    )
    forgetNetwork(given)
  },
  async network({ prompts, given, proposal: { lan } }) {
    const usual = lan === undefined ? undefined : [lan.subnet, lan.gateway, ...lan.nameservers].join(' ')
    const answer = await prompts.text('Network of the VMs: SUBNET GATEWAY NAMESERVER …', {
      ...(usual === undefined ? {} : { usual }),
      check: by(readLan),
    })
    forgetNetwork(given)
    Object.assign(given, readLan(answer))
  },
  async way({ prompts, given, proposal: { lan } }) {
    given.socksProxy = readProxy(
      await prompts.text(`This computer is not in ${lan?.subnet ?? 'that network'}. SOCKS5 proxy that leads there (HOST:PORT, or none)`, {
        usual: proxyText(given),
        check: by(readProxy),
      }),
    )
  },
  async vms({ prompts, given }) {
    const list = [
      { value: false, name: 'two VMs: Serena, and one for logs' },
      { value: true, name: 'one VM for both' },
    ]
    given.oneVm = await prompts.choose('Serena and her logs', list, given.oneVm ?? false)
  },
  async publicHost({ prompts, given, proposal: { answers } }) {
    const usual =
      answers === undefined ? {} : { usual: `${answers.publicHost}${answers.httpsPort === undefined ? '' : `:${answers.httpsPort}`}` }
    given.publicHost = readPublicHost(
      await prompts.text("Name (or address) that people's clients call, with :PORT if it is not 443", {
        ...usual,
        check: by(readPublicHost),
      }),
    )
  },
  async admin({ prompts, given, proposal: { answers } }) {
    const usual = answers === undefined ? {} : { usual: answers.admin.join(' ') }
    given.admin = readNetworks(
      await prompts.text("Networks that may use SSH, Grafana and the VMs' own addresses", { ...usual, check: by(readNetworks) }),
    )
  },
  async addresses({ prompts, given, proposal: { answers } }) {
    const usual = answers?.addresses[0]
    given.addressesFrom = await prompts.text(
      `First of ${addressNames(given.oneVm ?? false).length} addresses (those that are somebody's are passed over)`,
      { ...(usual === undefined ? {} : { usual }), check: by(readAddress) },
    )
  },
  async vmids({ prompts, given, proposal: { answers } }) {
    const usual = answers?.vmids[0]
    given.vmidsFrom = readVmid(
      await prompts.text(`First of ${vmidNames(given.oneVm ?? false).length} VMIDs (those that are taken are passed over)`, {
        ...(usual === undefined ? {} : { usual: String(usual) }),
        check: by(readVmid),
      }),
    )
  },
  async base({ prompts, given, proposal: { answers } }) {
    given.os = await prompts.choose(
      'Base image',
      oses.map((value) => ({ value, name: value })),
      answers?.os,
    )
  },
  async name({ prompts, given, proposal: { answers } }) {
    given.name = await prompts.text('Name of the site, in the names of its VMs', { usual: answers?.name ?? 'home', check: by(readName) })
  },
  async user({ prompts, given, proposal: { answers } }) {
    given.user = await prompts.text('Who may connect (more can be added in site.ts)', { usual: answers?.user ?? 'me', check: by(readUser) })
  },
}

const by =
  (read: (text: string) => unknown) =>
  (text: string): string | undefined =>
    problemWith(read, text)

const proxyText = ({ socksProxy }: Given): string => (socksProxy ? `${socksProxy.host}:${socksProxy.port}` : 'none')

/** On another node there are other storages and bridges. */
function forgetPlace(given: Given): void {
  delete given.disks
  delete given.bridge
  delete given.vlan
  forgetNetwork(given)
}

function forgetNetwork(given: Given): void {
  delete given.subnet
  delete given.gateway
  delete given.nameservers
  delete given.addressesFrom
}

/** @returns what is to be changed; undefined: it is right as it is. @param mayWrite whether that can be said */
export function askReview({ prompts, given, known, proposal }: Asking, file: string, mayWrite: boolean): Promise<Change | undefined> {
  const { storages, bridges, bridge, wayUnclear } = proposal
  const changes: (Choice<Change | undefined> | undefined)[] = [
    mayWrite ? { value: undefined, name: `Yes: write ${file}` } : undefined,
    known.host.nodes.length > 1 ? { value: 'node', name: 'Change the node' } : undefined,
    storages.fit.length > 1 ? { value: 'disks', name: 'Change the storage' } : undefined,
    bridges.length > 1 ? { value: 'bridge', name: 'Change the bridge' } : undefined,
    bridge.vlans || given.vlan !== undefined ? { value: 'vlan', name: 'Change the VLAN' } : undefined,
    { value: 'network', name: 'Change the network, its gateway or name servers' },
    wayUnclear || given.socksProxy !== undefined ? { value: 'way', name: 'Change the way to the VMs' } : undefined,
    { value: 'admin', name: 'Change the networks of administrators' },
    { value: 'vms', name: 'Change the number of VMs' },
    { value: 'addresses', name: 'Change the addresses' },
    { value: 'vmids', name: 'Change the VMIDs' },
    { value: 'base', name: 'Change the base image' },
    { value: 'publicHost', name: 'Change what clients call' },
    { value: 'user', name: 'Change the user' },
    { value: 'name', name: 'Change the name of the site' },
  ]
  return prompts.choose(
    'Is it right?',
    changes.filter((one) => one !== undefined),
  )
}
