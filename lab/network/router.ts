/** What the lab's router does, as nft rules. Pure; nft(8). */
import { routerPorts, type RouterForwards } from '../compute/driver.ts'
import type { Layout } from './layout.ts'

export interface RouterSettings extends RouterForwards {
  /** Whether the LAN reaches the world beyond the router. */
  readonly internet: boolean
}

/** Names of the router's links. */
export const routerLinks = { lan: 'lan0', outside: 'out0', slirp: 'tap0' } as const

export function compileRouter(layout: Layout, settings: RouterSettings): string {
  const { lan, slirp } = routerLinks
  const pairs = (['target', 'second'] as const).flatMap((name) =>
    settings[name] === null ? [] : [{ to: settings[name], ...routerPorts[name] }],
  )
  const lines = (...all: (string | false)[]) => all.filter((line) => line !== false).map((line) => `    ${line}`)
  return [
    'table ip router',
    'delete table ip router',
    'table ip router {',
    '  chain prerouting {',
    ...lines(
      'type nat hook prerouting priority dstnat',
      // From outside, and from the LAN by the public address ("hairpin").
      ...pairs.map(
        ({ to, http, https }) => `ip daddr ${layout.outside} dnat ip to tcp dport map { ${http} : ${to} . 80, ${https} : ${to} . 443 }`,
      ),
      `iifname ${lan} ip daddr ${layout.gateway} meta l4proto { tcp, udp } th dport 53 dnat to ${layout.slirpNameserver}`,
    ),
    '  }',
    '  chain postrouting {',
    ...lines(
      'type nat hook postrouting priority srcnat',
      `oifname ${slirp} masquerade`,
      // Without it the guest would answer its neighbour directly, and not from the address that it was asked at.
      ...pairs.map(({ to }) => `iifname ${lan} oifname ${lan} ip daddr ${to} ct status dnat masquerade`),
    ),
    '  }',
    '  chain forward {',
    ...lines(
      'type filter hook forward priority filter; policy drop',
      // Flows of before must stop too when the internet is switched off.
      !settings.internet && `iifname ${slirp} drop`,
      !settings.internet && `oifname ${slirp} reject with icmp type admin-prohibited`,
      'ct state established,related accept',
      `iifname ${lan} oifname ${slirp} accept`,
      `oifname ${lan} ct status dnat accept`,
    ),
    '  }',
    '  chain input {',
    ...lines(
      'type filter hook input priority filter; policy drop',
      'iifname lo accept',
      'ct state established,related accept',
      `iifname ${lan} icmp type echo-request accept`,
      // An answer at once, so that nobody has to wait to see that a port is closed.
      'meta l4proto tcp reject with tcp reset',
    ),
    '  }',
    '}',
    '',
  ].join('\n')
}
