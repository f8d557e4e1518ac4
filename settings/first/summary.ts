/** What is about to be written, for the person who says yes to it. Pure. */
import type { Answers } from './answers.ts'
import type { Proposal } from './propose.ts'

/** @param lanAsked whether this computer could ask the LAN for the addresses */
export function summary(answers: Answers, { storages }: Pick<Proposal, 'storages'>, lanAsked: boolean): string {
  const { addresses, vmids, subnet, bridge, vlan, gateway, nameservers, publicHost, httpsPort } = answers
  const about = storages.fit.find(({ storage }) => storage === answers.disks)?.about ?? ''
  const group = (index: number): string => {
    const [service, blue, green] = addresses.slice(1 + index * 3)
    const [depot, blueVmid, greenVmid] = vmids.slice(index * 3)
    return `service ${service}, blue ${blue} (VM ${blueVmid}), green ${green} (VM ${greenVmid}), depot VM ${depot}`
  }
  const rows: (readonly [string, string])[] = [
    ['Proxmox', `${answers.url}, node ${answers.node}`],
    ['disks', `${answers.disks}: ${about}`],
    [
      'network',
      `${subnet} on ${bridge}${vlan === undefined ? '' : `, VLAN ${vlan}`}; gateway ${gateway}; name servers ${nameservers.join(', ')}`,
    ],
    ...(answers.socksProxy === undefined ? [] : [['by way of', `${answers.socksProxy.host}:${answers.socksProxy.port}`] as const]),
    ['administrators', answers.admin.join(', ')],
    ...(answers.oneVm ? [['Serena and logs', group(0)] as const] : [['Serena', group(0)] as const, ['logs', group(1)] as const]),
    ['baking', `${addresses[0]}, from ${answers.os}`],
    ['clients', `https://${publicHost}${httpsPort === undefined ? '' : `:${httpsPort}`}, user ${answers.user}`],
  ]
  const asked = lanAsked
    ? 'Nobody in the LAN answers for these addresses.'
    : "Whether anybody in the LAN has these addresses can't be asked from this computer."
  return [
    `The site "${answers.name}":`,
    ...rows.map(([what, text]) => `  ${what.padEnd(16)}${text}`),
    `${asked} What your router gives out by DHCP nobody can see from here: they have to be outside of that.`,
  ].join('\n')
}
