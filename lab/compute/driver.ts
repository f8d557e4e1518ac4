/**
 * What the lab's API needs from whatever runs the guests. Two drivers exist: `qemu` (real guests) and
 * `fake` (models of guests, for tests in seconds). The API owns names, owners and configuration; a
 * driver only ever sees paths, machines and packets.
 */
import type { Duplex } from 'node:stream'

export type DiskFormat = 'qcow2' | 'raw' | 'vmdk'

export interface VolumeInfo {
  readonly format: DiskFormat
  /** Size that the guest sees, in bytes. */
  readonly virtualBytes: number
  /** Bytes used on the lab's own disk. */
  readonly allocatedBytes: number
  /** Absolute path of the volume that this one is linked to, if it is a linked clone. */
  readonly backing?: string
}

export interface CopyOptions {
  readonly format: DiskFormat
  readonly signal?: AbortSignal
  /** Called with a fraction from 0 to 1. */
  readonly onProgress?: (fraction: number) => void
}

/** Disk images by absolute path. The parent folder exists. Every failure rejects with a plain message. */
export interface VolumeStore {
  create(path: string, options: { format: DiskFormat; bytes: number }): Promise<void>
  info(path: string): Promise<VolumeInfo>
  /** A full, independent copy: full clones, `import-from`, `move_disk` to another storage. Leaves nothing behind when it fails. */
  copy(source: string, target: string, options: CopyOptions): Promise<void>
  /** A linked clone (copy on write) of `base`, which is read-only from then on. The backing path is stored relative. */
  link(base: string, target: string): Promise<void>
  /** Grow to `bytes`. Shrinking rejects. */
  resize(path: string, bytes: number): Promise<void>
  /** Rename; linked clones of `from` that are named in `dependents` are pointed to the new path. */
  rename(from: string, to: string, dependents?: readonly string[]): Promise<void>
  remove(path: string): Promise<void>
}

export interface DriveSpec {
  /** PVE's name of the slot: `scsi0`, `virtio1`, `ide2`, `sata0`, … */
  readonly slot: string
  /** Absolute path of the image; null is an empty CD drive. */
  readonly path: string | null
  readonly format: DiskFormat
  readonly media: 'disk' | 'cdrom'
  /** The `serial=` of the PVE drive string, at most 20 bytes. */
  readonly serial?: string
  readonly discard?: boolean
  readonly iothread?: boolean
}

export interface NicSpec {
  /** `net0`, … */
  readonly slot: string
  readonly model: string
  /** Upper-case, colon-separated. */
  readonly mac: string
  readonly bridge: string
  /** `firewall=1` of the PVE net string: the VM's rules apply to this card. */
  readonly firewall: boolean
  readonly linkDown?: boolean
}

export interface MachineSpec {
  readonly vmid: number
  readonly name: string
  readonly cores: number
  readonly sockets: number
  readonly memoryMiB: number
  /** PVE's `cpu` value, e.g. `x86-64-v2-AES` or `host`; a driver may map it to what it can do. */
  readonly cpu: string
  readonly uuid: string
  readonly scsihw: string
  /** Boot order as slots, first first. */
  readonly boot: readonly string[]
  readonly drives: readonly DriveSpec[]
  readonly nics: readonly NicSpec[]
  /** QEMU guest agent channel present. */
  readonly agent: boolean
  /** File to which the guest's first serial port is appended. */
  readonly serialLog: string
  /** Folder for sockets and pid files of this machine; exists, short enough for a Unix socket. */
  readonly runDir: string
}

export type MachineExit =
  | { readonly reason: 'powerdown' } // the guest switched itself off
  | { readonly reason: 'stopped' } // stop() was called
  | { readonly reason: 'crashed'; readonly detail: string }

/** The guest agent does not answer: not installed, not started yet, or hung. */
export class AgentUnavailable extends Error {}

/** The guest agent answered with an error, e.g. a file that does not exist. */
export class AgentError extends Error {
  readonly class: string
  constructor(errorClass: string, description: string) {
    super(description)
    this.class = errorClass
  }
}

export interface MachineStats {
  /** Of all processors together since the last call; 1 is one processor. */
  readonly cpuFraction: number
  readonly memoryBytes: number
  /** QEMU's RunState when it is neither `running` nor what somebody asked for, e.g. `io-error` on a full disk. */
  readonly trouble?: string
}

/** A running machine. All methods reject with a plain message when the machine is gone. */
export interface Machine {
  readonly pid: number
  /** Resolves once, when the machine has ended for whatever reason. */
  readonly exited: Promise<MachineExit>
  /** Asks the guest to switch off (agent if it answers, else ACPI). Does not wait for it. */
  shutdown(): Promise<void>
  /** Ends it at once. Resolves when it has ended. */
  stop(): Promise<void>
  reset(): Promise<void>
  suspend(): Promise<void>
  resume(): Promise<void>
  plugDrive(drive: DriveSpec): Promise<void>
  unplugDrive(slot: string): Promise<void>
  /** Changes the medium of a CD drive; null ejects it. */
  changeMedium(slot: string, path: string | null): Promise<void>
  /** Tells the guest of a new size; the file has been resized by this call. */
  resizeDrive(slot: string, bytes: number): Promise<void>
  plugNic(nic: NicSpec): Promise<void>
  unplugNic(slot: string): Promise<void>
  /** `key` as QEMU's monitor knows it, e.g. `ctrl-alt-delete`. Rejects for unknown keys. */
  sendKey(key: string): Promise<void>
  /**
   * One QEMU guest agent command (`guest-ping`, `guest-network-get-interfaces`, `guest-exec`,
   * `guest-exec-status`, `guest-file-*`, `guest-get-osinfo`, …), its `return` value.
   * Rejects with AgentUnavailable or AgentError.
   */
  agent(command: string, args?: Record<string, unknown>, timeoutMs?: number): Promise<unknown>
  /** For `status/current`. */
  stats(): Promise<MachineStats>
}

/** PVE firewall configuration as the API stores it; strings exactly as PVE spells them. */
export interface FirewallRule {
  readonly type: 'in' | 'out' | 'group'
  readonly action: string
  readonly enable: boolean
  readonly proto?: string
  readonly source?: string
  readonly dest?: string
  readonly sport?: string
  readonly dport?: string
  readonly iface?: string
  readonly macro?: string
  readonly 'icmp-type'?: string
  readonly log?: string
}

export interface FirewallScope {
  /** `enable`, `policy_in`, `policy_out`, `ipfilter`, `macfilter`, `dhcp`, `ndp`, `radv`, … as set; unset ones have PVE's defaults. */
  readonly options: Readonly<Record<string, string>>
  /** First match wins, in this order. */
  readonly rules: readonly FirewallRule[]
  /** Name → addresses; `ipfilter-net0` has PVE's special meaning. */
  readonly ipsets: Readonly<Record<string, readonly { cidr: string; nomatch: boolean }[]>>
  readonly aliases: Readonly<Record<string, string>>
}

export interface FirewallState {
  /** The datacenter's; VM rules do nothing unless its `enable` is 1 (PVE's default is 0). */
  readonly cluster: FirewallScope
  readonly vms: Readonly<Record<number, FirewallScope>>
}

/** Addresses in the LAN that the router forwards ports to, each to 80 and 443 there; null: nothing answers. */
export interface RouterForwards {
  /** Gets ports 80 and 443. */
  readonly target: string | null
  /** Gets ports 2080 and 2443: another site's, in the same LAN. */
  readonly second: string | null
}

/** The router's ports, as seen from outside. */
export const routerPorts = { target: { http: 80, https: 443 }, second: { http: 2080, https: 2443 } } as const

/** The lab's LAN: one bridge, a router as gateway, and ways in from this computer. */
export interface LabNetwork {
  /** e.g. `10.77.0.0/24`; the router is `.1`, the lab's own services are below `.10`. */
  readonly subnet: string
  readonly gateway: string
  /** Name server that guests can use; works only while `internet` is on. */
  readonly nameserver: string
  /** Puts the whole firewall configuration into force. Resolves when it is. */
  applyFirewall(state: FirewallState): Promise<void>
  /** A TCP connection from a host in the LAN (an address of the router's) to a guest. */
  dial(host: string, port: number): Promise<Duplex>
  /** The same from a host in the LAN that is nobody's: neither an administrator's computer nor a VM. */
  dialStranger(host: string, port: number): Promise<Duplex>
  /** A TCP connection that arrives at the router from outside (the internet) on this port. */
  dialRouter(port: number): Promise<Duplex>
  /** What is not named stays. */
  setForwards(forwards: Partial<RouterForwards>): Promise<void>
  /** Whether guests reach the world beyond the router. Starts on. */
  setInternet(on: boolean): Promise<void>
}

export interface ComputeDriver {
  readonly kind: 'fake' | 'qemu'
  readonly volumes: VolumeStore
  readonly network: LabNetwork
  /** Starts a machine; rejects (leaving nothing behind) when it can't be started. */
  start(spec: MachineSpec): Promise<Machine>
  /** Ends all machines and gives back every system resource (processes, namespaces, links, mounts). */
  close(): Promise<void>
}
