/** What clients find: the public name, whether it leads here, and whether the router lets them in. */
import { isIP } from 'node:net'
import { accessOf, type Access } from '../clients/deployed.ts'
import { lookAtCertificate, trustOf } from '../clients/look-at-certificate.ts'
import type { HostAddresses } from '../core/host-addresses.ts'
import { isPrivate, parseNetwork } from '../settings/address.ts'
import type { Check } from './check.ts'
import type { Facts } from './facts.ts'
import { bad, fine, unknown, warn, type Outcome } from './line.ts'
import type { OutsideView } from './ask-outside.ts'

const namesMs = 5000
const helperMs = 10_000
const knockMs = 2000

export const outsideChecks: readonly Check[] = [
  {
    id: 'dns',
    section: 'outside',
    looks: '`public.host` has an address in DNS, and none that the VMs have not (IPv6)',
    mends: 'DNS or dynamic DNS, or `public.host`',
    needs: ['site'],
    limit: namesMs,
    async run(facts) {
      const { host } = (await facts.site()).site.public
      return isIP(host) === 0 ? nameOutcome(host, await facts.names()) : fine(`${host} is an address`)
    },
  },
  {
    id: 'leads-here',
    section: 'outside',
    looks: "that address is this network's: the service address, one at which our certificate answers, or the one that the helper sees",
    mends: "the name's DNS, or the router's dynamic DNS",
    needs: ['dns', 'pins'],
    limit: helperMs,
    async run(facts) {
      const { site } = await facts.site()
      const { host } = site.public
      const { dns, here } = isIP(host) === 0 ? await facts.names() : { dns: [host], here: [] }
      const access = accessOf(site, await facts.deployment())
      const found = [...dns, ...here]
      if (access.service !== undefined && found.includes(access.service)) return fine(`${host} is the service address ${access.service}`)
      const shown = await certificateThere(facts, access, host)
      if (shown !== undefined)
        return fine(`${host} is ${found.join(', ')}, and the certificate of ${access.deployed?.group ?? ''} answers there`)
      return leadsHere({ host, found, view: await facts.fromOutside().catch(() => undefined), service: access.service })
    },
  },
  {
    id: 'router',
    section: 'outside',
    looks: 'a connection from outside comes through the router: asked of the helper at `public.lookFromOutside`, or for you to try',
    mends: 'the router forwards TCP 443 and 80 to the service address',
    needs: ['pins'],
    limit: helperMs,
    async run(facts) {
      const { site } = await facts.site()
      const access = accessOf(site, await facts.deployment())
      if (access.deployed === undefined) return unknown('nothing is deployed that could answer', 'Run "npx golden deploy" first.')
      const { host, httpsPort } = site.public
      const url = `https://${host}${httpsPort === 443 ? '' : `:${httpsPort}`}/`
      const byHand = `From a phone on mobile data, open ${url}: it has to ask for a name and a password (401).`
      let view: OutsideView | undefined
      try {
        view = await facts.fromOutside()
      } catch (error) {
        return unknown(`the helper did not tell: ${error instanceof Error ? error.message : String(error)}`, `See the helper. ${byHand}`)
      }
      if (view === undefined)
        return unknown('nobody outside was asked', `${byHand} Or name a helper of your own: public.lookFromOutside (docs/doctor.md).`)
      return routerOutcome(view, host, httpsPort, access.service ?? 'the service address')
    },
  },
]

/** Pure. */
export function nameOutcome(host: string, { dns, here, unanswered }: HostAddresses): Outcome {
  const other = dns.filter((address) => isIP(address) === 6)
  if (other.length > 0)
    return warn(
      `${host} is ${dns.join(', ')}: the VMs have no IPv6, so that clients which begin with it lose time, or do not get in`,
      `Take ${other.join(', ')} out of the name's DNS (AAAA), unless something of yours passes it on to the service address.`,
    )
  if (dns.length > 0) return fine(`${host} is ${dns.join(', ')}`)
  if (here.length > 0)
    return warn(
      `only this computer knows ${host} (${here.join(', ')}), by its hosts file or the like; DNS does not`,
      'Give the name an address at your DNS provider or dynamic DNS, unless all clients know it as this computer does.',
    )
  if (unanswered !== undefined)
    return unknown(`no DNS server answers this computer (${unanswered})`, 'Look at the network of this computer, and its DNS.')
  return bad(
    `DNS does not know ${host}`,
    'Give the name an address at your DNS provider or dynamic DNS, or mend public.host in site.ts and roll out.',
  )
}

/** @returns undefined: nothing is deployed for that name, or something else answers there, or nothing */
async function certificateThere(facts: Facts, access: Access, host: string): Promise<true | undefined> {
  const { deployed, public: shown } = access
  if (deployed === undefined || shown.host !== host) return undefined
  const trust = await trustOf((await facts.site()).folder, access).catch(() => undefined)
  if (trust === undefined) return undefined
  const { state } = await lookAtCertificate({ host, port: shown.httpsPort, trust, group: deployed.group, timeoutMs: knockMs })
  return state === 'ok' || state === 'warned' ? true : undefined
}

export interface LeadsHere {
  readonly host: string
  readonly found: readonly string[]
  readonly view: OutsideView | undefined
  readonly service: string | undefined
}

/** Where no certificate of ours tells. Pure. */
export function leadsHere({ host, found, view, service }: LeadsHere): Outcome {
  const is = `${host} is ${found.join(', ')}`
  const from = view?.from
  if (from !== undefined && found.includes(from)) return fine(`${is}, as which this network is seen from outside`)
  const inside = found.filter((address) => {
    const network = parseNetwork(address)
    return network !== undefined && isPrivate(network)
  })
  if (found.every((address) => address === '::1' || address.startsWith('127.')))
    return warn(
      `${is}: this computer itself, for everybody who looks it up`,
      'Right for a lab only; else give the name the address of your router.',
    )
  if (inside.length === found.length)
    return bad(
      `${is}, which nobody reaches from outside, and which is not the service address${service === undefined ? '' : ` ${service}`}`,
      `Lead the name to your router's public address; in a DNS of your LAN, to ${service ?? 'the service address'}.`,
    )
  if (from !== undefined)
    return bad(
      `${is}, and this network is seen from outside as ${from}`,
      `Lead the name to ${from}, by the router's dynamic DNS where that changes. Where the router itself has another address than that, your provider shares one between customers, and nobody gets in from outside.`,
    )
  return unknown(
    `${is}; whether that is your router, nobody here can tell`,
    'Compare it with the public address that the router shows, or name a helper: public.lookFromOutside (docs/doctor.md).',
  )
}

/** Pure. */
export const routerOutcome = ({ open, from }: OutsideView, host: string, port: number, service: string): Outcome =>
  open
    ? fine(`${host}, port ${port}, takes connections from outside`)
    : bad(
        `${host}, port ${port}, takes no connection from outside${from === undefined ? '' : `; this network is seen there as ${from}`}`,
        `Have the router forward TCP ${port} to ${service}, port 443, and see by "npx golden status" that the VM serves. Some providers let nobody in on ${port}.`,
      )
