/** What a name leads to, by DNS as everybody asks it and by this computer's own ways. */
import { lookup, Resolver } from 'node:dns/promises'

export interface HostAddresses {
  /** Of DNS, both families. */
  readonly dns: readonly string[]
  /** Of this computer's own hosts file or the like, where DNS says nothing. */
  readonly here: readonly string[]
  /** No server has answered, which says nothing of the name. */
  readonly unanswered?: string
}

export type AddressesOf = (host: string) => Promise<HostAddresses>

/** They say that there is none; anything else says nothing of the name. */
const none = new Set(['ENOTFOUND', 'ENODATA'])

export const addressesOf: AddressesOf = async (host) => {
  const resolver = new Resolver({ timeout: 1000, tries: 2 })
  const answers = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)])
  const dns = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
  if (dns.length > 0) return { dns, here: [] }
  const here = await lookup(host, { all: true }).then(
    (found) => found.map(({ address }) => address),
    () => [],
  )
  const silent = answers
    .flatMap((answer) => (answer.status === 'rejected' ? [String((answer.reason as NodeJS.ErrnoException).code)] : []))
    .find((code) => !none.has(code))
  return { dns, here, ...(silent === undefined ? {} : { unanswered: silent }) }
}
