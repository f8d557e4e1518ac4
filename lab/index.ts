/**
 * The lab: a Proxmox-VE-compatible API over local guests, with a LAN of its own. See README.md.
 * It knows nothing of the product that is tested with it.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { hashPassword, hashSecret } from './api/authenticate.ts'
import { serverCertificate } from './api/certificate.ts'
import type { Context } from './api/context.ts'
import { createFaults, type Faults } from './api/faults.ts'
import { createLocks } from './api/locks.ts'
import { joinPool } from './api/pools.ts'
import { startApiServer } from './api/server.ts'
import { dropUnfinishedUploads } from './api/storage/upload.ts'
import { prepareFolders } from './api/storage/storages.ts'
import { freeVolume, imageVolumes } from './api/storage/volumes.ts'
import { createTasks } from './api/tasks.ts'
import { applyFirewall } from './api/vm/firewall-state.ts'
import type { ComputeDriver, LabNetwork } from './compute/driver.ts'
import { answers, startControl } from './entrance/control.ts'
import { startRouterPort } from './entrance/router-port.ts'
import { startSocksProxy } from './entrance/socks.ts'
import { openDocument, writeAtomically } from './state/document.ts'
import { openState, type State } from './state/state.ts'

export interface LabOptions {
  /** Everything the lab keeps is in here; `connection.json` too. Short enough for a Unix socket in it. */
  readonly stateDir: string
  readonly driver: 'fake' | 'qemu'
  /** Port of the API on 127.0.0.1; 0 or nothing: the one it had last time if free, else any. */
  readonly port?: number
  /** Adds what `replay.mjs` asks for, and `replay` to the connection. */
  readonly forReplay?: boolean
  /** @default 10.77.0.0/24 */
  readonly subnet?: string
  readonly log?: (line: string) => void
  /** Starts a container registry in the LAN once the network is up. */
  readonly startRegistry?: (lab: { readonly driver: ComputeDriver; readonly stateDir: string }) => Promise<Registry>
  /** Instead of one of the two drivers: for tests of the lab itself. */
  readonly createDriver?: (options: { stateDir: string; subnet: string; log: (line: string) => void }) => Promise<ComputeDriver>
  /** How long a failed authentication waits. @default 3000, as PVE */
  readonly authDelayMs?: number
  /** How long a request waits for a VM that another one changes. @default 10000, as PVE */
  readonly lockTimeoutMs?: number
}

export interface Registry { readonly host: string; readonly caFile: string; close(): Promise<void> }

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
  readonly router: { readonly https: { readonly host: string; readonly port: number }; readonly http: { readonly host: string; readonly port: number } }
  readonly registry?: { readonly host: string; readonly caFile: string }
  readonly replay?: { readonly PVE_ROOT_TOKEN: string; readonly PVE_CI_TOKEN: string; readonly PVE_TICKET_USER: string; readonly PVE_TICKET_PASSWORD: string }
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
  /** Resolves when somebody asks for the end through the control socket. */
  readonly stopRequested: Promise<void>
  /** Ends all of it; the state stays. May be called twice. */
  close(): Promise<void>
}

const node = 'pve'
const bridge = 'vmbr0'
const controlName = 'control.sock'

/** Secrets that callers get back in `connection.json`; the access document has only hashes of them. */
interface Secrets { rootToken: string; adminPassword: string; ciToken?: string; port?: number }

function prepareAccess(state: State, secrets: Secrets, forReplay: boolean): void {
  const { users, acls } = state.access.value
  users['root@pam'] ??= { enable: true, expire: 0, groups: [], tokens: {} }
  users['root@pam'].tokens.lab = { secretHash: hashSecret(secrets.rootToken), expire: 0, privsep: false, comment: 'made by the lab' }
  users['admin@pve'] ??= { enable: true, expire: 0, groups: [], tokens: {}, passwordHash: hashPassword(secrets.adminPassword) }
  const grant = (id: string, role: string): void => {
    if (!acls.some((acl) => acl.path === '/' && acl.kind === 'user' && acl.id === id)) acls.push({ path: '/', kind: 'user', id, role, propagate: true })
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
  storages.value['local-disks'] ??= { type: 'dir', path: '/var/lib/lab-disks', content: ['images', 'rootdir'] }
  storages.save()
  for (const id of Object.keys(storages.value)) prepareFolders(context, id)
}

/** VMs that a killed lab was in the middle of making, and their disks. */
async function dropUnfinishedVms(context: Context): Promise<void> {
  for (const { value: { vmid, config } } of [...context.state.vms.values()]) {
    if (config.lock !== 'create' && config.lock !== 'clone') continue
    for (const storage of Object.keys(context.state.storages.value)) {
      for (const { volid } of await imageVolumes(context, storage, vmid)) await freeVolume(context, volid)
    }
    context.state.removeVm(vmid)
    joinPool(context, undefined, vmid)
  }
}

async function createDriver(options: LabOptions, stateDir: string, subnet: string, log: (line: string) => void): Promise<ComputeDriver> {
  const given = { stateDir, subnet, log }
  if (options.createDriver !== undefined) return options.createDriver(given)
  if (options.driver === 'fake') return (await import('./compute/fake/driver.ts')).createFakeDriver(given)
  return (await import('./compute/qemu/driver.ts')).createQemuDriver(given)
}

/** Starts a lab, or starts it again with everything that it had; VMs are stopped then. */
export async function startLab(options: LabOptions): Promise<Lab> {
  const log = options.log ?? (() => undefined)
  const stateDir = resolve(options.stateDir)
  mkdirSync(stateDir, { recursive: true, mode: 0o700 })
  if (await answers(join(stateDir, controlName))) throw new Error(`a lab is running with the state folder ${stateDir} already: stop it first, or choose another folder`)
  const connectionFile = join(stateDir, 'connection.json')
  rmSync(connectionFile, { force: true })
  const endings: (() => Promise<unknown>)[] = []
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
  const secrets = openDocument<Secrets>(join(stateDir, 'secrets.json'), { rootToken: randomUUID(), adminPassword: randomBytes(18).toString('base64url') })
  if (options.forReplay) secrets.value.ciToken ??= randomUUID()
  secrets.save()
  prepareAccess(state, secrets.value, options.forReplay ?? false)
  const runFolder = mkdtempSync(join(tmpdir(), 'lab-'))
  endings.push(async () => rmSync(runFolder, { recursive: true, force: true }))

  const driver = await createDriver(options, stateDir, options.subnet ?? '10.77.0.0/24', log)
  endings.push(() => driver.close())
  const faults = createFaults()
  const gate = async (type: string, id: string, signal: AbortSignal): Promise<void> => {
    const fault = faults.forTask(type, id)
    if (fault?.delayMs !== undefined) await sleep(fault.delayMs, undefined, { signal })
    if (fault?.reason !== undefined) throw new Error(fault.reason)
  }
  const context: Context = {
    node, bridge, state, driver, faults, log, runFolder,
    tasks: createTasks(state, node, gate),
    locks: createLocks(options.lockTimeoutMs ?? 10000),
    running: new Map(),
    serialFolder: join(stateDir, 'serial'),
    uploadFolder: join(stateDir, 'uploads'),
  }
  endings.push(() => context.tasks.close())
  prepareStorages(context)
  await dropUnfinishedUploads(context)
  await dropUnfinishedVms(context)
  await applyFirewall(context)

  const certificate = await serverCertificate(join(stateDir, 'tls'), node)
  const api = await startApi(context, certificate, options, secrets.value.port)
  endings.push(() => api.close())
  secrets.value.port = api.port
  secrets.save()
  const { network } = driver
  const socks = await startSocksProxy((host, port) => network.dial(host, port))
  endings.push(() => socks.close())
  const https = await startRouterPort(() => network.dialRouter(443))
  endings.push(() => https.close())
  const http = await startRouterPort(() => network.dialRouter(80))
  endings.push(() => http.close())
  const { promise: stopRequested, resolve: requestStop } = Promise.withResolvers<void>()
  const serialLog = (vmid: number): string => join(context.serialFolder, `${vmid}.log`)
  const kill = async (vmid: number): Promise<void> => {
    const running = context.running.get(vmid)
    if (running === undefined) throw new Error(`VM ${vmid} is not running`)
    await running.machine.stop()
  }
  const controlSocket = join(stateDir, controlName)
  const control = await startControl({ socket: controlSocket, network, faults, serialLog, kill, stop: requestStop })
  // Closed last (endings run backwards): whoever waits for the socket to go knows that nothing is left then.
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
    storages: { disks: 'local-disks', iso: 'local' },
    rootToken: `root@pam!lab=${secrets.value.rootToken}`,
    admin: { username: 'admin@pve', password: secrets.value.adminPassword },
    controlSocket,
    socksProxy: { host: socks.host, port: socks.port },
    network: { subnet: network.subnet, gateway: network.gateway, nameserver: network.nameserver },
    router: { https: { host: https.host, port: https.port }, http: { host: http.host, port: http.port } },
    ...(registry === undefined ? {} : { registry: { host: registry.host, caFile: registry.caFile } }),
    ...(options.forReplay
      ? {
          replay: {
            PVE_ROOT_TOKEN: `root@pam!lab=${secrets.value.rootToken}`, PVE_CI_TOKEN: `ci@pve!replay=${secrets.value.ciToken}`,
            PVE_TICKET_USER: 'admin@pve', PVE_TICKET_PASSWORD: secrets.value.adminPassword,
          },
        }
      : {}),
  }
  writeAtomically(connectionFile, `${JSON.stringify(connection, null, 2)}\n`)
  endings.push(async () => rmSync(connectionFile, { force: true }))
  let ending: Promise<void> | undefined
  return { connection, connectionFile, network, driver, faults, serialLog, kill, stopRequested, close: () => (ending ??= frame.end()) }
}

/** On the port it is told; else on the last one, so that sites keep working; else on any. */
async function startApi(context: Context, certificate: { key: string; cert: string }, options: LabOptions, last: number | undefined) {
  const at = (port: number) => startApiServer(context, { ...certificate, port, authDelayMs: options.authDelayMs ?? 3000 })
  if (options.port !== undefined && options.port !== 0) return at(options.port)
  if (last === undefined) return at(0)
  return at(last).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return at(0)
    throw error
  })
}
