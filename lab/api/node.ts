/** The node and the cluster of one. */
import { cpus, freemem, loadavg, totalmem, uptime } from 'node:os'
import { statfs } from 'node:fs/promises'
import { certificateInfo } from './certificate.ts'
import type { Call, Handlers } from './context.ts'
import { ApiError, parameterError } from './errors.ts'
import { storageResource, vmResource } from './resources.ts'

const version = ({ context }: Call): { version: string; release: string; repoid: string } => ({
  version: context.version,
  release: context.version.replace(/^(\d+\.\d+).*/, '$1'),
  repoid: '42db4a6cf33dac83',
})

async function numbers(call: Call): Promise<Record<string, number>> {
  const disk = await statfs(call.context.state.folder)
  return {
    cpu: Math.min(1, (loadavg()[0] ?? 0) / cpus().length),
    maxcpu: cpus().length,
    mem: totalmem() - freemem(),
    maxmem: totalmem(),
    uptime: Math.floor(uptime()),
    disk: (disk.blocks - disk.bfree) * disk.bsize,
    maxdisk: disk.blocks * disk.bsize,
  }
}

async function nodeStatus(call: Call): Promise<unknown> {
  const { mem = 0, maxmem = 0, disk = 0, maxdisk = 0, cpu, uptime: seconds } = await numbers(call)
  return {
    cpu,
    uptime: seconds,
    wait: 0,
    idle: 0,
    loadavg: loadavg().map((load) => load.toFixed(2)),
    kversion: 'Linux (lab)',
    pveversion: `pve-manager/${version(call).version}/${version(call).repoid}`,
    memory: { total: maxmem, used: mem, free: maxmem - mem, available: maxmem - mem },
    swap: { total: 0, used: 0, free: 0 },
    ksm: { shared: 0 },
    rootfs: { total: maxdisk, used: disk, free: maxdisk - disk, avail: maxdisk - disk },
    cpuinfo: {
      cpus: cpus().length,
      cores: cpus().length,
      sockets: 1,
      model: cpus()[0]?.model ?? '',
      mhz: String(cpus()[0]?.speed ?? 0),
      hvm: '1',
      flags: '',
      user_hz: 100,
    },
  }
}

const nodeEntry = async (call: Call): Promise<Record<string, unknown>> => {
  const audit = call.caller.has(`/nodes/${call.context.node}`, 'Sys.Audit')
  return {
    node: call.context.node,
    id: `node/${call.context.node}`,
    type: 'node',
    status: 'online',
    level: '',
    ...(audit ? await numbers(call) : {}),
  }
}

const bridge = (call: Call): Record<string, unknown> => {
  const { subnet, gateway } = call.context.driver.network
  return {
    iface: call.context.bridge,
    type: 'bridge',
    active: 1,
    autostart: 1,
    method: 'static',
    method6: 'manual',
    families: ['inet'],
    priority: 1,
    address: gateway,
    netmask: subnet.split('/')[1],
    cidr: `${gateway}/${subnet.split('/')[1]}`,
    bridge_ports: '',
    bridge_stp: 'off',
    bridge_fd: '0',
  }
}

const mayUse = ({ caller, context }: Call, bridge: string): boolean =>
  caller.hasAny(`/sdn/zones/${context.vnets[bridge] ?? 'localnetwork'}/${bridge}`, 'SDN.Audit', 'SDN.Use')

function networks(call: Call): unknown {
  const { type } = call.params
  const wants = (...types: string[]): boolean => type === undefined || types.includes(type)
  const bridges =
    wants('bridge', 'any_bridge', 'any_local_bridge', 'include_sdn') && mayUse(call, call.context.bridge) ? [bridge(call)] : []
  const vnets =
    type !== undefined && wants('vnet', 'any_bridge', 'include_sdn')
      ? Object.keys(call.context.vnets).filter((name) => mayUse(call, name))
      : []
  return [...bridges, ...vnets.map((iface) => ({ iface, type: 'vnet', active: '1' }))]
}

async function resources(call: Call): Promise<unknown> {
  const { context, caller } = call
  const wants = (type: string): boolean => (call.params.type ?? type) === type
  const vms = wants('vm')
    ? [...context.state.vms.keys()].sort((a, b) => a - b).filter((vmid) => caller.has(`/vms/${vmid}`, 'VM.Audit'))
    : []
  const storages = wants('storage')
    ? Object.keys(context.state.storages.value).filter((id) =>
        caller.hasAny(`/storage/${id}`, 'Datastore.Audit', 'Datastore.AllocateSpace'),
      )
    : []
  return [
    ...(await Promise.all(vms.map((vmid) => vmResource(context, vmid)))),
    ...(wants('node') ? [await nodeEntry(call)] : []),
    ...(await Promise.all(storages.map((id) => storageResource(context, id)))),
    ...(wants('sdn') && caller.hasAny('/sdn/zones/localnetwork', 'SDN.Audit', 'SDN.Use')
      ? [{ id: `sdn/${context.node}/localnetwork`, type: 'sdn', node: context.node, sdn: 'localnetwork', status: 'ok' }]
      : []),
  ]
}

function nextId(call: Call): string {
  const { vms } = call.context.state
  const { vmid } = call.params
  if (vmid !== undefined) {
    if (vms.has(Number(vmid))) throw parameterError({ vmid: `VM ${vmid} already exists` })
    return vmid
  }
  let id = 100
  while (vms.has(id)) id += 1
  return String(id)
}

export const nodeHandlers: Handlers = {
  'GET /version': version,
  'GET /nodes': async (call) => [{ ...(await nodeEntry(call)), ssl_fingerprint: '' }],
  'GET /nodes/{node}': () =>
    ['certificates', 'network', 'qemu', 'query-url-metadata', 'status', 'storage', 'tasks', 'version'].map((name) => ({ name })),
  'GET /nodes/{node}/status': nodeStatus,
  'GET /nodes/{node}/version': version,
  'GET /nodes/{node}/certificates/info': (call) => certificateInfo(call.context.tlsFolder),
  'GET /nodes/{node}/time': () => ({ timezone: 'UTC', time: Math.floor(Date.now() / 1000), localtime: Math.floor(Date.now() / 1000) }),
  'GET /nodes/{node}/dns': (call) => ({ search: 'lab', dns1: call.context.driver.network.nameserver }),
  'GET /nodes/{node}/network': networks,
  'GET /nodes/{node}/network/{iface}': (call) => {
    if (call.params.iface !== call.context.bridge)
      throw new ApiError(400, 'Parameter verification failed.', { errors: { iface: 'interface does not exist' } })
    return bridge(call)
  },
  'GET /cluster/resources': resources,
  'GET /cluster/nextid': nextId,
  'GET /cluster/status': (call) => [
    { id: `node/${call.context.node}`, name: call.context.node, type: 'node', online: 1, local: 1, nodeid: 0, ip: '127.0.0.1', level: '' },
  ],
  'GET /cluster/sdn/vnets': (call) =>
    Object.entries(call.context.vnets)
      .filter(([name]) => mayUse(call, name))
      .map(([vnet, zone]) => ({ vnet, zone, type: 'vnet' })),
  'GET /cluster/options': () => ({ keyboard: 'en-us' }),
}
