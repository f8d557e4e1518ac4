/** What a new site is made of, and the site that it makes. Pure. */
import type { Transport } from '../names.ts'
import { secretsFolder } from '../secrets/places.ts'
import type { SiteInput } from '../site.ts'
import { dotted } from './free.ts'
import { isPrivate, overlap, parseNetwork } from '../address.ts'
import { defaultContainers } from '../containers.ts'

export type Os = SiteInput['image']['base']['os']

export interface Answers {
  readonly name: string
  readonly url: string
  readonly node: string
  readonly disks: string
  readonly bridge: string
  readonly vlan: number | undefined
  readonly socksProxy: { readonly host: string; readonly port: number } | undefined
  readonly tokenId: string | undefined
  readonly templates: { readonly first: number; readonly last: number }
  readonly subnet: string
  readonly gateway: string
  readonly nameservers: readonly string[]
  /** Networks of administrators. */
  readonly admin: readonly string[]
  readonly publicHost: string
  readonly httpsPort: number | undefined
  readonly os: Os
  readonly transports: readonly Transport[] | undefined
  readonly user: string
  readonly oneVm: boolean
  /** As many as `addressesOf` wants, in its order. */
  readonly addresses: readonly string[]
  /** As many as `vmidsOf` wants, in its order. */
  readonly vmids: readonly number[]
}

/** What the addresses of a site are for, in their order. */
export const addressNames = (oneVm: boolean): readonly string[] => [
  'baking',
  ...(oneVm ? ['service'] : ['Serena']),
  'blue',
  'green',
  ...(oneVm ? [] : ['logging', 'blue', 'green']),
]

/** The same of its VMIDs. */
export const vmidNames = (oneVm: boolean): readonly string[] => {
  const group = ['depot', 'blue', 'green']
  return oneVm ? group : [...group, ...group]
}

/** The group that Serena is in, whatever else is in it. */
const serena = 'serena'
/** Loki and Grafana by themselves, and beside Serena. */
const [loggingMiB, bothMiB] = [2048, 6144]

export function siteOf(answers: Answers): SiteInput {
  const { oneVm, addresses, vmids } = answers
  const [build, ...others] = addresses
  const group = (index: number) => {
    const [service, blue, green] = others.slice(index * 3)
    const [depot, blueVmid, greenVmid] = vmids.slice(index * 3)
    if (service === undefined || blue === undefined || green === undefined || depot === undefined || blueVmid === undefined)
      throw new TypeError('a group needs three addresses and three VMIDs')
    if (greenVmid === undefined) throw new TypeError('a group needs three VMIDs')
    return { service, depot, slots: { blue: { vmid: blueVmid, address: blue }, green: { vmid: greenVmid, address: green } } }
  }
  if (build === undefined) throw new TypeError('there is no address for baking')
  const containers = containersBeside(answers)
  return {
    name: answers.name,
    proxmox: {
      url: answers.url,
      node: answers.node,
      ...(answers.tokenId === undefined ? {} : { tokenId: answers.tokenId }),
      storage: { disks: answers.disks },
      bridge: answers.bridge,
      ...(answers.vlan === undefined ? {} : { vlan: answers.vlan }),
      templates: answers.templates,
      ...(answers.socksProxy === undefined ? {} : { socksProxy: answers.socksProxy }),
    },
    network: {
      subnet: answers.subnet,
      gateway: answers.gateway,
      nameservers: [...answers.nameservers],
      ...(containers === undefined ? {} : { containers }),
      admin: [...answers.admin],
    },
    public: { host: answers.publicHost, ...(answers.httpsPort === undefined ? {} : { httpsPort: answers.httpsPort }) },
    image: { base: { os: answers.os }, build: { address: build } },
    serena: {
      ...(answers.transports === undefined ? {} : { transports: [...answers.transports] }),
      projects: [{ name: 'playground' }],
      users: [{ name: answers.user, password: { kind: 'file', path: `${secretsFolder}/users/${answers.user}` } }],
    },
    groups: oneVm
      ? { [serena]: { roles: ['serena', 'logging'], memoryMiB: bothMiB, ...group(0) } }
      : { [serena]: { roles: ['serena'], ...group(0) }, logging: { roles: ['logging'], memoryMiB: loggingMiB, ...group(1) } },
  }
}

/** The usual network of the containers may be people's own: then another one that nothing here is in. */
function containersBeside({ subnet, nameservers, admin }: Answers): string | undefined {
  const outside = [subnet, ...nameservers, ...admin].map(parseNetwork).filter((network) => network !== undefined)
  const isClear = (text: string): boolean => {
    const network = parseNetwork(text)
    return network !== undefined && isPrivate(network) && !outside.some((one) => overlap(one, network))
  }
  const others = Array.from({ length: 256 }, (_, index) => `${dotted(10 * 2 ** 24 + (255 - index) * 2 ** 16)}/23`)
  return [defaultContainers, '172.29.0.0/23', '172.28.0.0/23', ...others].find(isClear)
}
