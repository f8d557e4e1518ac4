/** The administrator's part as a shell script for the node, for those who do not want to give anybody a login. */
import { planSetup, type SetupObserved, type SetupWanted } from './setup.ts'
import { shellWord } from './shell-word.ts'

/** Where, on the user's computer, goes what only the node can tell. */
export interface SetupPlaces {
  readonly tokenFile: string
  readonly caFile: string
}

/** A host on which only what setup never makes is there: the script finds out by itself what else is. */
const bareHost = (wanted: SetupWanted): SetupObserved => ({
  nodes: [{ node: wanted.node, status: 'online' }], bridges: [wanted.bridge], roles: [], users: [], tokens: [], acl: [], pools: [],
  storages: [{ storage: wanted.disks, type: 'any', content: 'images' }], vms: [], protectedVms: new Set(), firewall: { enabled: false, rules: [] }
})

/** Commands that may be run again, in order. */
export const setupCommands = (wanted: SetupWanted): string[] => planSetup(wanted, bareHost(wanted)).steps.map((step) => step.command)

/** Prepares the node as `applySetup` would, and refuses what `planSetup` calls a problem before it changes anything. */
export function setupScript(wanted: SetupWanted, places: SetupPlaces): string {
  return `#!/bin/sh
# Run this as root on node ${wanted.node}, as a whole: as a file, or by
#   npx golden setup --print | ssh root@${wanted.node} sh
# It may be run again. Then, on your own computer:
# 1. Put the token's secret, which is shown once ("value"), into ${places.tokenFile}.
#    Nothing is shown when the token was there already: "golden setup --print --new-token" makes it anew.
# 2. Copy the node's CA: scp root@${wanted.node}:/etc/pve/pve-root-ca.pem ${shellWord(places.caFile)}
#    Not needed if the web interface has a certificate that every browser trusts.
set -eu
refuse() { echo "error: $1" >&2; exit 1; }

${checks(wanted).join('\n')}

${setupCommands(wanted).join('\n')}
`
}

function checks({ node, bridge, disks, iso, isoPath, depots, depotPool }: SetupWanted): string[] {
  const refuse = (message: string): string => `refuse ${shellWord(message)}`
  const path = isoPath.replace(/\/+$/, '')
  return [
    `[ "$(hostname -s)" = ${shellWord(node)} ] || ${refuse(`this is not node ${node}`)}`,
    `[ -d ${shellWord(`/sys/class/net/${bridge}`)} ] || ${refuse(`there is no bridge ${bridge}`)}`,
    `pvesh get /storage/${disks} --output-format json | grep -Eq '"content":"([a-z]+,)*images[,"]' || ${refuse(`there is no storage ${disks} for disk images`)}`,
    // Its content is a set, told in any order.
    `if content=$(pvesh get /storage/${iso} --output-format json 2>/dev/null); then echo "$content" | grep -Eq '"content":"(iso|import|iso,import|import,iso)"' || ${refuse(`storage ${iso} is for more than iso and import, and the token may delete everything on it`)}; fi`,
    `awk -v own=${iso} -v path=${shellWord(`${path}/`)} '/^[a-z]+:/ { id = $2 } $1 == "path" && id != own { other = $2 "/"; if (index(other, path) == 1 || index(path, other) == 1) exit 1 }' /etc/pve/storage.cfg || ${refuse(`another storage has ${isoPath}, or a folder around or in it`)}`,
    ...depots.map(({ vmid, name }) => `if config=$(qm config ${vmid} 2>/dev/null); then echo "$config" | grep -Fqx ${shellWord(`name: ${name}`)} && pvesh get ${shellWord(`/pools/${depotPool}`)} --output-format json | grep -Eq '"vmid":${vmid}[,}]' || ${refuse(`VM ${vmid} is somebody else's, not ${name} in pool ${depotPool}`)}; elif grep -qs '"${vmid}":' /etc/pve/.vmlist; then ${refuse(`VMID ${vmid} is a container or on another node`)}; fi`)
  ]
}
