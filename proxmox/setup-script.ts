/** The administrator's part as a shell script for the node, for those who do not want to give anybody a login. */
import { managementSet } from './datacenter-firewall.ts'
import { firewallIsOn, planSetup, type SetupObserved, type SetupWanted } from './setup.ts'
import { shellWord } from '../core/shell-word.ts'
import { diskStorageProblem, storageKinds } from './storage-kinds.ts'
import { oldestRelease, type Release } from './version.ts'

/** Where, on the user's computer, goes what only the node can tell. */
export interface SetupPlaces {
  readonly tokenFile: string
  readonly caFile: string
}

/** Types of storage that can't have the site's disks. */
const unfit = Object.keys(storageKinds).filter((type) => diskStorageProblem({ storage: '', type }) !== undefined)

/** A host on which only what setup never makes is there: the script finds out by itself what else is. */
const bareHost = (wanted: SetupWanted, release: Release): SetupObserved => ({
  release,
  nodes: [{ node: wanted.node, status: 'online' }],
  bridges: [wanted.bridge],
  roles: [],
  users: [],
  tokens: [],
  acl: [],
  pools: [],
  storages: [{ storage: wanted.disks, type: 'any', content: 'images' }],
  vms: [],
  protectedVms: new Set(),
  firewall: { enabled: false, rules: [] },
})

/** Commands that may be run again, in order, with what `prelude` defines. Which Proxmox it is shows on the node only. */
function setupCommands(wanted: SetupWanted): string[] {
  const [newer = [], older = []] = [{ major: 9, minor: 0 }, oldestRelease].map((release) =>
    planSetup(wanted, bareHost(wanted, release)).steps.map((step) => step.command),
  )
  return newer.map((command, index) =>
    command === older[index] ? command : `if [ "$major" -ge 9 ]; then ${command}; else ${older[index]}; fi`,
  )
}

/** Prepares the node as `applySetup` would, and refuses what `planSetup` calls a problem before it changes anything. */
export function setupScript(wanted: SetupWanted, places: SetupPlaces): string {
  return `#!/bin/sh
# Run this as root on node ${wanted.node}, as a whole: as a file, or by
#   npx golden setup --print | ssh root@${wanted.node} sh
# It may be run again. Then, on your own computer:
# 1. Put the token's secret, which is shown once ("value"), into ${places.tokenFile}.
#    Nothing is shown when the token was there already: "npx golden setup --print --new-token" makes it anew.
# 2. Put the CA, which is shown at the end, into ${shellWord(places.caFile)}
#    (scp root@${wanted.node}:/etc/pve/pve-root-ca.pem ${shellWord(places.caFile)} gets the node's own).
#    Not needed if the web interface has a certificate that every browser trusts.
${prelude}
${checks(wanted).join('\n')}

${setupCommands(wanted).join('\n')}
${showCa(places)}
trap - EXIT
`
}

/** An object of Proxmox's JSON is one line of these lists; \`pvesh\` writes it without blanks and with sorted keys. */
const prelude = `set -eu
refuse() { echo "error: $1" >&2; exit 1; }
trap 'echo "stopped before the end: mend what is said above, then run this script again" >&2' EXIT
# A question that fails is no answer, and ends the script: what can't be told may be there.
get() { pvesh get "$@" --output-format json || refuse "pvesh get $1 failed; nothing is concluded from that"; }
# Whether a list of the API has an entry with this key and value.
has() {
  found=$(get "$1") || exit 1
  case $found in *"\\"$2\\":\\"$3\\""* | *"\\"$2\\":$3,"* | *"\\"$2\\":$3}"*) return 0 ;; *) return 1 ;; esac
}
each() { printf '%s\\n' "$1" | sed 's/},{/}\\n{/g'; }
field() { printf '%s\\n' "$1" | sed -n "s/.*\\"$2\\":\\"\\{0,1\\}\\([^\\",}]*\\).*/\\1/p"; }
`

/** What a VM's description has that a site of this project made (ours.ts), as JSON writes it. */
const ours = String.raw`serena-golden|\\"kind\\": \\"(image|base)\\".*\\"fingerprint\\": \\"[0-9a-f]{64}\\"|"description":"Packer ephemeral build VM(\\n)?".*"name":"golden-build-`

function checks({ node, bridge, disks, iso, isoPath, depots, depotPool, pool, enableFirewall, management }: SetupWanted): string[] {
  const refuse = (message: string): string => `refuse ${shellWord(message)}`
  const path = isoPath.replace(/\/+$/, '')
  const { major, minor } = oldestRelease
  return [
    'host=$(hostname -s)',
    `[ "$host" = ${shellWord(node)} ] || ${refuse(`this is not node ${node}`)}`,
    'version=$(get /version)',
    'release=$(field "$version" release)',
    'major=${release%%.*} minor=${release#*.}',
    `[ "$major" -gt ${major} ] || { [ "$major" -eq ${major} ] && [ "$minor" -ge ${minor} ]; } || refuse "this is Proxmox VE $release, and ${major}.${minor} is the oldest that works"`,
    `[ -d ${shellWord(`/sys/class/net/${bridge}`)} ] || ${refuse(`there is no bridge ${bridge}`)}`,
    'storages=$(get /storage)',
    `each "$storages" | grep -F '"storage":"${disks}"' | grep -Eq '"content":"([a-z]+,)*images[,"]' || ${refuse(`there is no storage ${disks} for disk images`)}`,
    `! each "$storages" | grep -F '"storage":"${disks}"' | grep -Eq '"type":"(${unfit.join('|')})"' || ${refuse(`storage ${disks} is of a type on which images can't be made, cloned or handed over: choose another proxmox.storage.disks`)}`,
    // Its content is a set, told in any order.
    `content=$(each "$storages" | grep -F '"storage":"${iso}"' || true)`,
    `[ -z "$content" ] || echo "$content" | grep -Eq '"content":"(iso|import|iso,import|import,iso)"' || ${refuse(`storage ${iso} is for more than iso and import, and the token may delete everything on it`)}`,
    `[ -r /etc/pve/storage.cfg ] || ${refuse("/etc/pve/storage.cfg can't be read: is this a node of Proxmox VE, and is this root?")}`,
    `awk -v own=${iso} -v path=${shellWord(`${path}/`)} '/^[a-z]+:/ { id = $2 } $1 == "path" && id != own { other = $2 "/"; if (index(other, path) == 1 || index(path, other) == 1) exit 1 }' /etc/pve/storage.cfg || ${refuse(`another storage has ${isoPath}, or a folder around or in it`)}`,
    'vms=$(get /cluster/resources --type vm)',
    ...depots.flatMap(({ vmid, name }) => [
      `vm=$(each "$vms" | grep -E '"vmid":${vmid}[,}]' || true)`,
      `if [ -n "$vm" ]; then`,
      `  case $vm in *'"node":"${node}"'*'"type":"qemu"'*) ;; *) ${refuse(`VMID ${vmid} is a container or on another node`)} ;; esac`,
      `  config=$(get /nodes/${node}/qemu/${vmid}/config)`,
      `  case $vm$config in *'"pool":"${depotPool}"'*'"name":"${name}"'*) ;; *) ${refuse(`VM ${vmid} is somebody else's, not ${name} in pool ${depotPool}`)} ;; esac`,
      'fi',
    ]),
    // Of what a pool has, whoever made it: the token gets rights over all of it. Sites of this project may share one.
    'pools=$(get /pools)',
    'strangers() {',
    '  each "$vms" | while IFS= read -r vm; do',
    '    case $vm in *"\\"pool\\":\\"$1\\""* | *"\\"pool\\":\\"$1/"*) ;; *) continue ;; esac',
    '    vmid=$(field "$vm" vmid)',
    `    case " ${depots.map(({ vmid }) => vmid).join(' ')} " in *" $vmid "*) continue ;; esac`,
    '    case $vm in *\'"type":"qemu"\'*) ;; *) refuse "pool $1 has container $vmid, which is not this project\'s, and the token would get rights over it: set another pool in site.ts" ;; esac',
    '    config=$(get "/nodes/$(field "$vm" node)/qemu/$vmid/config")',
    `    printf '%s\\n' "$config" | grep -Eq ${shellWord(ours)} || refuse "pool $1 has VM $vmid, which is not this project's, and the token would get rights over it: set another pool in site.ts"`,
    '  done',
    '  case $pools in *"\\"poolid\\":\\"$1\\""*) ;; *) return 0 ;; esac',
    '  stored=$(get /pools --poolid "$1" --type storage)',
    '  case $stored in *\'"storage":"\'*) refuse "pool $1 has a storage, and the token would get rights over it: set another pool in site.ts" ;; esac',
    '}',
    `strangers ${pool}`,
    `strangers ${depotPool}`,
    ...(enableFirewall ? lookAtFirewall(management) : []),
  ]
}

/** What the API does not tell shows on the node: who listens, and where the person comes from who runs this. */
function lookAtFirewall(management: readonly string[]): string[] {
  return [
    `if ! ${firewallIsOn}; then`,
    // The node's own network Proxmox lets in by itself.
    `  networks="${management.join(' ')} $(pve-firewall localnet 2>/dev/null | sed -n 's/.*local_network: *//p' || true)"`,
    '  caller=${SSH_CONNECTION:-}',
    '  caller=${caller%% *}',
    `  inside() { awk -v ip="$1" -v networks="$networks" 'function number(text, part) { return split(text, part, ".") == 4 ? ((part[1] * 256 + part[2]) * 256 + part[3]) * 256 + part[4] : -1 } BEGIN { address = number(ip); count = split(networks, list, " "); for (i = 1; i <= count; i++) { split(list[i] "/32", net, "/"); size = 2 ^ (32 - net[2]); if (address >= 0 && int(address / size) == int(number(net[1]) / size)) exit 0 } exit 1 }'; }`,
    '  [ -z "$caller" ] || inside "$caller" || refuse "you come from $caller, which is in none of: $networks; the datacenter firewall would lock you out. Add your network to network.admin in site.ts"',
    // Before the networks that are let in come the rules and the exceptions that somebody has made.
    '  rules=$(get /cluster/firewall/rules)',
    `  refusing=$(each "$rules" | grep '"enable":1' | grep -Ev '"type":"(out|forward)"' | grep -Ev '"action":"ACCEPT".*"type":"in"' || true)`,
    '  excepted=',
    `  if has /cluster/firewall/ipset name ${managementSet}; then`,
    `    entries=$(get /cluster/firewall/ipset/${managementSet})`,
    `    excepted=$(each "$entries" | grep '"nomatch":1' || true)`,
    '  fi',
    `  if [ -n "$refusing$excepted" ] && [ "\${RULES_READ:-}" != yes ]; then`,
    `    printf '%s\n' "$refusing" "$excepted" >&2`,
    `    refuse "the datacenter has these rules, or exceptions of the IP set ${managementSet}, which may refuse you before your network is let in. Turn off what is not meant; to go on with them, run this script with RULES_READ=yes in its environment"`,
    '  fi',
    '  echo "The datacenter firewall goes on. This node then no longer lets in, but from where you make a rule for it:" >&2',
    `  ss -Hltun 2>/dev/null | awk '{ n = split($5, part, ":"); port = part[n]; if ($5 ~ /^127\\.|^\\[::1\\]|%lo:/ || port == 22 || port == 8006 || port == 3128 || (port >= 5900 && port <= 5999)) next; print "  " $1 " " $5 }' | sort -u >&2 || true`,
    '  echo "To undo it: pvesh set /cluster/firewall/options --enable 0" >&2',
    'fi',
  ]
}

/** The CA of what the node presents: its own, which stays when the node's certificate is renewed, or the top of a chain that somebody gave it. */
const showCa = ({ caFile }: SetupPlaces): string => `
ca=/etc/pve/pve-root-ca.pem
own=/etc/pve/local/pveproxy-ssl.pem
if [ -r "$own" ] && ! openssl verify -CAfile "$ca" "$own" >/dev/null 2>&1; then
  echo "This node has a certificate of somebody else's CA. If every browser trusts it, leave ${shellWord(caFile)} away. Otherwise put the CA there; the last certificate of the chain that is installed is:"
  awk '/BEGIN CERTIFICATE/ { text = "" } { text = text $0 "\\n" } END { printf "%s", text }' "$own"
elif [ -r "$ca" ]; then
  echo "The CA, for ${shellWord(caFile)}:"
  cat "$ca"
fi`
