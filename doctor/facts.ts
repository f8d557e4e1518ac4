/** What the checks look at, each read once, when the first of them wants it. */
import type { AddressesOf, HostAddresses } from '../core/host-addresses.ts'
import type { WhoHas } from '../core/neighbours.ts'
import { withLockedBase } from '../images/base-image.ts'
import { listImages, type Sorted } from '../images/catalog.ts'
import { findLock } from '../images/lock.ts'
import { ownPermissions, type Permissions } from '../proxmox/access.ts'
import type { Proxmox } from '../proxmox/client.ts'
import { presentedBy, type Presented } from '../proxmox/handshake.ts'
import { looking } from '../proxmox/looking.ts'
import { listNodes, releaseOf, type NodeEntry } from '../proxmox/nodes.ts'
import { lookAtStorage, type StorageSeen, type StorageSetting } from '../proxmox/place.ts'
import type { Release } from '../proxmox/version.ts'
import type { Deployment } from '../releases/deployment.ts'
import { readPins } from '../releases/pins.ts'
import type { GroupLook } from '../rollout/status.ts'
import { connectSite } from '../settings/connect.ts'
import { loadSite, siteFolder } from '../settings/load.ts'
import { placeOf, type Site } from '../settings/site.ts'
import type { ProgramSeen } from '../tools/index.ts'
import type { AskOutside, OutsideView } from './ask-outside.ts'

/** What the doctor gets at the world through. */
export interface Around {
  readonly env: NodeJS.ProcessEnv
  /** Ends whatever is still under way. */
  readonly signal: AbortSignal
  /** This computer's clock. */
  readonly now: () => Date
  readonly whoHas: WhoHas
  readonly addressesOf: AddressesOf
  readonly askOutside: AskOutside
  readonly programs: (engine: Site['engine'], signal: AbortSignal) => Promise<ProgramSeen[]>
  /** The helper's address, where it is given for this one run. @default public.lookFromOutside of the site */
  readonly outside?: string | undefined
  /** Where somebody has read the site and connected already. @default what the environment names */
  readonly opened?: { readonly site: Site; readonly folder: string; readonly proxmox: Proxmox } | undefined
}

export interface OpenedSite {
  readonly site: Site
  /** Absolute path of the site folder. */
  readonly folder: string
}

export interface Facts extends Pick<Around, 'env' | 'signal' | 'now' | 'whoHas' | 'programs'> {
  site(): Promise<OpenedSite>
  deployment(): Promise<Deployment>
  /** Of the site and of what is deployed. */
  groups(): Promise<string[]>
  /** What the host shows before anything is said. */
  presented(): Promise<Presented>
  /** With the site's token; it changes nothing, and asks nothing twice. */
  proxmox(): Promise<Proxmox>
  nodes(): Promise<NodeEntry[]>
  /** Of what answers the API. */
  release(): Promise<Release | undefined>
  permissions(): Promise<Permissions>
  storage(setting: StorageSetting): Promise<StorageSeen>
  images(): Promise<Sorted>
  group(name: string): Promise<GroupLook>
  /** Of public.host. */
  names(): Promise<HostAddresses>
  /** Undefined: there is no helper. */
  fromOutside(): Promise<OutsideView | undefined>
  close(): Promise<void>
}

/** Looks of the doctor's are many and small. */
const connections = 8
/** An API that has just answered and goes away is not waited for longer than the lines are. */
const waitMs = 1000

export function factsOf(around: Around): Facts {
  const { env, signal, opened } = around
  const site = once(async (): Promise<OpenedSite> => {
    if (opened !== undefined) return opened
    const folder = siteFolder(env)
    const found = await loadSite(folder)
    // A lock that can't be read has a line of its own.
    return { folder, site: withLockedBase(found, await findLock(folder).catch(() => undefined)) }
  })
  const connected = once(async (): Promise<Proxmox> => {
    if (opened !== undefined) return opened.proxmox
    const { site: found, folder } = await site()
    return (await connectSite(found, folder, env, { signal, connections, waitMs })).proxmox
  })
  const proxmox = once(async () => looking(await connected()))
  const deployment = once(async () => readPins((await site()).folder))
  const storages = new Map<StorageSetting, Promise<StorageSeen>>()
  const looks = new Map<string, Promise<GroupLook>>()
  return {
    ...around,
    site,
    deployment,
    groups: async () => [...new Set([...Object.keys((await site()).site.groups), ...Object.keys((await deployment()).groups)])],
    presented: once(async () => presentedBy((await site()).site.proxmox.url, signal)),
    proxmox,
    nodes: async () => listNodes(await proxmox()),
    release: async () => releaseOf(await proxmox()),
    permissions: async () => ownPermissions(await proxmox()),
    storage: (setting) => kept(storages, setting, async () => lookAtStorage(await proxmox(), placeOf((await site()).site), setting)),
    images: once(async () => listImages(await proxmox(), (await site()).site)),
    group: (name) =>
      kept(looks, name, async () => {
        // Only now: verbs that look at a part of all this first have no use for it.
        const { lookAtGroup } = await import('../rollout/status.ts')
        return lookAtGroup((await site()).site, await proxmox(), name, (await deployment()).groups[name])
      }),
    names: once(async () => around.addressesOf((await site()).site.public.host)),
    fromOutside: once(async () => {
      const { host, httpsPort, lookFromOutside } = (await site()).site.public
      const helper = around.outside ?? lookFromOutside
      return helper === undefined ? undefined : around.askOutside({ helper, host, port: httpsPort, env, signal })
    }),
    async close() {
      if (opened === undefined)
        await connected().then(
          (open) => open.close(),
          () => {},
        )
    },
  }
}

function once<T>(read: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | undefined
  return () => (answer ??= handled(read()))
}

function kept<K, T>(answers: Map<K, Promise<T>>, key: K, read: () => Promise<T>): Promise<T> {
  const known = answers.get(key) ?? handled(read())
  answers.set(key, known)
  return known
}

/** Whoever has given up waiting leaves a rejection that is nobody's. */
function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}
