/** The containers' networks inside of a VM, and who has which address in them: the one list, for both sides of the seed. */

/** What a seed and a pin mean that do not say it. */
export const defaultContainers = '172.30.0.0/23'

export interface ContainerNetworks {
  /** All addresses that the containers of this project can have. */
  readonly all: string
  /** Two networks, which Docker keeps apart (compose.yaml). */
  readonly serena: string
  readonly logging: string
  /** Docker's pool for what somebody makes by hand: nothing that this project's rules let in or out. */
  readonly spare: string
  readonly serenaMcp: string
  readonly serenaMcpSse: string
  readonly loki: string
  readonly grafana: string
}

/** @param network `network.containers` of the site: an IPv4 network of a /23 at least, of which the first /23 is used */
export function containerNetworks(network: string = defaultContainers): ContainerNetworks {
  const [first = ''] = network.split('/')
  const base = first.split('.').reduce((number, part) => number * 256 + Number(part), 0)
  const at = (offset: number): string => [24, 16, 8, 0].map((shift) => Math.floor((base + offset) / 2 ** shift) % 256).join('.')
  return {
    all: `${at(0)}/24`,
    serena: `${at(0)}/28`,
    logging: `${at(16)}/28`,
    spare: `${at(256)}/24`,
    serenaMcp: at(11),
    serenaMcpSse: at(12),
    loki: at(21),
    grafana: at(22),
  }
}
