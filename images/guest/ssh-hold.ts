/**
 * New SSH connections to the service address wait while the slots hand over: their first segments are dropped, and TCP sends
 * them again, after one second, two, four …. So a push that begins now reaches the slot that has the data by then, which
 * shows the same host key, and is not cut off here. Connections to the slot's own address are left alone, as are those of
 * before. In the kernel, and for a time: should nobody take it back, it ends by itself.
 */
import type { Seed } from '../contract/seed.ts'
import { nic } from './address.ts'
import type { Machine } from './machine.ts'
import { run } from './places.ts'
import { replaceFile } from './replace-file.ts'

const table = 'table ip golden_ssh'
/** There while they may be held. */
const loadedFrom = `${run}/ssh-hold.nft`

/** What `nft -f` loads: it replaces a table of before. Pure. */
export const holdRules = ({ service }: Pick<Seed, 'service'>, seconds: number): string => `${table}
delete ${table}
${table} {
  set held {
    type ipv4_addr
    flags timeout
    elements = { ${service} timeout ${seconds}s }
  }
  chain prerouting {
    type filter hook prerouting priority mangle; policy accept;
    iifname "${nic}" ip daddr @held tcp dport 22 tcp flags & (fin | syn | rst | ack) == syn drop
  }
}
`

/** @param seconds how long at most; where they can't be held they are cut off like others who come late */
export async function holdSsh({ files, run: start, complain }: Machine, seed: Seed, seconds: number): Promise<void> {
  replaceFile(files, loadedFrom, holdRules(seed, seconds))
  const { status, stderr, error } = await start('nft', ['-f', loadedFrom])
  if (status !== 0) complain(`new SSH connections are not held: nft: ${stderr.trim() || error}`)
}

/** Nothing to do where none are held. */
export async function admitSsh({ files, run: start, complain }: Machine): Promise<void> {
  if (!files.exists(loadedFrom)) return
  const { status, stderr, error } = await start('nft', [`add ${table}; delete ${table}`])
  if (status === 0) files.remove(loadedFrom)
  else complain(`new SSH connections are held for a while: nft: ${stderr.trim() || error}`)
}
