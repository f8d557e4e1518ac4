/**
 * The lab: a Proxmox-VE-compatible API over local guests, with a LAN of its own. See README.md.
 * It knows nothing of the product that is tested with it.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { hashPassword, hashSecret } from './api/authenticate.ts'
import { renewCertificate, serverCertificate } from './api/certificate.ts'
import type { Context } from './api/context.ts'
import { createFaults, type Faults } from './api/faults.ts'
import { createListing } from './api/listing.ts'
import { createLocks } from './api/locks.ts'
import { joinPool } from './api/pools.ts'
import { startApiServer } from './api/server.ts'
import { dropUnfinishedUploads } from './api/storage/upload.ts'
import { prepareFolders } from './api/storage/storages.ts'
import { imageVolumes, takeBack } from './api/storage/volumes.ts'
import { createTasks } from './api/tasks.ts'
import { applyFirewall } from './api/vm/firewall-state.ts'
import { routerPorts, type ComputeDriver, type LabNetwork } from './compute/driver.ts'
import type { GuestContents } from './compute/fake/programs.ts'
import { startControl } from './entrance/control.ts'
import { startRouterPort } from './entrance/router-port.ts'
import { startSocksProxy } from './entrance/socks.ts'
import { LabFailure } from './failure.ts'
import { createRecorder, recordTo, type Recorded, type Recorder } from './record.ts'
import { claimFolder, connectionFileOf, controlSocketOf, type Claim } from './state/claim.ts'
import { openDocument, writeAtomically } from './state/document.ts'
import { openState, type State } from './state/state.ts'

export interface LabOptions {
  /** Everything the lab keeps is in here; `connection.json` too. Short enough for a Unix socket in it. */
  readonly stateDir: string
  readonly driver: 'fake' | 'qemu'
  /** Port of the API on 127.0.0.1; 0 or nothing: the one it had last time if free, else any. */
  readonly port?: number
  /** On the folder, when the caller has it already; the lab gives it back. @default the lab takes it itself */
  readonly claim?: Claim
  /** Adds what `replay.mjs` asks for, and `replay` to the connection. */
  readonly forReplay?: boolean
  /** @default 10.77.0.0/24 */
  readonly subnet?: string
  /** Vnets of SDN that there are besides the bridge, and their zones: for permissions; every card is in the one LAN. */
  readonly vnets?: Readonly<Record<string, string>>
  readonly log?: (line: string) => void
  /** Starts a container registry in the LAN once the network is up. */
  readonly startRegistry?: (lab: { readonly driver: ComputeDriver; readonly stateDir: string }) => Promise<Registry>
  /** For `fake`: what runs in the guests besides the modelled Debian. @default nothing */
  readonly contents?: GuestContents
  /** Instead of one of the two drivers: for tests of the lab itself. */
  readonly createDriver?: (options: {
    stateDir: string
    subnet: string
    log: (line: string) => void
    recorder?: Recorder
  }) => Promise<ComputeDriver>
  /** Gets what guests are asked and answer, or the file that it is noted in; see record.ts. @default nobody */
  readonly record?: string | ((recorded: Recorded) => unknown)
  /** How long a failed authentication waits. @default 3000, as PVE */
  readonly authDelayMs?: number
  /** How long a request waits for a VM that another one changes. @default 10000, as PVE */
  readonly lockTimeoutMs?: number
  /** Which Proxmox VE the API says that it is; before 9 it has the privileges of those days. @default '9.1.1' */
  readonly version?: string
  /** How far lists of VMs are behind with names and statuses; 8 to 10 s on PVE. @default 0 */
  readonly listingLagMs?: number
}

export interface Registry {
  readonly host: string
  readonly caFile: string
  close(): Promise<void>
}

interface Endpoint {
  readonly host: string
  readonly port: number
}

export interface LabConnection {
  readonly schema: 1
  readonly driver: 'fake' | 'qemu'
  readonly apiUrl: string
  readonly caFile: string
  readonly node: string
  readonly bridge: string
  readonly storages: { readonly disks: string; readonly iso: string }
  readonly rootToken: string
  readonly admin: { readonly username: string; readonly password: string }
  readonly controlSocket: string
  readonly socksProxy: { readonly host: string; readonly port: number }
  readonly network: { readonly subnet: string; readonly gateway: string; readonly nameserver: string }
  /** Ports of this computer for the router's 443 and 80, and for those of a second site. */
  readonly router: Readonly<Record<'https' | 'http', Endpoint>> & { readonly second: Readonly<Record<'https' | 'http', Endpoint>> }
  readonly registry?: { readonly host: string; readonly caFile: string }
  readonly replay?: {
    readonly PVE_ROOT_TOKEN: string
    readonly PVE_CI_TOKEN: string
    readonly PVE_TICKET_USER: string
    readonly PVE_TICKET_PASSWORD: string
  }
}

export interface Lab {
  readonly connection: LabConnection
  /** Where the connection is written. */
  readonly connectionFile: string
  readonly network: LabNetwork
  readonly driver: ComputeDriver
  /** Faults to order. */
  readonly faults: Faults
  /** The file that a VM's first serial port is appended to; may not exist yet. */
  serialLog(vmid: number): string
  /** Ends a VM as a power cut would. */
  kill(vmid: number): Promise<void>
  /** The API presents another certificate of the same CA from now on, as a node does after pveupdate. */
  renewCertificate(): Promise<void>
  /** Resolves when somebody asks for the end through the control socket. */
  readonly stopRequested: Promise<void>
  /** Ends all of it; the state stays. May be called twice. */
  close(): Promise<void>
}

const node = 'pve'
const bridge = 'vmbr0'

/** Secrets that callers get back in `connection.json`; the access document has only hashes of them. */
interface Secrets {
  rootToken: string
  adminPassword: string
  ciToken?: string
  /** Of the API, the last time; those of the others; and a folder that is left if the lab is killed. */
  port?: number
  socksPort?: number
  httpsPort?: number
  httpPort?: number
  secondHttpsPort?: number
  secondHttpPort?: number
  runFolder?: string
}

function prepareAccess(state: State, secrets: Secrets, forReplay: boolean): void {
  const { users, acls } = state.access.value
  users['root@pam'] ??= { enable: true, expire: 0, groups: [], tokens: {} }
  users['root@pam'].tokens.lab = { secretHash: hashSecret(secrets.rootToken), expire: 0, privsep: false, comment: 'made by the lab' }
  users['admin@pve'] ??= { enable: true, expire: 0, groups: [], tokens: {}, passwordHash: hashPassword(secrets.adminPassword) }
  const grant = (id: string, role: string): void => {
    if (!acls.some((acl) => acl.path === '/' && acl.kind === 'user' && acl.id === id))
      acls.push({ path: '/', kind: 'user', id, role, propagate: true })
  }
  grant('admin@pve', 'Administrator')
  if (forReplay && secrets.ciToken !== undefined) {
    users['ci@pve'] ??= { enable: true, expire: 0, groups: [], tokens: {} }
    users['ci@pve'].tokens.replay = { secretHash: hashSecret(secrets.ciToken), expire: 0, privsep: false }
    grant('ci@pve', 'PVEVMUser')
  }
  state.access.save()
}

function prepareStorages(context: Context): void {
  const { storages } = context.state
  const kinds = ['images', 'iso', 'import', 'rootdir', 'vztmpl', 'snippets']
  storages.value.local ??= { type: 'dir', path: '/var/lib/vz', content: kinds }
  // As an installation of Proxmox makes it, and where disks are unless somebody says else.
  storages.value['local-lvm'] ??= { type: 'lvmthin', content: ['images', 'rootdir'], properties: { vgname: 'pve', thinpool: 'data' } }
  storages.value['local-disks'] ??= { type: 'dir', path: '/var/lib/lab-disks', content: ['images', 'rootdir'] }
  storages.save()
  for (const id of Object.keys(storages.value)) prepareFolders(context, id)
}

/** VMs that a killed lab was in the middle of making, and their disks. */
async function dropUnfinishedVms(context: Context): Promise<void> {
  for (const {
    value: { vmid, config },
  } of [...context.state.vms.values()]) {
    if (config.lock !== 'create' && config.lock !== 'clone') continue
    for (const storage of Object.keys(context.state.storages.value)) {
      for (const { volid } of await imageVolumes(context, storage, vmid)) await takeBack(context, volid)
    }
    context.state.removeVm(vmid)
    joinPool(context, undefined, vmid)
    delete context.state.vmFirewalls.value[vmid]
    context.state.vmFirewalls.save()
  }
}

/** For the machines' sockets, whose paths have to be short. */
function makeRunFolder(secrets: Secrets): string {
  // Only a name that mkdtemp gives counts: whatever the document says, nothing else is removed.
  if (secrets.runFolder !== undefined && /^lab-[A-Za-z0-9]{6}$/.test(basename(secrets.runFolder)))
    rmSync(secrets.runFolder, { recursive: true, force: true })
  return mkdtempSync(join(tmpdir(), 'lab-'))
}

async function createDriver(options: LabOptions, frame: Frame, recorder: Recorder | undefined): Promise<ComputeDriver> {
  const { stateDir, log } = frame
  const given = { stateDir, subnet: options.subnet ?? '10.77.0.0/24', log, ...(recorder && { recorder }) }
  if (options.createDriver !== undefined) return options.createDriver(given)
  if (options.driver === 'fake')
    return (await import('./compute/fake/driver.ts')).createFakeDriver({
      ...given,
      ...(options.contents && { contents: options.contents }),
    })
  const { createQemuDriver } = await import('./compute/qemu/driver.ts')
  return createQemuDriver(given).catch((error: unknown) => {
    throw new LabFailure(
      'guests',
      `real guests can't be run here: ${error instanceof Error ? error.message : String(error)}`,
      'They need root and the packages of lab/debian/packages.ts; --driver fake needs neither.',
      { cause: error },
    )
  })
}

/**
 * Starts a lab, or starts it again with everything that it had; VMs are stopped then.
 * @throws LabFailure when the folder, the port or the computer can't be used
 */
export async function startLab(options: LabOptions): Promise<Lab> {
  const log = options.log ?? (() => undefined)
  const stateDir = resolve(options.stateDir)
  const claim = options.claim ?? (await claimFolder(stateDir))
  const connectionFile = connectionFileOf(stateDir)
  const endings: (() => Promise<unknown>)[] = [() => claim.release()]
  const end = async (): Promise<void> => {
    const errors: unknown[] = []
    for (const ending of endings.splice(0).reverse()) await ending().catch((error: unknown) => errors.push(error))
    if (errors.length > 0) throw new AggregateError(errors, 'the lab did not end cleanly')
  }
  try {
    return await start(options, { stateDir, connectionFile, log, endings, end })
  } catch (error) {
    await end().catch((second: unknown) => log(String(second)))
    throw error
  }
}

interface Frame {
  readonly stateDir: string
  readonly connectionFile: string
  readonly endings: (() => Promise<unknown>)[]
  log(line: string): void
  end(): Promise<void>
}

async function start(options: LabOptions, frame: Frame): Promise<Lab> {
  const { stateDir, connectionFile, log, endings } = frame
  const state = openState(stateDir)
  const secrets = openDocument<Secrets>(join(stateDir, 'secrets.json'), {
    rootToken: randomUUID(),
    adminPassword: randomBytes(18).toString('base64url'),
  })
  if (options.forReplay) secrets.value.ciToken ??= randomUUID()
  secrets.save()
  prepareAccess(state, secrets.value, options.forReplay ?? false)
  const runFolder = makeRunFolder(secrets.value)
  endings.push(async () => rmSync(runFolder, { recursive: true, force: true }))
  secrets.value.runFolder = runFolder
  secrets.save()

  const { record } = options
  const recorder = record === undefined ? undefined : createRecorder(typeof record === 'string' ? recordTo(record) : record)
  endings.push(async () => recorder?.close())
  const driver = await createDriver(options, frame, recorder)
  endings.push(() => driver.close())
  const faults = createFaults()
  const gate = async (type: string, id: string, signal: AbortSignal): Promise<void> => {
    const fault = faults.forTask(type, id)
    await fault?.wait(signal)
    if (fault?.reason !== undefined) throw new Error(fault.reason)
  }
  const context: Context = {
    node,
    bridge,
    vnets: options.vnets ?? {},
    state,
    driver,
    faults,
    log,
    runFolder,
    tasks: createTasks(state, node, gate),
    locks: createLocks(options.lockTimeoutMs ?? 10000),
    listing: createListing(() => context, options.listingLagMs ?? 0),
    running: new Map(),
    serialFolder: join(stateDir, 'serial'),
    uploadFolder: join(stateDir, 'uploads'),
    tlsFolder: join(stateDir, 'tls'),
    version: options.version ?? '9.1.1',
    recorder,
  }
  endings.push(() => context.tasks.close())
  endings.push(async () => context.listing.close())
  prepareStorages(context)
  await dropUnfinishedUploads(context)
  await dropUnfinishedVms(context)
  await applyFirewall(context)

  const certificate = await serverCertificate(context.tlsFolder, node)
  const api = await startApi(context, certificate, options, secrets.value.port)
  endings.push(() => api.close())
  const { network } = driver
  const socks = await onLastPort(secrets.value.socksPort, (port) => startSocksProxy((host, to) => network.dial(host, to), port))
  endings.push(() => socks.close())
  const routerPort = async (routers: number, last: number | undefined): Promise<Endpoint> => {
    const listener = await onLastPort(last, (port) => startRouterPort(() => network.dialRouter(routers), port))
    endings.push(() => listener.close())
    return { host: listener.host, port: listener.port }
  }
  const { httpsPort, httpPort, secondHttpsPort, secondHttpPort } = secrets.value
  const router = {
    https: await routerPort(routerPorts.target.https, httpsPort),
    http: await routerPort(routerPorts.target.http, httpPort),
    second: {
      https: await routerPort(routerPorts.second.https, secondHttpsPort),
      http: await routerPort(routerPorts.second.http, secondHttpPort),
    },
  }
  Object.assign(secrets.value, {
    port: api.port,
    socksPort: socks.port,
    httpsPort: router.https.port,
    httpPort: router.http.port,
    secondHttpsPort: router.second.https.port,
    secondHttpPort: router.second.http.port,
  })
  secrets.save()
  const { promise: stopRequested, resolve: requestStop } = Promise.withResolvers<void>()
  const serialLog = (vmid: number): string => join(context.serialFolder, `${vmid}.log`)
  const kill = async (vmid: number): Promise<void> => {
    const running = context.running.get(vmid)
    if (running === undefined) throw new Error(`VM ${vmid} is not running`)
    await running.machine.stop()
  }
  const renew = async (): Promise<void> => api.present(await renewCertificate(context.tlsFolder, node))
  const controlSocket = controlSocketOf(stateDir)
  const control = await startControl({ socket: controlSocket, network, faults, serialLog, kill, stop: requestStop })
  // Closed last (endings run backwards), after the claim: whoever waits for the socket to go knows that nothing is
  // left then, and may start the next lab.
  endings.unshift(() => control.close())
  const registry = await options.startRegistry?.({ driver, stateDir })
  if (registry !== undefined) endings.push(() => registry.close())

  const connection: LabConnection = {
    schema: 1,
    driver: options.driver,
    apiUrl: `https://127.0.0.1:${api.port}`,
    caFile: certificate.caFile,
    node,
    bridge,
    storages: { disks: 'local-lvm', iso: 'local' },
    rootToken: `root@pam!lab=${secrets.value.rootToken}`,
    admin: { username: 'admin@pve', password: secrets.value.adminPassword },
    controlSocket,
    socksProxy: { host: socks.host, port: socks.port },
    network: { subnet: network.subnet, gateway: network.gateway, nameserver: network.nameserver },
    router,
    ...(registry === undefined ? {} : { registry: { host: registry.host, caFile: registry.caFile } }),
    ...(options.forReplay
      ? {
          replay: {
            PVE_ROOT_TOKEN: `root@pam!lab=${secrets.value.rootToken}`,
            PVE_CI_TOKEN: `ci@pve!replay=${secrets.value.ciToken}`,
            PVE_TICKET_USER: 'admin@pve',
            PVE_TICKET_PASSWORD: secrets.value.adminPassword,
          },
        }
      : {}),
  }
  writeAtomically(connectionFile, `${JSON.stringify(connection, null, 2)}\n`)
  endings.push(async () => rmSync(connectionFile, { force: true }))
  let ending: Promise<void> | undefined
  return {
    connection,
    connectionFile,
    network,
    driver,
    faults,
    serialLog,
    kill,
    renewCertificate: renew,
    stopRequested,
    close: () => (ending ??= frame.end()),
  }
}

/** On the port it is told; else on the last one. */
async function startApi(context: Context, certificate: { key: string; cert: string }, options: LabOptions, last: number | undefined) {
  const at = (port: number) => startApiServer(context, { ...certificate, port, authDelayMs: options.authDelayMs ?? 3000 })
  const { port } = options
  if (port === undefined || port === 0) return onLastPort(last, at)
  return at(port).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EADDRINUSE' && error.code !== 'EACCES') throw error
    const why = error.code === 'EACCES' ? 'only root may listen there' : 'something else listens there'
    throw new LabFailure(
      'port',
      `the API can't have port ${port} of 127.0.0.1: ${why}`,
      'Choose another one with --port; without it a free one is taken.',
      { cause: error },
    )
  })
}

/** Sites have these ports written down, so they stay the same from start to start; one that is taken is replaced by any. */
async function onLastPort<T>(last: number | undefined, start: (port: number) => Promise<T>): Promise<T> {
  return start(last ?? 0).catch((error: NodeJS.ErrnoException) => {
    if (last !== undefined && error.code === 'EADDRINUSE') return start(0)
    throw error
  })
}
