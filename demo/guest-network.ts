/** Who reaches whom by TCP, for fake guests: what listens in a slot, and what its own firewall's table (releases/nftables.ts) lets in. */
import { run, wantedContainers } from '../images/guest/places.ts'
import { readSlot } from '../images/guest/slot.ts'
import { seedFiles } from '../images/contract/files.ts'
import { contains, parseNetwork } from '../settings/address.ts'
import type { GuestInside, GuestProgram, GuestServer } from '../lab/compute/fake/programs.ts'

const setIn = (text: string): string[] => text.split(',').map((part) => part.trim())

/** Whether a rule of the chain `input` is for it. Pure. */
export function admits(table: string, from: string, to: string, port: number): boolean {
  const input = /chain input \{([\s\S]*?)\n {2}\}/.exec(table)?.[1] ?? ''
  const rules = input.matchAll(/ip daddr \{ ([^}]*) \} (?:ip saddr \{ ([^}]*) \} )?tcp dport \{ ([^}]*) \} accept/g)
  return [...rules].some(([, local = '', remote, ports = '']) => {
    const isFrom =
      remote === undefined || setIn(remote).some((text) => contains(parseNetwork(text) ?? { first: 1, last: 0, prefix: 32 }, from))
    return isFrom && setIn(local).includes(to) && setIn(ports).includes(String(port))
  })
}

/** Whether another slot takes this connection. */
export function takes({ files, running }: GuestInside, from: string, to: string, port: number): boolean {
  const slot = readSlot(files)
  const table = `${run}/seed/${seedFiles.firewall}`
  if (slot === undefined || !files.exists(table)) return false
  const { roles, logging } = slot.seed
  const web = running.has('nginx_proxy')
    ? [443, ...(roles.includes('serena') ? [80] : []), ...(roles.includes('logging') && logging ? [logging.port] : [])]
    : []
  return [22, ...web].includes(port) && admits(files.read(table), from, to, port)
}

/** nginx of a slot, for whoever comes from the LAN or the router. */
export function webServer(inside: GuestInside, from: string, to: string, port: number): GuestServer | undefined {
  if (port === 22 || !takes(inside, from, to, port)) return undefined
  if (port === 80) return {}
  const [cert = '', key = ''] = ['pem', 'key'].map((ending) =>
    inside.files.read(`${run}/nginx/tls/${port === 443 ? 'public' : 'logging'}.${ending}`),
  )
  return { tls: { cert, key } }
}

/** `reach.js`. In a container's network it gets to itself alone: of that network there is no model. */
export const reach: GuestProgram = async (words, system) => {
  const [from = ''] = system.addresses('eth0')
  const slot = system.container === undefined ? undefined : readSlot(system.files)
  const inside = slot && wantedContainers(slot.seed).find(({ name }) => name === system.container)
  const own = inside && new URL(inside.probe).port
  const tries = words
    .filter((word) => word !== '--udp')
    .map(async (target) => {
      const [host = '', port] = target.split(':')
      const reached =
        system.container === undefined
          ? await system.ask({ to: { host, port: Number(port) }, method: 'CONNECT', path: '*', headers: { from } }).then(
              () => true,
              () => false,
            )
          : host === '127.0.0.1' && port === own
      return reached ? [target] : []
    })
  system.say(JSON.stringify((await Promise.all(tries)).flat()))
  return 0
}
