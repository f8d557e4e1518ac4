/**
 * Steering: TCP segments to the service address that belong to no connection of this slot go on to the other slot's own
 * address, so that connections which clients have there survive the address' move. They do not answer an RST with a
 * retry: a call of an MCP client fails with it.
 *
 * It is one nftables table, loaded and taken away in one transaction each; nothing of the host's routing is touched, so
 * there is no moment at which a kill could leave it half done. `dup … drop` in prerouting (nf_dup_ipv4: what iptables
 * calls TEE) sends the segment as it is to another host's MAC address. It leaves by the output hook, not by forward:
 * neither Docker's FORWARD policy nor ip_forward nor redirects have a say, and the guest's own table
 * (releases/nftables.ts) knows it by its source, which is no address of the VM.
 *
 * What belongs to no connection of this slot: the kernel tracks connections from the boot on, so that one which it knows
 * from both sides is `established`. A segment in the middle of an unknown one is `new` (nf_conntrack_tcp_loose, on by
 * default) without being a SYN; as it is dropped here, it is forgotten again. An unknown FIN or RST is `invalid`; other
 * invalid segments are out of a known connection's window and stay here.
 *
 * Both slots may steer at the same time (there and back again within minutes): what has been steered once has a DSCP
 * mark, which nobody steers again. Who knows it then has it; if nobody does, an RST is the right answer.
 *
 * Not steered: ICMP about the other slot's segments. In a LAN there is none.
 */
import type { Seed } from '../contract/seed.ts'
import { nic } from './address.ts'
import type { Machine } from './machine.ts'
import { steeringFile } from './places.ts'
import { replaceFile } from './replace-file.ts'

const table = 'table ip golden_steering'
const loadedFrom = '/run/golden/steering.nft'
/** Of the codes for local use (RFC 2474, 6: pool 2, xxxx11). Clients that use it lose nothing but being steered. */
const steeredMark = '0x2b'

/** What clients connect to at the service address. */
export const servicePorts = ({ roles, logging }: Pick<Seed, 'roles' | 'logging'>): number[] => [
  ...(roles.includes('serena') ? [80, 443] : []),
  ...(roles.includes('logging') && logging ? [logging.port] : []),
]

/** What `nft -f` loads: it replaces a table of before. Pure. */
export const steeringRules = (seed: Pick<Seed, 'roles' | 'logging' | 'service' | 'peer'>): string => `${table}
delete ${table}
${table} {
  chain prerouting {
    type filter hook prerouting priority mangle; policy accept;
    iifname != "${nic}" accept
    ip daddr != ${seed.service} accept
    ip protocol != tcp accept
    tcp dport != { ${servicePorts(seed).join(', ')} } accept
    ip dscp ${steeredMark} accept
    tcp flags & (fin | syn | rst | ack) == syn accept
    ct state { established, related } accept
    ct state invalid tcp flags & (fin | rst) == 0 accept
    ip dscp set ${steeredMark} dup to ${seed.peer} device "${nic}" drop
  }
}
`

/** Since when this slot steers, in milliseconds since 1970; undefined: it does not. */
export function steersSince({ files }: Pick<Machine, 'files'>): number | undefined {
  if (!files.exists(steeringFile)) return undefined
  try {
    return (JSON.parse(files.read(steeringFile)) as { since: number }).since
  } catch {
    return 0
  }
}

/** Begins, or begins anew. @returns whether it steers: a kernel without nft_dup_ipv4 does not, and says so */
export async function steer(machine: Machine, seed: Seed): Promise<boolean> {
  const { files } = machine
  if (servicePorts(seed).length === 0) return false
  // First what tells that there is something to be taken back.
  replaceFile(files, steeringFile, JSON.stringify({ since: machine.now() }))
  replaceFile(files, loadedFrom, steeringRules(seed))
  const { status, stderr, error } = await machine.run('nft', ['-f', loadedFrom])
  if (status === 0) return true
  machine.complain(`connections to the other slot are not steered: nft: ${stderr.trim() || error}`)
  await stopSteering(machine)
  return false
}

export async function stopSteering(machine: Machine): Promise<void> {
  const { status, stderr, error } = await machine.run('nft', [`add ${table}; delete ${table}`])
  if (status !== 0) {
    machine.complain(`steering does not end: nft: ${stderr.trim() || error}`)
    return
  }
  machine.files.remove(loadedFrom)
  machine.files.remove(steeringFile)
}
