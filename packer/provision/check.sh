#!/bin/sh
# What an image has to be. Every check says what it found; one that fails fails the bake, after all have spoken.
# Run by finish.sh as root, with Docker still up, in a folder with the files `packages`, `images`, `enabled`,
# `masked`, `unwanted`, `timers`, `traces` and `ca-lines` (see packer/inputs.ts) and unwanted.sh.
# Uses: find, grep, cat, cut, sh, docker, systemctl, dpkg, dpkg-query, ss, nft.
set -uf
cd /run/golden-bake
failed=0

# check NAME WHAT FOUND: nothing found is good.
check() {
  if [ -z "$3" ]; then
    echo "golden-check ok $1: $2"
  else
    echo "golden-check FAILED $1: $2, but there is:" $3
    failed=1
  fi
}
# need NAME WHAT MISSING: nothing missing is good.
need() {
  if [ -z "$3" ]; then
    echo "golden-check ok $1: $2"
  else
    echo "golden-check FAILED $1: $2, but this is not so:" $3
    failed=1
  fi
}
# having PATTERN PLACE…: the files with such a line, in any case of letters; a place may be missing. Only names, because
# what is on the line can hold a password.
having() {
  pattern=$1
  shift
  find "$@" -type f -exec grep -liE "$pattern" {} + 2> /dev/null
}

# A program that does not work finds nothing, and an empty list asks for nothing.
missing=''
if [ "$(find /etc/passwd -type f -exec grep -liE '^ROOT:' {} + 2> /dev/null)" != /etc/passwd ]; then missing="$missing find-and-grep"; fi
for list in packages images enabled masked unwanted timers traces unwanted.sh; do
  if [ ! -s "$list" ]; then missing="$missing $list"; fi
done
if [ ! -f ca-lines ]; then missing="$missing ca-lines"; fi
need checks 'the checks have all they need' "$missing"

check host-keys 'no SSH host keys' "$(find /etc/ssh -name 'ssh_host_*' 2> /dev/null)"
check machine-id 'the machine id is empty' "$(cat /etc/machine-id)"
check dbus-machine-id 'no machine id of its own for D-Bus' "$(find /var/lib/dbus -type f -name machine-id -size +0 2> /dev/null)"
check cloud-init 'no cloud-init instance and no seed' "$(find /var/lib/cloud -mindepth 1 2> /dev/null)"
check network 'no network settings of the build VM' "$(having 'golden-build' /etc/netplan /etc/network/interfaces.d /etc/systemd/network /etc/hosts /etc/hostname; find /etc/netplan /etc/network/interfaces.d /etc/systemd/network -name '*cloud-init*' 2> /dev/null)"
check leases 'no DHCP leases, nor what a DHCP client knows itself by' "$(find /var/lib/dhcp /var/lib/dhcpcd /var/lib/NetworkManager -type f -size +0 2> /dev/null)"
check passwords 'no user has a password' "$(grep -Ev '^[^:]*:[*!]+:' /etc/shadow | cut -d: -f1)"
# systemd-sysusers takes another number where one is taken, and says nothing; firewall, mounts and containers go by number.
wrong=''
users=/usr/lib/sysusers.d/golden.conf
if [ ! -s "$users" ]; then wrong="no-$users"; fi
while read -r kind name number rest; do
  if [ "$kind" != u ]; then continue; fi
  for found in $(cut -d: -f1,3,4 /etc/passwd | grep -E "^$name:|:$number(:|\$)" || echo "$name-is-missing"); do
    if [ "$found" != "$name:$number:$number" ]; then wrong="$wrong $found"; fi
  done
  for found in $(cut -d: -f1,3 /etc/group | grep -E "^$name:|:$number\$"); do
    if [ "$found" != "$name:$number" ]; then wrong="$wrong $found"; fi
  done
done < "$users"
need users 'every user of the image has the number that it should have, and nobody else has it' "$wrong"
check bake-user 'the user of the bake is gone' "$(having '^bake:' /etc/passwd /etc/shadow /etc/group /etc/gshadow /etc/subuid /etc/subgid /etc/passwd- /etc/shadow- /etc/group- /etc/gshadow-; find /home/bake /etc/sudoers.d/90-cloud-init-users 2> /dev/null)"
check authorized-keys 'no authorised SSH keys' "$(find /root /home -name 'authorized_keys*' 2> /dev/null)"
check known-hosts 'no SSH hosts that somebody has met' "$(find /root /home /etc/ssh -name '*known_hosts*' -size +0 2> /dev/null)"
check history 'no shell history' "$(find /root /home -name '.*history' -size +0 2> /dev/null)"
check logs 'no logs' "$(find /var/log -type f -size +0 2> /dev/null)"
check logins 'no record of who logged in' "$(find /var/lib/wtmpdb /var/lib/lastlog -type f -size +0 2> /dev/null)"
check leftovers 'nothing in temporary folders' "$(find /tmp /var/tmp -mindepth 1 2> /dev/null)"
check core-dumps 'no core dumps' "$(find /var/crash /var/lib/systemd/coredump -mindepth 1 2> /dev/null)"
# What was in memory while baking would be in it.
check swap 'no swap' "$(having '^[^#]*[[:space:]]swap[[:space:]]' /etc/fstab; grep -v '^Filename' /proc/swaps 2> /dev/null; find /swapfile /swap.img /swap -maxdepth 0 2> /dev/null)"
check package-lists 'no lists and archives of packages' "$(find /var/lib/apt/lists /var/cache/apt/archives -type f -size +0 ! -name lock 2> /dev/null)"
check random-seed 'no random seed, and no key that systemd made for this machine' "$(find /var/lib/systemd -maxdepth 1 '(' -name random-seed -o -name credential.secret ')' 2> /dev/null)"

# Registries: no CA, credential, mirror, hosts entry or proxy of one; only the names in the references may stay, in
# Docker's own store and in the image's record.
units='/etc/systemd /usr/lib/systemd/system /usr/lib/systemd/system.conf.d /usr/local/lib/systemd /run/systemd/system'
homes='/root /home /etc/skel'
check registry-ca 'no CA of a registry' "$(find /etc/docker/certs.d /etc/containerd/certs.d /etc/containers/certs.d /usr/local/share/ca-certificates -mindepth 1 2> /dev/null)"
found=''
for line in $(cat ca-lines); do
  # Not one that the distribution brings: there it says nothing.
  if grep -rqF "$line" /usr/share/ca-certificates 2> /dev/null; then continue; fi
  files=$(grep -rlF "$line" /etc /usr/local /root /home /srv 2> /dev/null)
  if [ -n "$files" ]; then found="$found $files"; fi
done
check registry-ca-content 'no CA of a registry under any name, nor among the trusted ones' "$found"
check registry-login 'no credentials of a registry' "$(find $homes /etc/docker /etc/containers /run/containers '(' -name .docker -o -name .dockercfg -o -path '*/containers/auth.json' -o -path '*/.config/containers' -o -path /etc/docker/config.json ')' 2> /dev/null)"
check apt-login 'no credentials of a package mirror' "$(find /etc/apt/auth.conf /etc/apt/auth.conf.d -type f -size +0 2> /dev/null; having '^[^#]*://[^/[:space:]]+@' /etc/apt)"
check registry-mirror 'no mirror or insecure registry' "$(having '^[^#]*("(registry-mirrors|insecure-registries)"|--(registry-mirror|insecure-registry))' /etc/docker /etc/default $units; having '^[^#]*(registry\.(mirrors|configs|headers)\.|endpoint[[:space:]]*=|config_path[[:space:]]*=[[:space:]]*"[^"]|insecure_skip_verify)' /etc/containerd; having '^[^#]*(\[registry|location[[:space:]]*=|insecure[[:space:]]*=[[:space:]]*true)|^[[:space:]]*\[\[registry' /etc/containers)"
check hosts 'no host names but its own' "$(grep -vE '^[[:space:]]*(#|$)|^(127\.|::1|f[ef]0[0-9a-f]::)' /etc/hosts)"
check registry-host 'no settings that name a registry' "$(find /etc /usr/local /usr/lib/systemd/system $homes -type f ! -path /etc/golden/image.json ! -path /etc/containers/registries.conf.d/shortnames.conf -exec grep -lE -f traces {} + 2> /dev/null)"
# By environment, in each program's own words, and as dockerd takes it; comments do not count.
check proxy 'no proxy settings' "$(having '^[^#]*((https?|ftp|all|no)_proxy["'"'"']?[[:space:]]*((default|override)[[:space:]]*)?=|"(proxies|https?-proxy|no-proxy|https?proxy|noproxy)"|--(https?|no)-proxy)|^[[:space:]]*-*((https?|no)[._-]?)?proxy[[:space:]]*[=:]' /etc/environment /etc/environment.d /etc/profile /etc/profile.d /etc/bash.bashrc /etc/zsh /etc/default /etc/security /etc/sudoers.d /etc/ssh /etc/cron.d /etc/docker /etc/containerd /etc/containers /etc/wgetrc /etc/curlrc /etc/npmrc /etc/pip.conf /etc/gitconfig /usr/lib/environment.d $units $homes; having '^([^#/]|/[^/])*proxy' /etc/apt/apt.conf /etc/apt/apt.conf.d)"

# Container images: exactly those of the lock, each by its digest.
missing=''
while read -r service ref; do
  found=$(docker image inspect --format '{{json .RepoDigests}}' "$ref" < /dev/null 2> /dev/null)
  case $found in
    *"@${ref##*@}"*) ;; # Docker leaves docker.io out of names, so it is the digest that is compared
    *) missing="$missing $service=$ref" ;;
  esac
done < images
need images 'every container image of the lock is there by digest' "$missing"
extra=''
there=$(docker image ls --digests --format '{{.Digest}}' < /dev/null) || extra='no answer from Docker'
for digest in $there; do
  if ! grep -qF "@$digest" images; then extra="$extra $digest"; fi
done
check other-images 'no other container image' "$extra"
there=$(docker ps --all --quiet) || there='no answer from Docker'
check containers 'no containers' "$there"
check layers 'no layers of containers that are gone' "$(find /var/lib/docker/image -mindepth 4 -maxdepth 4 -path '*/layerdb/mounts/*' 2> /dev/null)"
there=$(docker network ls --quiet --filter type=custom && docker volume ls --quiet) || there='no answer from Docker'
check networks 'no networks and volumes of containers' "$there"

missing=''
for package in $(cat packages); do
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null)
  if [ "$state" != installed ]; then missing="$missing $package"; fi
done
need packages 'every package is installed' "$missing"
there=$(dpkg --audit) || there="no answer from dpkg $there"
check broken-packages 'no half-installed packages' "$there"

missing=''
for unit in $(cat enabled); do
  case $(systemctl is-enabled "$unit" 2> /dev/null) in
    enabled | enabled-runtime | static | indirect | alias) ;;
    *) missing="$missing $unit" ;;
  esac
done
need units 'every unit of the image is enabled' "$missing"
missing=''
for unit in $(cat masked); do
  if [ "$(systemctl is-enabled "$unit" 2> /dev/null)" != masked ]; then missing="$missing $unit"; fi
done
need masked-units 'every unit that must not run is masked' "$missing"
there=$(systemctl list-unit-files --no-legend --no-pager) || there=''
if [ -z "$there" ]; then there='no answer from systemctl'; else there=$(sh unwanted.sh); fi
check unwanted-units 'nothing upgrades packages, tells somebody of this machine, takes disks, has a firewall of its own, or does anything else by the clock' "$there"
check motd 'no program runs at every login' "$(find /etc/update-motd.d -type f -perm /111 2> /dev/null)"
# By whichever of the two this base starts it; without a seed neither may, because the host's key is in the seed.
found=''
missing=''
for unit in ssh.socket ssh.service; do
  if [ "$(systemctl is-enabled "$unit" 2> /dev/null)" != enabled ]; then continue; fi
  found="$found $unit"
  if ! systemctl cat "$unit" 2> /dev/null | grep -q '^ConditionPathExists=/run/golden/ssh/'; then missing="$missing $unit"; fi
done
if [ -z "$found" ]; then missing='ssh.socket ssh.service'; fi
need ssh "SSH starts at boot ($(echo $found)), and only with a seed" "$missing"
need agent 'the guest agent runs' "$(systemctl is-active qemu-guest-agent.service | grep -vx active)"
check seed 'no seed of a slot' "$(find /run/golden/seed /srv/golden -mindepth 1 2> /dev/null)"
# SSH at least listens, or the bake could not have come here: no line at all is no answer.
there=$(ss -H -lnt) || there=''
if [ -z "$there" ]; then there='no answer from ss'; fi
check listening 'nothing listens but SSH and what is on loopback' "$(echo "$there" | grep -vE '(^|[[:space:]])(127\.[0-9.]+(%lo)?|\[::1\]):[0-9]+[[:space:]]|(0\.0\.0\.0|\*|\[::\]):22[[:space:]]')"
# Without it every connection that a client has open breaks when the service address moves (images/guest/steer.ts). Nothing
# is loaded here.
steer='add table ip golden_check; add chain ip golden_check steer { type filter hook prerouting priority mangle; }'
steer="$steer; add rule ip golden_check steer ip dscp set 0x2b dup to 192.0.2.1 device \"lo\" drop"
missing=$(nft -c "$steer" 2>&1) && missing=''
need steering 'the kernel can send a packet on to another machine' "$missing"

exit $failed
